"""Nested lists, tuples and dicts of leaves: for us `leaves` and `map_leaves`, and the functions of ``keras.tree``.

None is a leaf. Where Keras's functions go through a dict, they go through its keys in order.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from unifront.errors import ArgumentError


def leaves(structure: Any) -> list[Any]:
    """Every leaf, in order; None counts as a leaf."""
    match structure:
        case list() | tuple():
            return [leaf for item in structure for leaf in leaves(item)]
        case dict():
            return [leaf for item in structure.values() for leaf in leaves(item)]
    return [structure]


def map_leaves(function: Callable[[Any], Any], structure: Any) -> Any:
    """The same structure with ``function(leaf)`` in place of each leaf."""
    match structure:
        case list() | tuple():
            items = [map_leaves(function, item) for item in structure]
            return type(structure)(*items) if hasattr(structure, "_fields") else type(structure)(items)
        case dict():
            return {name: map_leaves(function, item) for name, item in structure.items()}
    return function(structure)


# ---------------------------------------------------------------- keras.tree


class MAP_TO_NONE:
    """What a function given to `traverse` returns for None, which itself means: go on inside."""


def is_nested(structure: Any) -> bool:
    """Whether it is a list, tuple or dict, an empty one too (``keras.tree.is_nested``)."""
    return isinstance(structure, list | tuple | dict)


def _parts(structure: Any) -> list[tuple[Any, Any]]:
    """The keys or positions of what is right inside, and that."""
    if isinstance(structure, OrderedDict):
        return list(structure.items())
    if isinstance(structure, dict):
        try:
            return sorted(structure.items(), key=lambda item: item[0])
        except TypeError:  # keys of several kinds
            return sorted(structure.items(), key=lambda item: (type(item[0]).__name__, str(item[0])))
    return list(enumerate(structure))


def _again(structure: Any, parts: Iterable[tuple[Any, Any]]) -> Any:
    """A structure like ``structure`` of other ``parts``."""
    given = dict(parts)
    if isinstance(structure, dict):
        ordered = {key: given[key] for key in structure}
        return (
            defaultdict(structure.default_factory, ordered)
            if isinstance(structure, defaultdict)
            else (type(structure)(ordered))
        )
    items = [given[i] for i in range(len(structure))]
    return type(structure)(*items) if hasattr(structure, "_fields") else type(structure)(items)


def flatten_with_path(structure: Any) -> list[tuple[tuple[Any, ...], Any]]:
    """Each leaf with the keys and positions that lead to it (``keras.tree.flatten_with_path``)."""
    if not is_nested(structure):
        return [((), structure)]
    return [((key, *path), leaf) for key, part in _parts(structure) for path, leaf in flatten_with_path(part)]


def flatten(structure: Any) -> list[Any]:
    """The leaves, those of dicts in the order of the keys (``keras.tree.flatten``)."""
    return [leaf for _, leaf in flatten_with_path(structure)]


def _same_keys(a: Any, b: Any) -> bool:
    return [key for key, _ in _parts(a)] == [key for key, _ in _parts(b)]


def _kind(structure: Any) -> type:
    return dict if isinstance(structure, dict) else type(structure)


def assert_same_structure(a: Any, b: Any, check_types: None = None) -> None:
    """Raise `ArgumentError` unless both nest alike, types included (``keras.tree.assert_same_structure``)."""
    if is_nested(a) != is_nested(b) or (is_nested(a) and (_kind(a) is not _kind(b) or not _same_keys(a, b))):
        raise ArgumentError(f"`a` and `b` don't have the same structure: {a!r} and {b!r}.")
    if is_nested(a):
        for (_, one), (_, other) in zip(_parts(a), _parts(b), strict=True):
            assert_same_structure(one, other)


def assert_same_paths(a: Any, b: Any) -> None:
    """Raise `ArgumentError` unless the same keys and positions lead to leaves (``keras.tree.assert_same_paths``)."""
    paths = [{path for path, _ in flatten_with_path(one)} for one in (a, b)]
    if paths[0] != paths[1]:
        raise ArgumentError(f"`a` and `b` don't have the same paths: {a!r} and {b!r}.")


def map_structure(func: Callable[..., Any], *structures: Any) -> Any:
    """``func`` of the leaves at each place, in the structure of the first (``keras.tree.map_structure``).

    Raises `ArgumentError` for none, or for structures that differ.
    """
    if not structures:
        raise ArgumentError("map_structure: Must provide at least one structure.")
    for other in structures[1:]:
        assert_same_structure(structures[0], other)
    return map_structure_up_to(structures[0], func, *structures)


def map_structure_up_to(shallow_structure: Any, func: Callable[..., Any], *structures: Any) -> Any:
    """``func`` of what ``structures`` hold where ``shallow_structure`` has its leaves, in its structure.

    Raises `ArgumentError` where one of them is not nested so far.
    """
    if not is_nested(shallow_structure):
        return func(*structures)
    for other in structures:
        if not is_nested(other) or not _same_keys(shallow_structure, other):
            raise ArgumentError(f"{other!r} is not nested like {shallow_structure!r}.")
    columns = [dict(_parts(one)) for one in structures]
    return _again(
        shallow_structure,
        (
            (key, map_structure_up_to(part, func, *(column[key] for column in columns)))
            for key, part in _parts(shallow_structure)
        ),
    )


def pack_sequence_as(structure: Any, flat_sequence: Sequence[Any]) -> Any:
    """``structure`` with the leaves of ``flat_sequence`` (``keras.tree.pack_sequence_as``).

    Raises `ArgumentError` for another number of them.
    """
    given, wanted = list(flat_sequence), len(flatten(structure))
    if len(given) != wanted:
        raise ArgumentError(f"The structure has {wanted} leaves; {len(given)} were given.")
    fill = iter(given)

    def packed(part: Any) -> Any:
        return (
            _again(part, [(key, packed(one)) for key, one in _parts(part)]) if is_nested(part) else next(fill)
        )

    return packed(structure)


def traverse(func: Callable[[Any], Any], structure: Any, top_down: bool = True) -> Any:
    """``func`` of every part; where it gives None the part is kept, and gone through (``keras.tree.traverse``).

    Args:
        func: gives what stands for the part; `MAP_TO_NONE` for None.
        top_down: whether a part comes before what is inside it.
    """

    def inside(part: Any) -> Any:
        if not is_nested(part):
            return part
        return _again(part, [(key, traverse(func, one, top_down)) for key, one in _parts(part)])

    if not top_down:
        structure = inside(structure)
    found = func(structure)
    if found is None:
        return inside(structure) if top_down else structure
    return None if found is MAP_TO_NONE else found


def lists_to_tuples(structure: Any) -> Any:
    """The structure with tuples for lists (``keras.tree.lists_to_tuples``)."""
    return traverse(lambda part: tuple(part) if isinstance(part, list) else None, structure, top_down=False)


def map_shape_structure(func: Callable[[Any], Any], structure: Any) -> Any:
    """``func`` of each shape, a tuple or list of sizes and None, in a structure (``keras.tree``)."""

    def mapped(part: Any) -> Any:
        is_shape = isinstance(part, list | tuple) and all(one is None or isinstance(one, int) for one in part)
        found = func(tuple(part)) if is_shape else None
        return MAP_TO_NONE if is_shape and found is None else found

    return traverse(mapped, structure)
