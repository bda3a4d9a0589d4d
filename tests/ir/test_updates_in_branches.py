"""Updates in a branch: which are joined, and that what is overwritten there is what the branch gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.ir.graphs import names
from tests.ir.test_group_updates import Step, all_new
from unifront import ops
from unifront.ir.emit import emit
from unifront.ir.graph import Graph, Node
from unifront.ir.passes.group_updates import group_updates
from unifront.ir.verify import verify
from unifront.opset.optimize import GROUPED, MOMENTUM_UPDATE, SLOTS, columns
from unifront.reference import BACKEND

JOINED = GROUPED[MOMENTUM_UPDATE]


def overwrite(*operands: Any, count: int, **attributes: Any) -> None:
    """The rule on NumPy arrays, in place."""
    new = JOINED.reference(*operands, count=count, **attributes)
    for places, results in columns(count, SLOTS[JOINED]):
        for place, result in zip((places[0], *places[2:]), results, strict=True):
            operands[place][...] = new[result]


IN_PLACE = replace(BACKEND.rows(), in_place={JOINED: overwrite})


def joined(graph: Graph, carry: tuple[int, ...], overwritten: set[str]) -> Graph:
    """``graph`` after the pass, which gives the same numbers whichever branch runs, and overwrites these variables."""
    after = group_updates(graph, carry, GROUPED, SLOTS)
    verify(after)
    plain, in_place = emit(graph, BACKEND.rows()), emit(after, IN_PLACE, carry=carry)
    results = len(graph.outputs) - len(carry)
    for iteration in range(3):
        rng = np.random.default_rng(iteration)
        inputs = [np.asarray(rng.normal(size=v.type.shape), v.type.dtype.numpy) for v in graph.inputs]
        (at,) = (i for i, value in enumerate(graph.inputs) if value.type.dtype.is_integer)
        inputs[at] = np.asarray(iteration, np.int32)
        values = [np.asarray(rng.normal(size=v.value.type.shape)) for v in graph.variables]
        expected = plain.function(tuple(inputs), tuple(value.copy() for value in values))
        cells = (tuple(values),) if overwritten else ()
        found = list(in_place.function(tuple(inputs), tuple(values), *cells))
        gone = set()
        for place, position in enumerate(carry, results):
            if found[place] is None:
                gone.add(graph.variables[position].name)
                found[place] = values[position]
        assert gone == overwritten
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)
    return after


ALL = {"w0", "w1", "w2", "s0", "s1", "s2"}
Pairs = Sequence[tuple[Any, Any]]


def updates(step: Step) -> list[tuple[Any, Any]]:
    return [step.update(i) for i in range(3)]


def as_they_were(step: Step) -> list[tuple[Any, Any]]:
    return list(zip(step.weights, step.slots, strict=True))


def chosen(step: Step, then: Callable[[], Pairs], otherwise: Callable[[], Pairs]) -> dict[str, Any]:
    """What one of two branches gives: the first one from the second iteration on."""
    return all_new(ops.cond(ops.greater(step.iteration, 0), then, otherwise))


def conds(graph: Graph) -> list[Node]:
    return [node for node in graph.nodes if node.op.name == "cond"]


@pytest.mark.parametrize("first", [True, False])
def test_updates_of_one_branch_are_joined(first: bool) -> None:
    step = Step()
    ways = (lambda: updates(step)), (lambda: as_they_were(step))
    graph, carry = step.graph([], chosen(step, *(ways if first else ways[::-1])))
    after = joined(graph, carry, ALL)
    (cond,) = conds(after)
    assert [names(region) for region in cond.regions] == [["momentum_updates"], []][:: 1 if first else -1]


def test_a_branch_in_a_branch() -> None:
    """Steps that only gather, in steps that may be left out."""
    step = Step()

    def last() -> Pairs:
        return ops.cond(ops.equal(step.iteration, 2), lambda: updates(step), lambda: as_they_were(step))

    graph, carry = step.graph([], chosen(step, last, lambda: as_they_were(step)))
    (outer,) = conds(joined(graph, carry, ALL))
    (inner,) = conds(outer.regions[0])
    assert names(inner.regions[0]) == ["momentum_updates"]


def test_what_each_update_computes_for_itself_is_computed_once() -> None:
    step = Step()
    rate = step.rate

    def then() -> Pairs:
        found = []
        for i in range(3):
            step.rate = ops.multiply(rate, 0.5)
            found.append(step.update(i))
        return found

    graph, carry = step.graph([], chosen(step, then, lambda: as_they_were(step)))
    (cond,) = conds(joined(graph, carry, ALL))
    assert names(cond.regions[0]) == ["multiply", "momentum_updates"]


def test_other_results_of_the_branch_and_what_reads_the_new_values() -> None:
    step = Step()

    def then() -> Any:
        new = updates(step)
        return new, ops.add(ops.sum(new[0][0]), ops.sum(new[1][1]))

    new, total = ops.cond(ops.greater(step.iteration, 0), then, lambda: (as_they_were(step), step.rate))
    graph, carry = step.graph([total, ops.square(new[2][1])], all_new(new))
    joined(graph, carry, ALL)


def _other_changes(step: Step) -> Any:
    def otherwise() -> Pairs:
        new = as_they_were(step)
        return [new[0], (ops.multiply(new[1][0], 2.0), new[1][1]), new[2]]

    return [], chosen(step, lambda: updates(step), otherwise)


def _both_update(step: Step) -> Any:
    def otherwise() -> Pairs:
        new = as_they_were(step)
        return [new[0], step.update(1, momentum=0.5), new[2]]

    return [], chosen(step, lambda: updates(step), otherwise)


def _exchanged(step: Step) -> Any:
    def otherwise() -> Pairs:
        new = as_they_were(step)
        return [new[0], (new[1][1], new[1][0]), new[2]]

    return [], chosen(step, lambda: updates(step), otherwise)


def _read_later(step: Step) -> Any:
    new = chosen(step, lambda: updates(step), lambda: as_they_were(step))
    return [ops.multiply(step.weights[1], new["w1"])], new


def _a_view_read_later(step: Step) -> Any:
    view = ops.reshape(ops.transpose(step.weights[1]), (4,))
    new = chosen(step, lambda: updates(step), lambda: as_they_were(step))
    return [ops.multiply(view, ops.sum(new["w1"]))], new


def _a_view_beside_it(step: Step) -> Any:
    """The branch reads the view behind the update."""
    view = ops.reshape(step.weights[1], (4,))

    def then() -> Any:
        new = updates(step)
        return new, ops.add(view, ops.sum(new[1][0]))

    new, total = ops.cond(
        ops.greater(step.iteration, 0), then, lambda: (as_they_were(step), ops.negative(view))
    )
    return [total], all_new(new)


def _read_in_the_branch(step: Step) -> Any:
    def then() -> Any:
        new = updates(step)
        return new, ops.multiply(step.weights[1], new[1][0])

    new, product = ops.cond(
        ops.greater(step.iteration, 0), then, lambda: (as_they_were(step), ops.negative(step.weights[1]))
    )
    return [product], all_new(new)


def _given_in_the_branch(step: Step) -> Any:
    """The old weight comes out beside the new one."""
    new, old = ops.cond(
        ops.greater(step.iteration, 0), lambda: (updates(step), step.weights[1]),
        lambda: (as_they_were(step), ops.negative(step.weights[1])),
    )  # fmt: skip
    return [old], all_new(new)


def _changed_afterwards(step: Step) -> Any:
    new = chosen(step, lambda: updates(step), lambda: as_they_were(step))
    return [], {**new, "w1": ops.multiply(new["w1"], 2.0)}


LEFT: list[Callable[[Step], Any]] = [
    _other_changes, _both_update, _exchanged, _read_later, _a_view_read_later, _a_view_beside_it, _read_in_the_branch,
    _given_in_the_branch, _changed_afterwards,
]  # fmt: skip


@pytest.mark.parametrize("made", LEFT, ids=lambda made: made.__name__.strip("_"))
def test_what_may_not_be_overwritten_is_left(made: Callable[[Step], Any]) -> None:
    step = Step()
    results, new = made(step)
    graph, carry = step.graph(results, new)
    after = joined(graph, carry, ALL - {"w1", "s1"})
    (cond,) = conds(after)
    found = names(cond.regions[0])
    assert (found.count("momentum_update"), found.count("momentum_updates")) == (1, 1)
