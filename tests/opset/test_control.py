"""Branches and loops: what is captured, what nests, what runs as Python, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from unifront import backends, ops, testing
from unifront.backends import placement
from unifront.dtypes import dtype_of
from unifront.errors import ArgumentError, DTypeError, ShapeError
from unifront.ir.dims import symbol
from unifront.ir.graph import Graph
from unifront.ir.text import parse_graph, print_graph
from unifront.ir.types import TensorType
from unifront.ir.verify import verify
from unifront.opset import OPS
from unifront.opset.tensor import Builder
from unifront.weights import Variable

ALL = backends.installed()
TRAINABLE = [name for name in ALL if name != "numpy"]
FLOAT = dtype_of("float64")


def _graph(function: Callable[..., Any], *shapes: tuple[Any, ...]) -> Graph:
    builder = Builder("test")
    result = function(*(builder.input(f"x{i}", TensorType(FLOAT, shape)) for i, shape in enumerate(shapes)))
    graph = builder.graph(result if isinstance(result, list) else [result])
    assert parse_graph(print_graph(graph), OPS) == graph
    return verify(graph)


def _run(name: str, graph: Graph, *values: Any) -> list[np.ndarray]:
    place = placement(name)
    arrays = [place.backend.array(np.asarray(value, np.float64)) for value in values]
    return [place.backend.numpy(output) for output in place.backend.compile(graph)(arrays, [])]


@pytest.mark.parametrize("name", ALL)
def test_branches_may_give_nothing(name: str) -> None:
    def function(x: Any) -> Any:
        assert ops.cond(ops.less(ops.sum(x), 0.0), lambda: None, lambda: None) is None
        return ops.tanh(x)

    graph = _graph(function, (2,))
    assert len(graph.nodes) == 5
    testing.assert_close(_run(name, graph, [1.0, 2.0])[0], np.tanh([1.0, 2.0]))


@pytest.mark.parametrize("name", ALL)
def test_cond_captures_what_its_branches_use(name: str) -> None:
    batch = symbol("batch")

    def function(x: Any, y: Any) -> Any:
        doubled = ops.multiply(x, 2.0)
        larger = ops.greater(ops.sum(x), 0.0)
        return ops.cond(larger, lambda: ops.add(doubled, y), lambda: ops.subtract(y, x))

    graph = _graph(function, (batch, 3), (3,))
    (node,) = (node for node in graph.nodes if node.op.name == "cond")
    assert len(node.operands) == 4  # the condition, doubled, y, x
    y = np.array([1.0, 2.0, 3.0])
    for x in (np.ones((2, 3)), -np.ones((4, 3))):
        (found,) = _run(name, graph, x, y)
        testing.assert_close(found, 2 * x + y if x.sum() > 0 else y - x)


@pytest.mark.parametrize("name", ALL)
def test_branches_nest_and_loops_capture_through_them(name: str) -> None:
    def function(x: Any, limit: Any) -> Any:
        def body(total: Any) -> Any:
            small = ops.less(ops.sum(total), 4.0)
            return (ops.cond(small, lambda: ops.add(total, x), lambda: ops.multiply(total, limit)),)

        return ops.while_loop(lambda total: ops.less(ops.sum(total), limit), body, (ops.multiply(x, 0.0),))[0]

    graph = _graph(function, (2,), ())
    (found,) = _run(name, graph, [0.5, 1.0], 20.0)
    expected = np.zeros(2)
    while expected.sum() < 20:
        expected = np.add(expected, [0.5, 1.0]) if expected.sum() < 4 else expected * 20
    testing.assert_close(found, expected)


@pytest.mark.parametrize("name", ALL)
def test_maximum_iterations(name: str) -> None:
    def function(x: Any) -> Any:
        always = ops.greater_equal
        return ops.while_loop(lambda x: always(x, 0.0), lambda x: [ops.add(x, 1.0)], [x], 5)[0]

    assert _run(name, _graph(function, ()), 0.0) == [5.0]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", ALL)
def test_scan_carries_structures_over_a_free_length(name: str, reverse: bool) -> None:
    time = symbol("time")

    def function(xs: Any, scale: Any) -> Any:
        def step(carry: Any, x: Any) -> Any:
            total = ops.add(carry["total"], ops.multiply(x["a"], scale))
            return {"total": total, "last": x["b"]}, (total, ops.negative(x["b"]))

        init = {"total": ops.multiply(scale, 0.0), "last": ops.multiply(scale, 0.0)}
        carry, (totals, negatives) = ops.scan(step, init, {"a": xs, "b": ops.square(xs)}, reverse=reverse)
        return [carry["total"], carry["last"], totals, negatives]

    graph = _graph(function, (time, 2), (2,))
    assert [str(value.type) for value in graph.outputs][2] == "float64[time, 2]"
    scale = np.array([1.0, -2.0])
    for steps in (1, 4):
        xs = np.random.default_rng(0).normal(size=(steps, 2))
        total, last, totals, negatives = _run(name, graph, xs, scale)
        order = xs[::-1] if reverse else xs
        expected = np.cumsum(order * scale, 0)
        testing.assert_close(total, expected[-1])
        testing.assert_close(last, order[-1] ** 2)
        testing.assert_close(totals, expected[::-1] if reverse else expected)
        testing.assert_close(negatives, -(xs**2))


@pytest.mark.parametrize("name", TRAINABLE)
def test_an_lstm_by_scan_has_the_values_and_gradients_of_the_operation(name: str) -> None:
    units, batch = 3, symbol("batch")

    def by_scan(x: Any, kernel: Any, recurrent: Any) -> Any:
        def step(state: Any, x_t: Any) -> Any:
            h, c = state
            gates = ops.add(ops.matmul(x_t, kernel), ops.matmul(h, recurrent))
            i, f, g, o = ops.split(gates, 4, axis=-1)
            c = ops.add(ops.multiply(ops.sigmoid(f), c), ops.multiply(ops.sigmoid(i), ops.tanh(g)))
            h = ops.multiply(ops.sigmoid(o), ops.tanh(c))
            return (h, c), h

        zeros = ops.zeros((x.shape[0], units), "float64", like=x)
        _, outputs = ops.scan(step, (zeros, zeros), ops.swapaxes(x, 0, 1))
        return ops.swapaxes(outputs, 0, 1)

    def fused(x: Any, kernel: Any, recurrent: Any) -> Any:
        return ops.lstm(x, kernel, recurrent)[0]

    rng = np.random.default_rng(0)
    shapes = ((5, 4, 2), (2, 4 * units), (units, 4 * units))
    place, found = placement(name), []
    for function in (by_scan, fused):
        graph = _graph(lambda *x, f=function: [ops.sum(ops.square(f(*x)))], (batch, 4, 2), *shapes[1:])
        rng = np.random.default_rng(0)
        arrays = [place.backend.array(rng.normal(size=shape)) for shape in shapes]
        outputs = place.backend.value_and_grad(graph, ["x0", "x1", "x2"])(arrays, [])
        found.append([place.backend.numpy(output) for output in outputs])
    for a, e in zip(*found, strict=True):
        testing.assert_close(a, e)


def test_variables_are_captured() -> None:
    weight = Variable.at("w", (2,), "float64", initial=np.array([2.0, 3.0]))
    builder = Builder("test")
    x = builder.input("x", TensorType(FLOAT, (3, 2)))
    last, _ = ops.scan(lambda h, x: (ops.add(ops.multiply(h, weight), x), h), ops.sum(x, axis=0), x)
    graph = verify(builder.graph([last]))
    assert [variable.name for variable in graph.variables] == ["w"]
    value = np.arange(6.0).reshape(3, 2)
    place = placement("numpy")
    (found,) = place.backend.compile(graph)([value], [weight.numpy()])
    expected = value.sum(0)
    for x_t in value:
        expected = expected * [2.0, 3.0] + x_t
    testing.assert_close(found, expected)


@pytest.mark.parametrize("name", ALL)
def test_native_arrays_run_as_python(name: str) -> None:
    place = placement(name)
    x = place.backend.array(np.array([1.0, 2.0, 3.0]))
    seen: list[Any] = []
    y = ops.cond(ops.greater(ops.sum(x), 0.0), lambda x: (seen.append(x), ops.negative(x))[1], ops.square, x)
    assert len(seen) == 1
    testing.assert_close(place.backend.numpy(y), np.array([-1.0, -2.0, -3.0]))
    carry, ys = ops.scan(lambda c, v: (ops.add(c, v), ops.multiply(c, v)), x[0], x, reverse=True)
    testing.assert_close(place.backend.numpy(carry), np.array(7.0))
    testing.assert_close(place.backend.numpy(ys), np.array([6.0, 8.0, 3.0]))
    (z,) = ops.while_loop(lambda z: ops.less(ops.sum(z), 50.0), lambda z: (ops.multiply(z, 2.0),), (x,))
    testing.assert_close(place.backend.numpy(z), np.array([16.0, 32.0, 48.0]))


REFUSED: list[tuple[Callable[[Any], Any], type[Exception], str]] = [
    (lambda x: ops.cond(x, lambda: x, lambda: x), DTypeError, r"cond: the condition is float64\[3\]"),
    (lambda x: ops.cond(ops.greater(ops.sum(x), 0.0), lambda: x, lambda: ops.sum(x)), ArgumentError,
     r"one branch gives \[float64\[3\]\], the other \[float64\[\]\]"),
    (lambda x: ops.while_loop(lambda x: True, lambda x: (ops.cast(x, "float32"),), (x,)), ArgumentError,
     r"state 0 is float64\[3\] before a step and float32\[3\] after it"),
    (lambda x: ops.scan(lambda c, v: c, ops.sum(x), x), ArgumentError, "the function gives a pair"),
    (lambda x: ops.scan(lambda c, v: (c, v), x, ops.sum(x)), ShapeError, "one is a scalar"),
    (lambda x: ops.scan(lambda c, v: (c, v), x), ArgumentError, "no xs to scan over and no length"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "error", "message"), REFUSED)
def test_refusals(function: Callable[[Any], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        _graph(function, (3,))
