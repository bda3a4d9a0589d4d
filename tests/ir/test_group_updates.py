"""Joining updates: which are joined, in which order the rest then stands, and that the numbers stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ir.graphs import names
from unifront import ops
from unifront.dtypes import float32, float64, int32
from unifront.ir.emit import emit
from unifront.ir.graph import Graph, Variable
from unifront.ir.passes.group_updates import group_updates
from unifront.ir.types import TensorType
from unifront.ir.verify import verify
from unifront.opset.optimize import GROUPED, SLOTS
from unifront.opset.tensor import Builder, Traced
from unifront.reference import BACKEND
from unifront.testing import assert_close

SHAPES = ((3,), (2, 2), ())


class Step:
    """A graph of updates: momentum for weights ``w0, w1, w2`` with the slots ``s0, s1, s2``."""

    def __init__(self, dtype: Any = float64) -> None:
        self.builder, self.dtype = Builder("step"), dtype
        self.gradients = [self.builder.input(f"g{i}", TensorType(dtype, s)) for i, s in enumerate(SHAPES)]
        self.iteration = self.builder.input("iteration", TensorType(int32))
        self.rate = self.builder.input("rate", TensorType(dtype))
        self.names = [f"{kind}{i}" for kind in "ws" for i in range(len(SHAPES))]
        types = [TensorType(dtype, shape) for shape in (*SHAPES, *SHAPES)]
        self.values = [self.builder.new(type_) for type_ in types]
        self.weights = [Traced(value, self.builder) for value in self.values[:3]]
        self.slots = [Traced(value, self.builder) for value in self.values[3:]]

    def update(self, i: int, gradient: Any = None, **attributes: Any) -> tuple[Any, Any]:
        """The new weight and slot ``i``."""
        gradient = self.gradients[i] if gradient is None else gradient
        return ops.momentum_update(
            self.weights[i], gradient, self.slots[i], self.iteration, self.rate, **attributes
        )

    def graph(self, results: Sequence[Any], new: dict[str, Any]) -> tuple[Graph, tuple[int, ...]]:
        """The graph that gives ``results``, and replaces variables by name; and which it replaces."""
        variables = [Variable(name, value) for name, value in zip(self.names, self.values, strict=True)]
        graph = self.builder.graph([*results, *new.values()], variables=variables)
        return graph, tuple(self.names.index(name) for name in new)


def grouped(graph: Graph, carry: tuple[int, ...]) -> Graph:
    """``graph`` after the pass; it is right, and gives the same numbers on NumPy."""
    after = group_updates(graph, carry, GROUPED, SLOTS)
    verify(after)
    rng = np.random.default_rng(0)
    inputs = [np.asarray(rng.normal(size=v.type.shape), v.type.dtype.numpy) for v in graph.inputs]
    values = [rng.normal(size=v.value.type.shape).astype(v.value.type.dtype.numpy) for v in graph.variables]
    results = [emit(g, BACKEND.rows()).function(tuple(inputs), tuple(values)) for g in (graph, after)]
    for old, new in zip(*results, strict=True):
        assert_close(new, old, bounds={"float64": 0.0, "float32": 0.0})
    assert (after.outputs, after.inputs) == (graph.outputs, graph.inputs)
    return after


def all_new(pairs: Sequence[tuple[Any, Any]]) -> dict[str, Any]:
    return {f"{kind}{i}": pair[k] for k, kind in enumerate("ws") for i, pair in enumerate(pairs)}


def test_equal_updates_are_joined() -> None:
    step = Step()
    graph, carry = step.graph([], all_new([step.update(i) for i in range(3)]))
    after = grouped(graph, carry)
    assert names(after) == ["momentum_updates"]
    (node,) = after.nodes
    assert node.attributes == {"count": 3, "momentum": 0.9, "nesterov": False, "weight_decay": 0.0}
    assert len(node.operands) == 3 * 3 + 2


def test_other_attributes_rates_and_dtypes_stand_apart() -> None:
    step = Step()
    pairs = [step.update(0), step.update(1, momentum=0.5)]
    step.rate = ops.multiply(step.rate, 0.5)
    graph, carry = step.graph([], all_new([*pairs, step.update(2)]))
    after = grouped(graph, carry)
    counts = [node.attributes["count"] for node in after.nodes if node.op.name == "momentum_updates"]
    assert counts == [1, 1, 1]


def test_what_reads_a_result_comes_behind_the_group() -> None:
    step = Step()
    first = step.update(0)
    read = ops.add(ops.sum(first[0]), ops.sum(first[1]))
    graph, carry = step.graph([read], all_new([first, step.update(1), step.update(2)]))
    after = grouped(graph, carry)
    assert sorted(names(after)[:1] + names(after)[-1:]) == ["add", "momentum_updates"]
    assert names(after).count("momentum_updates") == 1


def test_a_gradient_made_of_a_new_weight_waits_for_it() -> None:
    """The second weight's gradient is the first one's new value: one group cannot do both."""
    step = Step()
    first = step.update(0)
    second = step.update(1, gradient=ops.add(step.gradients[1], ops.sum(first[0])))
    third = step.update(2)
    graph, carry = step.graph([], all_new([first, second, third]))
    after = grouped(graph, carry)
    nodes = [node for node in after.nodes if node.op.name == "momentum_updates"]
    assert sum(node.attributes["count"] for node in nodes) == 3


def _not_carried(step: Step) -> tuple[Graph, tuple[int, ...]]:
    new = all_new([step.update(i) for i in range(3)])
    return step.graph([new.pop("s1")], new)


def _read_later(step: Step) -> tuple[Graph, tuple[int, ...]]:
    new = all_new([step.update(i) for i in range(3)])
    return step.graph([ops.multiply(step.weights[1], new["w1"])], new)


def _an_output(step: Step) -> tuple[Graph, tuple[int, ...]]:
    return step.graph([step.slots[1]], all_new([step.update(i) for i in range(3)]))


def _changed_afterwards(step: Step) -> tuple[Graph, tuple[int, ...]]:
    new = all_new([step.update(i) for i in range(3)])
    return step.graph([], {**new, "w1": ops.multiply(new["w1"], 2.0)})


def _exchanged(step: Step) -> tuple[Graph, tuple[int, ...]]:
    new = all_new([step.update(i) for i in range(3)])
    return step.graph([], {**new, "w1": new["s1"], "s1": new["w1"]})


def _its_own_gradient(step: Step) -> tuple[Graph, tuple[int, ...]]:
    return step.graph([], all_new([step.update(0), step.update(1, gradient=step.weights[1]), step.update(2)]))


def _of_a_changed_weight(step: Step) -> tuple[Graph, tuple[int, ...]]:
    step.weights[1] = ops.multiply(step.weights[1], 0.5)
    return step.graph([], all_new([step.update(i) for i in range(3)]))


def _read_later_through_a_view(step: Step) -> tuple[Graph, tuple[int, ...]]:
    view = ops.reshape(ops.transpose(step.weights[1]), (4,))
    new = all_new([step.update(i) for i in range(3)])
    return step.graph([ops.multiply(view, ops.sum(new["w1"]))], new)


def _a_view_as_an_output(step: Step) -> tuple[Graph, tuple[int, ...]]:
    view = ops.stop_gradient(step.slots[1])
    return step.graph([view], all_new([step.update(i) for i in range(3)]))


def _a_view_from_a_body(step: Step) -> tuple[Graph, tuple[int, ...]]:
    view = ops.cond(ops.greater(step.iteration, 0), lambda: step.weights[1], lambda: step.gradients[1])
    return step.graph([view], all_new([step.update(i) for i in range(3)]))


def _a_view_as_its_own_gradient(step: Step) -> tuple[Graph, tuple[int, ...]]:
    own = ops.transpose(step.weights[1])
    return step.graph([], all_new([step.update(0), step.update(1, gradient=own), step.update(2)]))


LEFT: list[Callable[[Step], tuple[Graph, tuple[int, ...]]]] = [
    _not_carried, _read_later, _an_output, _changed_afterwards, _exchanged, _its_own_gradient,
    _of_a_changed_weight, _read_later_through_a_view, _a_view_as_an_output, _a_view_from_a_body,
    _a_view_as_its_own_gradient,
]  # fmt: skip


@pytest.mark.parametrize("made", LEFT, ids=lambda made: made.__name__.strip("_"))
def test_what_may_not_be_overwritten_is_left(made: Callable[[Step], tuple[Graph, tuple[int, ...]]]) -> None:
    graph, carry = made(Step(float32))
    after = grouped(graph, carry)
    found = names(after)
    assert (found.count("momentum_update"), found.count("momentum_updates")) == (1, 1)
    (node,) = (node for node in after.nodes if node.op.name == "momentum_updates")
    assert node.attributes["count"] == 2
    joined = set(node.operands[:2])
    assert joined == {graph.variables[0].value, graph.variables[2].value}


def test_a_gradient_read_of_a_weight_of_the_same_group_is_the_old_one() -> None:
    """Weights change places as gradients: a group that overwrites one before it reads the other would be wrong."""
    step = Step()
    other = ops.add(step.gradients[0], ops.sum(step.weights[1]))
    graph, carry = step.graph([], all_new([step.update(0, gradient=other), step.update(1), step.update(2)]))
    after = grouped(graph, carry)
    assert names(after) == ["sum", "add", "momentum_updates"]


def test_without_grouped_operations_the_graph_stays() -> None:
    step = Step()
    graph, carry = step.graph([], all_new([step.update(i) for i in range(3)]))
    assert group_updates(graph, carry, {}, SLOTS) is graph


@settings(deadline=None, max_examples=60)
@given(
    order=st.permutations(range(3)),
    reads=st.lists(
        st.tuples(st.sampled_from(["old", "new"]), st.integers(0, 2), st.integers(0, 2)), max_size=3
    ),
    momenta=st.tuples(*[st.sampled_from([0.5, 0.9])] * 3),
    results=st.lists(st.integers(0, 2), max_size=2),
)
def test_numbers_and_order_stay_right(
    order: list[int], reads: list[tuple[str, int, int]], momenta: tuple[float, ...], results: list[int]
) -> None:
    """Gradients that read weights and slots before and after their updates, in any order."""
    step = Step()
    pairs: dict[int, tuple[Any, Any]] = {}
    for i in order:
        gradient = step.gradients[i]
        for when, reader, source in reads:
            if reader == i:
                if when == "new" and source in pairs:
                    gradient = ops.add(gradient, ops.sum(pairs[source][1]))
                elif when == "old":
                    gradient = ops.add(gradient, ops.sum(step.weights[source]))
        pairs[i] = step.update(i, gradient=gradient, momentum=momenta[i])
    given_back = [ops.sum(step.weights[i]) for i in results]
    graph, carry = step.graph(given_back, all_new([pairs[i] for i in range(3)]))
    after = grouped(graph, carry)
    overwritten: set[Any] = set()
    for node in after.nodes:  # nobody reads what a group before it has overwritten
        assert not overwritten & set(node.operands)
        if node.op in SLOTS and node.op.name == "momentum_updates":
            count = node.attributes["count"]
            overwritten |= {*node.operands[:count], *node.operands[2 * count : 3 * count]}
