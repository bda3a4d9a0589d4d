"""Sizes unknown to each other broadcast; that they are equal is checked when they arrive."""

import numpy as np
import pytest

from unifront import backends, ops
from unifront.errors import ShapeError
from unifront.ir.types import parse_type
from unifront.ir.verify import verify
from unifront.opset.tensor import Builder, scope
from unifront.testing import assert_close


def graph_of(function, *types):
    builder = Builder("program")
    with scope("layer"):
        result = function(*(builder.input(f"x{i}", parse_type(type_)) for i, type_ in enumerate(types)))
    return verify(builder.graph([result]))


SAID = r"layer: .*sizes that should be equal are"
PAIRS = {
    "two symbols": (ops.add, ("float32[a, 2]", "float32[b, 2]"), "float32[a, 2]", (3, 4)),
    "a symbol and an int": (ops.multiply, ("float32[a, 2]", "float32[3, 2]"), "float32[3, 2]", (3, None)),
    "a cut axis and an int": (
        lambda x, y: ops.subtract(x[:3], y),
        ("float32[a, 2]", "float32[3, 2]"),
        "float32[3, 2]",
        (3, None),
    ),
    "a picked part": (
        lambda x, y: ops.maximum(x[ops.greater(x, 0)], y),
        ("float32[a]", "float32[b]"),
        "float32[b]",
        (3, 4),
    ),
}


@pytest.mark.parametrize("backend", backends.installed())
@pytest.mark.parametrize("name", PAIRS)
def test_they_are_checked_when_they_arrive(name, backend):
    function, types, expected, (length, other) = PAIRS[name]
    if backend == "jax" and name == "a picked part":
        pytest.skip("a size from a value")
    graph, native = graph_of(function, *types), backends.get_backend(backend)
    assert str(graph.outputs[0].type) == expected
    program = native.compile(graph, "cpu")
    rng = np.random.default_rng(0)

    def inputs(*lengths):
        made = [rng.uniform(1, 2, (n, 2) if "2]" in types[0] else (n,)).astype("float32") for n in lengths]
        return [native.array(one) for one in made]

    x, y = inputs(length, length)
    (found,) = program([x, y], [])
    assert native.numpy(found).shape[0] == length
    wrong = [(length, other), (other, length), (1, length)] if other else [(2, 3), (1, 3)]
    for lengths in wrong:
        with pytest.raises(Exception, match=SAID):
            native.numpy(program(inputs(*lengths), [])[0])


@pytest.mark.parametrize("backend", backends.installed())
def test_what_is_joined_is_checked_when_it_arrives(backend):
    """Beside the axis along which it is joined; sizes of 1 do not broadcast there."""
    types = "float32[2, a]", "float32[3, b]"
    graph, native = graph_of(lambda *xs: ops.concatenate(xs, axis=0), *types), backends.get_backend(backend)
    assert str(graph.outputs[0].type) == "float32[5, a]"
    program = native.compile(graph, "cpu")

    def run(a, b):
        x, y = (np.full((n, size), n, "float32") for n, size in ((2, a), (3, b)))
        (found,) = program([native.array(x), native.array(y)], [])
        return native.numpy(found)

    assert_close(run(4, 4)[:, 0], np.array([2, 2, 3, 3, 3], "float32"))
    for sizes in ((4, 3), (4, 1), (1, 4)):
        with pytest.raises(Exception, match=SAID):
            run(*sizes)
    with pytest.raises(ShapeError, match="differ outside axis 0"):
        graph_of(lambda *xs: ops.concatenate(xs, axis=0), "float32[2, a]", "float32[3, a+1]")


@pytest.mark.parametrize("backend", backends.installed())
def test_that_nothing_is_left_over_is_checked_when_it_shows(backend):
    """What -1 stands for may be a part of a size that is not known."""
    native = backends.get_backend(backend)
    graph = graph_of(lambda x: ops.reshape(x, (x.shape[0], -1, 8)), "float32[a, b, 2]")
    assert str(graph.outputs[0].type) == "float32[a, b//4, 8]"
    program = native.compile(graph, "cpu")
    for count in (8, 0, 4):
        x = np.random.default_rng(0).normal(size=(3, count, 2)).astype("float32")
        assert_close(native.numpy(program([native.array(x)], [])[0]), x.reshape(3, count // 4, 8))
    with pytest.raises(Exception, match=SAID):
        native.numpy(program([native.array(np.zeros((3, 5, 2), "float32"))], [])[0])


def test_those_that_cannot_be_equal_are_refused_at_once():
    for types in (
        ("float32[a+1]", "float32[a]"),
        ("float32[a+6]", "float32[5]"),
        ("float32[2]", "float32[3]"),
    ):
        with pytest.raises(ShapeError, match="do not broadcast"):
            graph_of(ops.add, *types)
    with pytest.raises(ShapeError, match="do not broadcast"):
        graph_of(lambda x, y: ops.matmul(x, y), "float32[a, 2, 2]", "float32[b, 2, 2]")


def test_nothing_is_checked_that_is_known():
    native = backends.get_backend("numpy")
    for types in (
        ("float32[a, 2]", "float32[a, 2]"),
        ("float32[a, 2]", "float32[1, 2]"),
        ("float32[a, 2]", "float32[]"),
    ):
        assert "same(" not in native.compile(graph_of(ops.add, *types)).source
    assert "same(v0, 'layer: add'" in native.compile(graph_of(ops.add, "float32[a]", "float32[b]")).source
    first = graph_of(lambda x: ops.add(x, x[:1]), "float32[a]")
    assert "same(" not in native.compile(first).source
    assert_close(native.compile(first)([np.zeros(0, "float32")], [])[0], np.zeros(0, "float32"))
