"""Patterns of several branches: attention, and group normalization by way of instances; rules of `patterns`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from unifront.ir.graph import Node, Value

if TYPE_CHECKING:
    from unifront.onnx.patterns import New, See

HEADS_BEHIND = (0, 2, 1, 3)
"""The axes of time and of heads in each other's place."""


def _unscaled(value: Value | None, see: See) -> tuple[Value | None, float]:
    """What is multiplied by a number, or divided by one, and the number."""
    made = see.maker(value, "multiply", "divide")
    found = see.split(made)
    if made is None or found is None:
        return value, 1.0
    one, number = found
    if made.op.name == "divide":
        return (one, 1 / number) if one is made.operands[0] and number else (value, 1.0)
    return one, number


def _turned(value: Value, axes: tuple[int, ...], node: Node, see: See) -> Value:
    """``value`` transposed; what is a transpose already is undone."""
    made = see.maker(value, "transpose")
    if made is not None and made.operands[0] is not None:
        order = tuple(made.attributes["axes"][axis] for axis in axes)
        if order == tuple(range(len(axes))):
            return made.operands[0]
        return see.add("transpose", (made.operands[0],), {"axes": order}, node)
    return see.add("transpose", (value,), {"axes": axes}, node)


def attention(node: Node, see: See) -> Value | None:
    """``softmax(query · keyᵀ * scale + bias) · value`` of heads that stand before the time.

    A mask that puts a low number, finite, in the place of products is that of the operation: where none of a row
    counts, all count alike.
    """
    soft = see.maker(node.operands[0], "softmax")
    value = node.operands[1]
    if soft is None or value is None or value.type.rank != 4 or soft.attributes["axis"] not in (-1, 3):
        return None
    if see.readers(soft.outputs[0]) != 1:  # somebody wants the weights
        return None
    logits, mask = _masked(soft.operands[0], see)
    found = _products(logits, see)
    if found is None:
        return None
    query, key, scale, bias = found
    batch, heads, targets, size = query.type.shape
    if key.type.rank != 4 or not isinstance(heads, int) or not isinstance(size, int):
        return None
    sources = key.type.shape[3]  # (batch, heads, size, source)
    whole = (batch, heads, targets, sources)
    fits = key.type.shape[:3] == (batch, heads, size) and value.type.shape[:3] == (batch, heads, sources)
    if not fits or not query.type.dtype.is_float or not all(_spreads(one, whole) for one in (bias, mask)):
        return None
    if bias is not None and bias.type.dtype != query.type.dtype:
        return None
    operands = (
        _turned(query, HEADS_BEHIND, node, see),
        _turned(key, (0, 3, 1, 2), node, see),
        _turned(value, HEADS_BEHIND, node, see),
        bias,
        mask,
    )
    attributes: Mapping[str, Any] = {"scale": float(scale), "causal": False}
    return _turned(see.add("attention", operands, attributes, node), HEADS_BEHIND, node, see)


LOW = -1e30
"""Products of queries and keys are far above it, so that its exponential beside theirs is 0."""


def _masked(logits: Value | None, see: See) -> tuple[Value | None, Value | None]:
    """The products before a mask that puts a low number in the place of some, and where it does not."""
    chosen = see.maker(logits, "where")
    if chosen is None:
        return logits, None
    mask, kept, low = chosen.operands
    number = see.number(_spread(low, see))
    lowest = number is not None and math.isfinite(number) and number < LOW
    return (kept, mask) if lowest else (logits, None)


def _spread(value: Value | None, see: See) -> Value | None:
    """What is broadcast."""
    made = see.maker(value, "broadcast_to")
    return value if made is None else made.operands[0]


def _products(logits: Value | None, see: See) -> tuple[Value, Value, float, Value | None] | None:
    """Queries, transposed keys, the scale of their products and what is added to them."""
    added = see.maker(logits, "add")
    choices: list[tuple[Value | None, Value | None]] = [(logits, None)]
    if added is not None:
        choices = [(added.operands[0], added.operands[1]), (added.operands[1], added.operands[0])]
    for scores, bias in choices:
        inner, scale = _unscaled(scores, see)
        product = see.maker(inner, "matmul")
        if product is None:
            continue
        query, left = _unscaled(product.operands[0], see)
        key, right = _unscaled(product.operands[1], see)
        if query is not None and key is not None and query.type.rank == 4:
            return query, key, _rounded(scale * left * right, query), bias
    return None


def _rounded(scale: float, query: Value) -> float:
    """A scale that is the usual one but for the rounding of its parts."""
    size = query.type.shape[3]
    usual = 1 / math.sqrt(size) if isinstance(size, int) and size else scale
    return usual if math.isclose(scale, usual, rel_tol=1e-6) else scale


def _spreads(value: Value | None, whole: tuple[Any, ...]) -> bool:
    """Whether a bias or mask, if it is there, broadcasts to the products."""
    shape = () if value is None else value.type.shape
    return len(shape) <= 4 and all(
        a in (1, b) for a, b in zip(reversed(shape), reversed(whole), strict=False)
    )


def group_norm(node: Node, see: See) -> New | None:
    """A normalization of instances whose channels are groups of channels, put back into shape."""
    normal = see.maker(node.operands[0], "group_norm")
    flat = see.maker(normal.operands[0], "reshape") if normal is not None else None
    if normal is None or flat is None or flat.operands[0] is None:
        return None
    x, groups = flat.operands[0], normal.attributes["groups"]
    shape, inner = x.type.shape, flat.outputs[0].type.shape
    plain = _all(normal.operands[1], 1, see) and _all(normal.operands[2], 0, see)
    same = node.outputs[0].type == x.type and x.type.rank > 2 and inner[:2] == (shape[0], groups)
    channels = shape[1] if x.type.rank > 1 else 0
    if not plain or not same or normal.attributes["axis"] != 1:
        return None
    if not isinstance(channels, int) or channels % groups:
        return None
    return "group_norm", (x, None, None), {**normal.attributes, "axis": 1}


def _all(value: Value | None, number: float, see: See) -> bool:
    array = see.array(value)
    return value is None or (array is not None and bool(np.all(array == number)))


def group_scale(node: Node, see: See) -> New | None:
    """Numbers of channels that multiply such a normalization, or are added to it, are its scale and shift."""
    place = 1 if node.op.name == "multiply" else 2
    for one, other in (node.operands, node.operands[::-1]):
        made = see.maker(one, "group_norm")
        if made is None or other is None or made.operands[0] is None or made.operands[place] is not None:
            continue
        x, axis = made.operands[0], made.attributes["axis"]
        rest = x.type.rank - axis - 1
        wanted = (x.type.shape[axis], *(1,) * rest)
        if (place == 1 and made.operands[2] is not None) or other.type.shape not in (wanted, (1, *wanted)):
            continue
        if other.type.dtype != x.type.dtype:
            continue
        vector = see.add("reshape", (other,), {"shape": wanted[:1]}, node)
        operands = tuple(vector if i == place else operand for i, operand in enumerate(made.operands))
        return "group_norm", operands, made.attributes
    return None
