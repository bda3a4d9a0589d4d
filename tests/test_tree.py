"""Nested structures."""

from collections import namedtuple

from hypothesis import given
from hypothesis import strategies as st

from unifront import tree

Point = namedtuple("Point", "x y")
STRUCTURES = st.recursive(
    st.one_of(st.none(), st.integers()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(max_size=2), inner, max_size=3),
        st.tuples(inner, inner).map(lambda pair: Point(*pair)),
    ),
    max_leaves=8,
)


def test_leaves_stand_in_order_and_none_counts():
    assert tree.leaves({"a": [1, (2, None)], "b": Point(3, 4)}) == [1, 2, None, 3, 4]
    assert tree.leaves(5) == [5]
    assert tree.leaves([]) == []


def test_map_keeps_the_structure():
    structure = {"a": [1, (2,)], "b": Point(3, 4)}
    assert tree.map_leaves(lambda leaf: leaf + 1, structure) == {"a": [2, (3,)], "b": Point(4, 5)}
    assert isinstance(tree.map_leaves(str, structure)["b"], Point)


@given(STRUCTURES)
def test_mapping_maps_the_leaves(structure):
    assert tree.leaves(tree.map_leaves(repr, structure)) == [repr(leaf) for leaf in tree.leaves(structure)]
    assert tree.map_leaves(lambda leaf: leaf, structure) == structure
