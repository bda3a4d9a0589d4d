"""Branches and loops. What is known at import is decided then: a branch is taken, a loop is written out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unifront import ops
from unifront.errors import UnifrontError
from unifront.onnx.imports.node import Node, Row, axes_of
from unifront.onnx.imports.values import NeedsValue, NotKnown, Parts, Value
from unifront.opset.tensor import Traced, type_of

UNROLLED = 2
"""Steps up to which a loop is written out whose length is known."""
MOST_STEPS = 1000
"""Steps of a loop that has to be written out, since it cannot be one of the graph."""


def _scalar(node: Node, value: Value) -> Any:
    return value.reshape(()).item() if isinstance(value, np.ndarray) else None


def _if(node: Node, condition: Value) -> Any:
    known = _scalar(node, condition)
    if known is not None:
        return _results(node, node.graph("then_branch" if known else "else_branch"))
    predicate = ops.reshape(condition, ())

    def branch(name: str) -> Any:
        return lambda: _traced(node, node.graph(name))

    try:
        results = ops.cond(predicate, branch("then_branch"), branch("else_branch"))
    except NeedsValue:
        raise
    except UnifrontError as error:  # branches of different types: only one of them is the graph
        try:
            node.known(condition, "the condition (its branches differ)")
        except NeedsValue as asked:
            raise asked from error
        raise
    return tuple(results) if isinstance(results, tuple) else results


def _results(node: Node, values: Sequence[Value]) -> Any:
    if len(node.proto.output) > len(values):
        node.fail(f"a body gives {len(values)} results")
    return tuple(values)


def _traced(node: Node, values: Sequence[Value]) -> tuple[Any, ...]:
    """Results of a body as tensors, made in the builder that is active."""
    if any(value is None or isinstance(value, Parts) for value in values):
        raise NotKnown(f"{node.label}: a sequence or optional comes out of a branch or loop")
    return tuple(node.traced(value) for value in values)


def _loop(node: Node, limit: Value, condition: Value, *states: Value) -> Any:
    steps = None if limit is None else _scalar(node, limit)
    going = True if condition is None else _scalar(node, condition)
    constant = _keeps_going(node["body"])
    if going is False or steps == 0 or (steps is not None and steps <= UNROLLED and constant and going):
        return _unrolled(node, steps, going, states)
    try:
        return _looped(node, limit, condition, states, constant)
    except NeedsValue:
        raise
    except (UnifrontError, TypeError) as error:
        # A state changes its type, or is a sequence: written out, if it is known how often.
        try:
            steps = (
                steps
                if limit is None or steps is not None
                else int(node.known(limit, "the number of steps").reshape(()))
            )
            going = going if going is not None else bool(node.known(condition, "the condition").reshape(()))
        except NeedsValue as asked:
            raise asked from error
        return _unrolled(node, steps, going, states)


def _keeps_going(body: Any) -> bool:
    """Whether the condition that a loop's body gives is the one that it takes, or true."""
    if len(body.input) < 2 or not body.output:
        return False
    name = body.output[0].name
    made = {output: one for one in body.node for output in one.output}
    true = {
        one.name
        for one in body.initializer
        if one.data_type == 9 and list(one.raw_data or one.int32_data) == [1]
    }
    for _ in range(len(body.node) + 1):
        if name == body.input[1].name or name in true:
            return True
        one = made.get(name)
        if one is None:
            return False
        if one.op_type == "Constant":
            tensor = next((a.t for a in one.attribute if a.name == "value"), None)
            return tensor is not None and list(tensor.raw_data or tensor.int32_data) == [1]
        if one.op_type not in ("Identity", "Cast") or not one.input:
            return False
        name = one.input[0]
    return False


def _unrolled(node: Node, steps: int | None, going: bool, states: Sequence[Value]) -> Any:
    """A loop written out, as long as it is known whether it goes on."""
    columns: list[list[Any]] | None = None
    count, values = 0, list(states)
    while going and (steps is None or count < steps):
        if count == MOST_STEPS:
            node.fail(f"a loop of more than {MOST_STEPS} steps would have to be written out")
        outputs = node.graph("body", np.asarray(count, np.int64), np.asarray(True), *values)
        again, values, scanned = outputs[0], list(outputs[1 : 1 + len(values)]), outputs[1 + len(values) :]
        columns = [[] for _ in scanned] if columns is None else columns
        for column, value in zip(columns, scanned, strict=True):
            column.append(node.number(value))
        going = bool(node.known(again, "whether the loop goes on").reshape(()))
        count += 1
    if columns is None:
        number = len(node["body"].output) - 1 - len(states)
        return _results(node, (*values, *(_nothing(node, i) for i in range(-number, 0))))
    return _results(node, (*values, *(ops.stack(column, 0) for column in columns)))


def _nothing(node: Node, number: int) -> Any:
    """The scan output of a loop without steps: nothing, of the shape that the body declares."""
    from unifront.onnx.imports.values import carrier

    declared = node["body"].output[number].type.tensor_type
    dims = [dim.dim_value for dim in declared.shape.dim]
    return np.zeros((0, *dims), carrier(declared.elem_type or 1).numpy)


def _looped(node: Node, limit: Value, condition: Value, states: Sequence[Value], constant: bool) -> Any:
    """A loop of the graph: a scan where its length is a size, else a `while_loop`."""
    number = len(node["body"].output) - 1 - len(states)
    initial = tuple(
        node.traced(node.number(one)) if not isinstance(one, Parts) else _refuse(node) for one in states
    )
    known_steps = _length(node, limit, named=number > 0) if constant else None
    if constant and condition_holds(node, condition) and known_steps is not None:
        counted = ops.iota((known_steps,), 0, "int64", like=node.traced(np.zeros((), np.int64)))

        def step(carry: Any, place: Any) -> Any:
            outputs = _traced(node, node.graph("body", place, np.asarray(True), *carry))
            return tuple(outputs[1 : 1 + len(initial)]), tuple(outputs[1 + len(initial) :])

        last, scanned = ops.scan(step, initial, counted)
        return _results(node, (*last, *scanned))
    if number:
        raise NotKnown(
            f"{node.label}: a loop of a length that comes from values collects what its steps give"
        )
    start = node.traced(np.asarray(True)) if condition is None else ops.reshape(node.traced(condition), ())
    bound = None if limit is None else ops.reshape(ops.cast(node.traced(limit), "int64"), ())
    zero = node.traced(np.zeros((), np.int64))

    def goes_on(count: Any, going: Any, *carry: Any) -> Any:
        return going if bound is None else ops.logical_and(going, ops.less(count, bound))

    def body(count: Any, going: Any, *carry: Any) -> Any:
        outputs = _traced(node, node.graph("body", count, going, *carry))
        return (ops.add(count, np.int64(1)), ops.reshape(outputs[0], ()), *outputs[1:])

    _, _, *last = ops.while_loop(goes_on, body, (zero, start, *initial))
    return _results(node, last)


def condition_holds(node: Node, condition: Value) -> bool:
    """Whether a loop's first condition is known to be true."""
    return condition is None or bool(_scalar(node, condition))


def _length(node: Node, limit: Value, *, named: bool) -> Any:
    """The number of steps as a size; one that comes from values only where ``named``: not all backends take that."""
    if limit is None:
        return None
    if isinstance(limit, Traced):
        if not named:
            return None
        limit = ops.reshape(ops.maximum(ops.cast(limit, "int64"), 0), ())
    return node.dims(limit, "the number of steps")[0]


def _refuse(node: Node) -> Any:
    raise NotKnown(f"{node.label}: a sequence is carried from step to step")


def _scan(node: Node, *operands: Value) -> Any:
    if node.version < 9:
        return _scan_batched(node, *operands)
    count = _scanned_inputs(node, operands)
    states, sequences = operands[: len(operands) - count], operands[len(operands) - count :]
    outputs = len(node.proto.output) - len(states)
    inward = node["scan_input_directions"] or (0,) * count
    outward = node["scan_output_directions"] or (0,) * outputs
    tensors = [node.traced(node.number(one)) for one in sequences]
    axes = [
        axes_of(node, [a], type_of(x).rank)[0]
        for a, x in zip(node["scan_input_axes"] or (0,) * count, tensors, strict=True)
    ]
    first = [ops.moveaxis(x, axis, 0) for x, axis in zip(tensors, axes, strict=True)]
    first = [ops.flip(x, 0) if back else x for x, back in zip(first, inward, strict=True)]
    last, collected = _scanned(node, states, first)
    scanned = [ops.flip(y, 0) if back else y for y, back in zip(collected, outward, strict=True)]
    places = node["scan_output_axes"] or (0,) * outputs
    moved = [
        ops.moveaxis(y, 0, axes_of(node, [a], type_of(y).rank)[0])
        for y, a in zip(scanned, places, strict=True)
    ]
    return _results(node, (*last, *moved))


def _scanned_inputs(node: Node, operands: Sequence[Value]) -> int:
    count: int = node["num_scan_inputs"]
    if not 1 <= count <= len(operands):
        node.fail(f"it scans {count} of {len(operands)} operands")
    return count


def _scanned(
    node: Node, states: Sequence[Value], sequences: Sequence[Any]
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    initial = tuple(node.traced(node.number(one)) for one in states)

    def step(carry: Any, given: Any) -> Any:
        results = _traced(node, node.graph("body", *carry, *given))
        return tuple(results[: len(initial)]), tuple(results[len(initial) :])

    last, scanned = ops.scan(step, initial, tuple(sequences))
    return tuple(last), tuple(scanned)


def _scan_batched(node: Node, lengths: Value, *operands: Value) -> Any:
    """Scan of version 8: each example of a batch by itself, over axis 1."""
    count = _scanned_inputs(node, operands)
    if lengths is not None:
        node.fail("a Scan of version 8 with lengths of its sequences")
    states, sequences = operands[: len(operands) - count], operands[len(operands) - count :]
    directions = node["directions"] or (0,) * count
    tensors = [node.traced(node.number(one)) for one in (*states, *sequences)]
    batch = type_of(tensors[0]).shape[0]
    if not isinstance(batch, int):
        node.fail("a Scan of version 8 over a batch of free size")
    rows = []
    for i in range(batch):
        own = [ops.get_item(one, i) for one in tensors]
        first = [
            ops.flip(x, 0) if back else x for x, back in zip(own[len(states) :], directions, strict=True)
        ]
        last, scanned = _scanned(node, own[: len(states)], first)
        rows.append((*last, *scanned))
    return _results(node, tuple(ops.stack(column, 0) for column in zip(*rows, strict=True)))


TABLE = {
    "If": Row(_if),
    "Loop": Row(_loop, raw=True),
    "Scan": Row(_scan, raw=True),
}
