"""Sequences of known length, which are `Parts`, and optionals, which are a value or None."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from unifront import ops
from unifront.onnx.imports.node import Node, Row, axis_of, rank
from unifront.onnx.imports.values import Parts, Value, is_strings
from unifront.opset.tensor import type_of

MOST_PARTS = 2**12
"""Tensors into which one may be taken apart."""


def _sequence(node: Node, value: Value) -> tuple[Value, ...]:
    if not isinstance(value, Parts):
        node.fail("a sequence is needed, not a tensor")
    return value


def _place(node: Node, position: Value, count: int) -> int:
    place = int(node.known(position, "a position in a sequence").reshape(-1)[0])
    if not -count <= place < max(count, 1) and count:
        node.fail(f"the position {place} in a sequence of {count}")
    return place % count if count else 0


def _construct(node: Node, *parts: Value) -> Value:
    return Parts(parts)


def _empty(node: Node) -> Value:
    return Parts()


def _insert(node: Node, sequence: Value, tensor: Value, position: Value = None) -> Value:
    parts = list(_sequence(node, sequence))
    if position is None:
        return Parts([*parts, tensor])
    place = int(node.known(position, "a position in a sequence").reshape(-1)[0])
    if not -len(parts) <= place <= len(parts):
        node.fail(f"the position {place} in a sequence of {len(parts)}")
    parts.insert(place, tensor)
    return Parts(parts)


def _erase(node: Node, sequence: Value, position: Value = None) -> Value:
    parts = list(_sequence(node, sequence))
    del parts[len(parts) - 1 if position is None else _place(node, position, len(parts))]
    return Parts(parts)


def _at(node: Node, sequence: Value, position: Value) -> Value:
    parts = _sequence(node, sequence)
    return parts[_place(node, position, len(parts))]


def _length(node: Node, sequence: Value) -> Value:
    return np.asarray(len(_sequence(node, sequence)), np.int64)


def _concat(node: Node, sequence: Value) -> Value:
    parts = [node.number(one) for one in _sequence(node, sequence)]
    if any(is_strings(one) for one in parts):
        join = np.stack if node["new_axis"] else np.concatenate
        return join([node.known(one) for one in parts], node["axis"])
    if node["new_axis"]:
        return ops.stack(parts, axis_of(node, node["axis"], rank(parts[0]) + 1))
    return ops.concatenate(parts, axis_of(node, node["axis"], rank(parts[0])))


def _split(node: Node, x: Value, split: Value = None) -> Value:
    x = node.number(x)
    axis = axis_of(node, node["axis"], rank(x))
    length = type_of(x).shape[axis]
    if not isinstance(length, int):
        node.fail("a sequence of a length that is free")
    sizes = None if split is None else node.known(split, "the sizes of the parts")
    if length > MOST_PARTS and (sizes is None or (sizes.ndim == 0 and sizes * MOST_PARTS < length)):
        node.fail(f"a sequence of more than {MOST_PARTS} parts")
    if sizes is None:
        parts = ops.split(x, list(range(1, length)), axis)
        return Parts(parts if node["keepdims"] else [ops.squeeze(one, axis) for one in parts])
    if sizes.ndim == 0:
        cuts: Sequence[int] = list(range(int(sizes), length, int(sizes)))
    else:
        cuts = [int(n) for n in np.cumsum(sizes)[:-1]]
    return Parts(ops.split(x, list(cuts), axis))


def _map(node: Node, sequence: Value, *others: Value) -> Value:
    length = len(_sequence(node, sequence))
    columns: list[list[Value]] = [[] for _ in node.proto.output]
    for i in range(length):
        given = [one[i] if isinstance(one, Parts) else one for one in (sequence, *others)]
        for column, value in zip(columns, node.graph("body", *given), strict=True):
            column.append(value)
    return tuple(Parts(column) for column in columns)


def _optional(node: Node, value: Value = None) -> Value:
    return value


def _has_element(node: Node, value: Value = None) -> Value:
    return np.asarray(value is not None)


def _get_element(node: Node, value: Value) -> Value:
    return node.fail("an optional without a value") if value is None else value


_RAW: dict[str, Callable[..., Value]] = {
    "SequenceConstruct": _construct,
    "SequenceEmpty": _empty,
    "SequenceInsert": _insert,
    "SequenceErase": _erase,
    "SequenceAt": _at,
    "SequenceLength": _length,
    "ConcatFromSequence": _concat,
    "SplitToSequence": _split,
    "SequenceMap": _map,
    "Optional": _optional,
    "OptionalHasElement": _has_element,
    "OptionalGetElement": _get_element,
}
TABLE = {name: Row(function, raw=True) for name, function in _RAW.items()}
