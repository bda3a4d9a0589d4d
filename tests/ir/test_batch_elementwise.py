"""Equal operations joined into one on lists: what is joined, and that the numbers stay the same to the bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from unifront import ops
from unifront.backends import installed, placement
from unifront.dtypes import dtype_of
from unifront.ir.emit import emit
from unifront.ir.graph import Graph
from unifront.ir.passes.batch_elementwise import Each, batch_elementwise
from unifront.ir.types import TensorType
from unifront.opset.optimize import SGD_UPDATE
from unifront.opset.replay import expand
from unifront.opset.spec import OPS
from unifront.opset.tensor import Builder, bind, building

JOINED = [
    OPS[n] for n in ("add", "multiply", "subtract", "divide", "sqrt", "negative", "abs", "square", "maximum")
]
EACH = {op: Each(op) for op in JOINED}
SHAPES: list[tuple[int, ...]] = [(3,), (2, 2), (0, 3), (1,), (2, 1, 3)]


def graph_of(function: Callable[..., Any], *shapes: tuple[int, ...], dtype: str = "float64") -> Graph:
    builder = Builder("test")
    inputs = [builder.input(f"x{i}", TensorType(dtype_of(dtype), shape)) for i, shape in enumerate(shapes)]
    with building(builder):
        results = function(*inputs)
    return builder.graph(list(results))


def counts(graph: Graph) -> dict[str, int]:
    names = [node.op.name for node in graph.nodes if node.op.name != "constant"]
    return {name: names.count(name) for name in names}


def joined(graph: Graph) -> dict[str, int]:
    return counts(batch_elementwise(graph, EACH, ()))


def test_equal_operations_of_one_depth_are_joined() -> None:
    graph = graph_of(lambda *xs: [ops.sqrt(ops.add(x, x)) for x in xs], *SHAPES)
    assert counts(graph) == {"add": 5, "sqrt": 5}
    assert joined(graph) == {"each_add": 1, "each_sqrt": 1}


def test_one_scalar_for_all_is_shared_and_another_is_another_group() -> None:
    def function(rate: Any, other: Any, *xs: Any) -> Any:
        return [ops.multiply(x, rate) for x in xs] + [ops.multiply(x, other) for x in xs]

    graph = batch_elementwise(graph_of(function, (), (), *SHAPES), EACH, ())
    assert counts(graph) == {"each_multiply": 2}
    assert [node.attributes["shared"] for node in graph.nodes] == [(False, True)] * 2
    assert [len(node.operands) for node in graph.nodes] == [6, 6]


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (lambda x, y, z: [ops.add(x, x), ops.add(y, y), ops.add(z, z)], [(3,)] * 3),  # too few
        (lambda x: [ops.sqrt(ops.sqrt(ops.sqrt(ops.sqrt(ops.sqrt(x)))))], [(3,)]),  # each hangs on another
        (lambda y, *xs: [ops.add(x, y) for x in xs], [(3,), *[(2, 3)] * 5]),  # they broadcast
        (lambda *xs: [ops.add(x, x) for x in xs], [()] * 5),  # scalars
    ],
    ids=["few", "chain", "broadcast", "scalars"],
)
def test_what_is_left_alone(function: Any, shapes: Any) -> None:
    graph = graph_of(function, *shapes)
    assert joined(graph) == counts(graph)


def test_other_dtypes_and_attributes_are_other_groups() -> None:
    graph = graph_of(lambda *xs: [ops.add(x, x) for x in xs], *[(3,)] * 5, dtype="int32")
    assert joined(graph) == {"add": 5}


def test_free_sizes_are_left_alone() -> None:
    from unifront.ir.dims import symbol

    graph = graph_of(lambda *xs: [ops.add(x, x) for x in xs], *[(symbol("batch"),)] * 5)  # type: ignore[list-item]
    assert joined(graph) == {"add": 5}


def test_nothing_passes_what_overwrites() -> None:
    def function(step: Any, rate: Any, *xs: Any) -> Any:
        before = [ops.add(x, x) for x in xs[:4]]
        new = bind(SGD_UPDATE, xs[4], xs[4], ops.cast(step, "int32"), rate, weight_decay=0.0)
        return [*before, new, *(ops.add(x, x) for x in xs[5:])]

    graph = batch_elementwise(graph_of(function, (), (), *[(3,)] * 9), EACH, {SGD_UPDATE})
    order = [node.op.name for node in graph.nodes]
    assert order.count("each_add") == 2
    assert order.index("each_add") < order.index("sgd_update") < len(order) - 1


def test_branches_are_joined_too() -> None:
    def function(flag: Any, *xs: Any) -> Any:
        def then() -> Any:
            return [ops.add(x, x) for x in xs]

        return ops.cond(ops.greater(flag, 0.0), then, lambda: list(xs))

    graph = batch_elementwise(graph_of(function, (), *SHAPES), EACH, ())
    (cond,) = [node for node in graph.nodes if node.op.name == "cond"]
    assert counts(cond.regions[0]) == {"each_add": 1}


def every_operation(scalar: Any, *xs: Any) -> list[Any]:
    """Each of `JOINED` on all ``xs``, those of two operands also with the scalar on either side."""
    found: list[Any] = []
    for function in (ops.sqrt, ops.negative, ops.abs, ops.square):
        found += [function(x) for x in xs]
    for function in (ops.add, ops.multiply, ops.subtract, ops.divide, ops.maximum):
        found += [function(x, ops.exp(x)) for x in xs]
        found += [function(x, scalar) for x in xs]
        found += [function(scalar, x) for x in xs]
    return found


@pytest.mark.skipif("torch" not in installed(), reason="PyTorch has the rows")
@pytest.mark.parametrize("scalar", [0.1, -0.0, np.inf, np.nan])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_lists_give_the_same_numbers(dtype: str, scalar: float) -> None:
    backend = placement("torch").backend
    rows = backend.rows()
    assert set(rows.batched) == set(JOINED)

    graph = expand(graph_of(every_operation, (), *SHAPES, dtype=dtype), rows.table.keys())
    after = batch_elementwise(graph, EACH, ())
    assert counts(after).keys() >= {f"each_{op.name}" for op in JOINED}
    lists = replace(rows, table={**rows.table, **{EACH[op]: row for op, row in rows.batched.items()}})
    rng = np.random.default_rng(0)
    values = [
        np.asarray(scalar),
        *(rng.choice([1.5, -2.25, 0.0, np.nan, np.inf, 1e6, 3e-5], shape) for shape in SHAPES),
    ]
    with np.errstate(all="ignore"):
        given = [backend.array(value.astype(dtype_of(dtype).numpy)) for value in values]
        one, many = (emit(g, r).function(tuple(given), ()) for g, r in ((graph, rows), (after, lists)))
    for expected, found in zip(one, many, strict=True):
        a, b = (backend.numpy(x).astype(np.float64) for x in (expected, found))
        assert expected.dtype == found.dtype
        np.testing.assert_array_equal(a, b)
        assert np.array_equal(np.signbit(a), np.signbit(b)) or np.isnan(a).any()
