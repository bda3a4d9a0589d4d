"""Indices of embeddings: which inputs they are, what is checked, and what happens to those that are not."""

import numpy as np
import pytest

import unifront as uf
from unifront import layers, ops
from unifront.backends import installed, placement
from unifront.errors import ArgumentError
from unifront.opset.bounds import check_indices, index_bounds
from unifront.opset.tensor import Builder, type_of
from unifront.testing import assert_close

TABLE = np.arange(6.0).reshape(3, 2)


def bounds_of(model):
    return {i: (b.name, b.size) for i, b in index_bounds(model.trace(False).graph).items()}


def test_every_input_of_an_embedding_is_found():
    words, tags = uf.Input((None,), dtype="int32", name="words"), uf.Input((4,), name="tags")
    other = uf.Input((4,), dtype="int32", name="other")
    x = layers.Embedding(7, 3, name="words_in")(words)
    y = layers.Embedding(5, 3, name="tags_in")(layers.Reshape((2, 2))(tags))  # float32, cut to integers
    z = layers.Embedding(9, 3, name="sums_in")(ops.add(other, 1))  # what the sum is, only the device knows
    total = ops.add(ops.add(ops.mean(x, 1), ops.mean(y, (1, 2))), ops.mean(z, 1))
    assert bounds_of(uf.Model([words, tags, other], total)) == {0: ("words_in", 7), 1: ("tags_in", 5)}


def test_of_two_embeddings_the_smaller_counts():
    words = uf.Input((3,), dtype="int32")
    pair = [layers.Embedding(n, 2, name=f"of_{n}")(words) for n in (9, 4, 6)]
    assert bounds_of(uf.Model(words, layers.Add()(pair))) == {0: ("of_4", 4)}


def test_an_embedding_inside_a_model_and_twice():
    inner = uf.Sequential([uf.Input((3,), dtype="int32"), layers.Embedding(4, 2, name="table")], name="inner")
    a, b = uf.Input((3,), dtype="int32"), uf.Input((3,), dtype="int32")
    found = bounds_of(uf.Model([a, b], layers.Add()([inner(a), inner(b)])))
    assert {i: size for i, (_, size) in found.items()} == {0: 4, 1: 4}
    assert all("table" in name for name, _ in found.values())


@pytest.mark.parametrize(
    ("indices", "found"),
    [([[0, 3]], r"3 at \(0, 1\)"), ([[-1, 0]], r"-1 at \(0, 0\)"), ([[0.0, 3.2]], r"3.2 at \(0, 1\)"),
     ([[np.iinfo("int64").max]], r"9223372036854775807 at \(0, 0\)")],
)  # fmt: skip
def test_what_is_outside_is_named(indices, found):
    model = uf.Sequential([uf.Input((None,), name="words", dtype="int64"), layers.Embedding(3, 2, name="in")])
    graph = model.trace(False).graph
    with pytest.raises(
        ArgumentError, match=rf"^in: Embedding index {found} of the input 'words' is outside 0 … 2"
    ):
        check_indices(graph, index_bounds(graph), [np.array(indices)])


@pytest.mark.parametrize(
    "indices", [[[0, 2]], [[-0.9, 2.9]], np.zeros((2, 0), int), np.array([[2]], "uint8")]
)
def test_what_is_there_passes(indices):
    graph = uf.Sequential([uf.Input((None,), dtype="int32"), layers.Embedding(3, 2)]).trace(False).graph
    check_indices(graph, index_bounds(graph), [np.array(indices)])


def test_the_numpy_backend_and_native_arrays_refuse():
    model = uf.Sequential([uf.Input((None,), dtype="int32"), layers.Embedding(3, 2, name="in")])
    with pytest.raises(ArgumentError, match="in: Embedding index 3"):
        model.predict(np.array([[3]], np.int32), backend="numpy")
    with (
        pytest.raises(ArgumentError, match=r"^table: embedding: Embedding index -1 at \(1,\) of the indices"),
        uf.backend("numpy"),
    ):
        layers.Embedding(3, 2, name="table")(np.array([0, -1], np.int32))
    for indices in ([0, 3], np.int64(3), np.array(3, np.uint8)):
        with pytest.raises(ArgumentError, match="Embedding index 3 at"):
            ops.embedding(indices, TABLE)


INDICES = {"too large": (5, 3, "3"), "negative": (2, -1, "-1"), "last row": (7, 99, "99")}


@pytest.mark.parametrize("case", INDICES)
@pytest.mark.parametrize("name", installed())
def test_every_call_refuses_them_on_every_backend(name, case):
    """Before a step that would train on another row: from arrays, and in a later batch of a stream."""
    row, index, found = INDICES[case]
    words = np.zeros((8, 4), np.int32)
    words[row, 1] = index
    targets = np.zeros((8, 2), np.float32)
    model = uf.Sequential([uf.Input((4,), dtype="int32", name="words"), layers.Embedding(3, 2, name="in"),
                           layers.GlobalAveragePooling1D()])  # fmt: skip
    model.compile("sgd", "mse")
    before = model.get_weights()
    match = rf"in: Embedding index {found} at \({row}, 1\) of the input 'words' is outside 0 … 2"
    with pytest.raises(ArgumentError, match=match):
        model.predict(words, backend=name, verbose=0)
    with pytest.raises(ArgumentError, match=match):
        model.evaluate(words, targets, backend=name, verbose=0)
    if name == "numpy":
        return
    with pytest.raises(ArgumentError, match=match):
        model.fit(words, targets, backend=name, verbose=0)
    assert_close(model.get_weights()[0], before[0])
    stream = iter([(np.zeros((8, 4), np.int32), targets), (words, targets)])
    with pytest.raises(ArgumentError, match=match):
        model.fit(stream, backend=name, verbose=0)
    assert model.optimizer.iterations == 1


@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize("name", installed())
def test_what_cannot_be_checked_takes_the_nearest_row_everywhere(name, dtype):
    builder = Builder("outside")
    indices = np.array([-7, -1, 0, 2, 3, 99], dtype)
    shifted = ops.add(builder.input("indices", type_of(indices)), np.array(0, dtype))
    rows = ops.embedding(shifted, builder.input("table", type_of(TABLE)))
    graph = builder.graph([ops.sum(ops.multiply(rows, np.arange(12.0).reshape(6, 2))), rows])
    backend = placement(name).backend
    natives = [backend.array(indices), backend.array(TABLE)]
    _, found = backend.compile(graph)(natives, [])
    assert_close(backend.numpy(found), TABLE[[0, 0, 0, 2, 2, 2]])
    if name != "numpy":
        *_, slope = backend.value_and_grad(graph, ["table"])(natives, [])
        assert_close(
            backend.numpy(slope), np.array([[0.0 + 2 + 4, 1 + 3 + 5], [0, 0], [6 + 8 + 10, 7 + 9 + 11]])
        )
