"""Attention of ONNX: in its usual form the operation, else what the body of its definition says."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from unifront import ops
from unifront.ir.graph import Literal
from unifront.onnx.imports.contrib_attention import exchanged, heads_apart, heads_joined
from unifront.onnx.imports.node import Node, Row, rank, whole
from unifront.opset.tensor import Traced, type_of

MOVES = ("broadcast_to", "expand_dims", "reshape", "transpose", "cast")
CHOICES = ("where", "add", "subtract", "multiply")
"""Operations of what is finite whose result is; of numbers that are those of masks."""
STEPS = 32
PLAIN = {"is_causal", "kv_num_heads", "q_num_heads", "scale", "softcap", "softmax_precision"}
"""The attributes that the usual form may have."""


def _is_finite(value: Any) -> bool:
    """Whether a mask is finite, whatever the inputs are: then no row of products is without a number."""
    if isinstance(value, np.ndarray):
        return bool(np.isfinite(value).all())
    if not isinstance(value, Traced):
        return False
    made = {one: node for node in value.builder.nodes for one in node.outputs}
    stack: list[Any] = [value.value]
    for _ in range(STEPS):
        if not stack:
            return True
        one = stack.pop()
        node = made.get(one)
        if not one.type.dtype.is_float:
            continue
        if node is None or node.op.name not in (*MOVES, *CHOICES, "constant", "fill"):
            return False
        if node.op.name == "constant":
            literal = node.attributes["value"]
            assert isinstance(literal, Literal)
            if not np.isfinite(literal.numpy()).all():
                return False
        stack += [operand for operand in node.operands if operand is not None]
    return False


def _attention(node: Node, query: Any, key: Any, value: Any, mask: Any = None, *others: Any) -> Any:
    if not PLAIN.issuperset(one.name for one in node.proto.attribute):  # windows, and what is yet to come
        return NotImplemented
    if any(other is not None for other in others) or any(node.wants(i) for i in (1, 2, 3)) or node["softcap"]:
        return NotImplemented
    if mask is not None and (not type_of(mask).dtype.is_float or not _is_finite(mask)):
        return NotImplemented  # where nothing counts, ONNX has its own meaning
    flat = rank(query) == 3
    if flat:
        counts = node["q_num_heads"], *(node["kv_num_heads"],) * 2
        query, key, value = (
            heads_apart(node, x, count) for x, count in zip((query, key, value), counts, strict=True)
        )
    else:
        query, key, value = map(exchanged, (query, key, value))
    dtype = type_of(query).dtype
    causal, targets, sources = node["is_causal"] == 1, type_of(query).shape[1], type_of(key).shape[1]
    if (
        dtype.bits < 32
        or (causal and targets != sources)
        or (mask is not None and type_of(mask).dtype != dtype)
    ):
        return NotImplemented
    scale = node["scale"]
    factor = (
        1 / math.sqrt(whole(node, type_of(query).shape[3], "the size of a head")) if scale is None else scale
    )
    y = ops.dot_product_attention(query, key, value, mask, scale=factor, is_causal=causal)
    return heads_joined(y) if flat else exchanged(y)


TABLE = {"Attention": Row(_attention)}
