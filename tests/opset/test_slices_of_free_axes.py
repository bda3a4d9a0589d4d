"""Slices whose ends may lie past an axis of free length: typed and cut as Python cuts them, on every backend."""

import numpy as np
import pytest

import unifront as uf
from unifront import backends, ops
from unifront.errors import ShapeError
from unifront.ir.types import parse_type
from unifront.ir.verify import verify
from unifront.opset.tensor import Builder
from unifront.testing import assert_close

TYPE = parse_type("float32[batch, time, 2]")
SLICES = {
    ":10": (slice(10), "min(10,time)"),
    ":4": (slice(4), "min(4,time)"),
    "3:": (slice(3, None), "time-min(3,time)"),
    "1:4": (slice(1, 4), "-min(1,time)+min(4,time)"),
    "-2:": (slice(-2, None), "min(2,time)"),
    ":-2": (slice(None, -2), "time-min(2,time)"),
    "-4:-1": (slice(-4, -1), "-min(1,time)+min(4,time)"),
    "5:2": (slice(5, 2), "0"),
    "::2": (slice(None, None, 2), "(time+1)//2"),
    ":7:3": (slice(0, 7, 3), "(min(7,time)+2)//3"),
    "2::3": (slice(2, None, 3), "(time+2*min(2,time)+2)//3-min(2,time)"),
    "::-1": (slice(None, None, -1), "time"),
}


def graph_of(function):
    builder = Builder("program")
    return verify(builder.graph([function(builder.input("x", TYPE))]))


@pytest.mark.parametrize("name", SLICES)
def test_their_types(name):
    span, size = SLICES[name]
    graph = graph_of(lambda x: x[:, span])
    assert str(graph.outputs[0].type) == f"float32[batch, {size}, 2]"
    for time in (0, 1, 2, 3, 5, 12):
        (value,) = graph.bind_symbols({"batch": 1, "time": time}).outputs
        assert value.type.shape == np.zeros((1, time, 2))[:, span].shape


@pytest.mark.parametrize("framework", backends.installed())
def test_one_program_cuts_them_at_every_size(framework):
    """All of them in one program, and an operation on the size that came out."""

    def function(x):
        parts = [x[:, span] for span, _ in SLICES.values()]
        filled = [ops.broadcast_to(ops.sum(part, 1, keepdims=True), part.shape) for part in parts]
        counted = [ops.full((), part.shape[1], "float32", like=x) for part in parts]
        return ops.concatenate([*parts, *filled], 1), ops.stack(counted)

    builder, native = Builder("program"), backends.get_backend(framework)
    program = native.compile(verify(builder.graph(list(function(builder.input("x", TYPE))))), "cpu")
    for time in (0, 1, 3, 6, 12):
        x = np.random.default_rng(0).normal(size=(2, time, 2)).astype("float32")
        parts = [x[:, span] for span, _ in SLICES.values()]
        filled = [np.broadcast_to(part.sum(1, keepdims=True), part.shape) for part in parts]
        found = [native.numpy(value) for value in program([native.array(x)], [])]
        assert_close(found[0], np.concatenate([*parts, *filled], 1))
        assert_close(found[1], np.array([part.shape[1] for part in parts], "float32"))


@pytest.mark.parametrize("framework", backends.installed())
def test_an_index_past_the_end_is_an_error_when_it_is_known(framework):
    native = backends.get_backend(framework)
    program = native.compile(graph_of(lambda x: x[:, 2]), "cpu")
    x = np.arange(12, dtype="float32").reshape(2, 3, 2)
    assert_close(native.numpy(program([native.array(x)], [])[0]), x[:, 2])
    with pytest.raises(Exception, match=r"(?i)squeeze|size|equal to one|dimension"):
        native.numpy(program([native.array(x[:, :2])], [])[0])


def test_the_index_of_a_free_axis_takes_it_away():
    for index in (0, 3, -1, -3):
        assert str(graph_of(lambda x, i=index: x[:, i]).outputs[0].type) == "float32[batch, 2]"
    with pytest.raises(ShapeError, match="squeeze: axis 1 of the shape .* is not 1 long"):
        graph_of(lambda x: ops.squeeze(x[:, :2], 1))


def test_named_ends_are_sizes():
    graph = graph_of(lambda x: x[:, : x.shape[1] - 3])
    assert str(graph.outputs[0].type.shape[1]) == "time-min(3,time)"
    (short,) = backends.get_backend("numpy").compile(graph)([np.zeros((1, 2, 2), "float32")], [])
    assert short.shape == (1, 0, 2)


def test_shifted_neighbours_meet():
    """What is left of one end and of the other is of one length."""
    graph = graph_of(lambda x: x[:, 1:] - x[:, :-1])
    assert str(graph.outputs[0].type.shape[1]) == "time-min(1,time)"
    graph = graph_of(lambda x: ops.concatenate([x[:, :3], x[:, 3:]], 1) + x)
    assert graph.outputs[0].type == TYPE


def test_a_layer_may_take_the_first_steps(tmp_path):
    steps = uf.Input((None, 2), name="steps")
    model = uf.Model(steps, uf.layers.Dense(3)(steps[:, :4]))
    onnxruntime = pytest.importorskip("onnxruntime")
    model.export(tmp_path / "first.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "first.onnx", providers=["CPUExecutionProvider"])
    model.save(tmp_path / "first.uf")
    again = uf.load(tmp_path / "first.uf")
    for time in (2, 4, 7):
        x = np.random.default_rng(0).normal(size=(2, time, 2)).astype("float32")
        expected = model.predict(x, backend="numpy")
        assert expected.shape == (2, min(time, 4), 3)
        assert_close(session.run(None, {"steps": x})[0], expected)
        assert_close(again.predict(x, backend="numpy"), expected)
