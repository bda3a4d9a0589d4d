"""Attention, an operator of ONNX from opset 23 on; before, it is written out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from unifront.onnx.writer import Ref, Row, Writer
from unifront.opset.attention import ATTENTION, masked_out
from unifront.opset.rules import broadcast
from unifront.opset.spec import OpSpec


def _attention(
    w: Writer,
    query: Ref,
    key: Ref,
    value: Ref,
    bias: Ref | None,
    mask: Ref | None,
    scale: float,
    causal: bool,
) -> Any:
    """Heads lie behind one another in the last axis; what does not count has a product so low that it is none."""
    (batch, targets, heads, _), (_, sources, kept, _) = query.type.shape, key.type.shape
    if 0 in (*query.type.shape, *key.type.shape, *value.type.shape):
        return NotImplemented
    given = [
        w.reshape(x, (*x.type.shape[:2], x.type.shape[2] * x.type.shape[3])) for x in (query, key, value)
    ]
    added: Any = bias
    if mask is not None:
        never = w.number(masked_out(query.type.dtype.bits), query)
        added = w.op("Where", mask, w.number(0, query) if bias is None else bias, never)
    if (
        added is not None
    ):  # ONNX Runtime takes one for all heads or examples, but not for all targets or sources
        shapes = [one.type.shape for one in (bias, mask) if one is not None]
        outer = broadcast(*(shape[:-2] for shape in shapes))
        added = w.expand(
            replace(added, known_type=query.type.with_shape(broadcast(*shapes))), (*outer, targets, sources)
        )
    attributes: dict[str, Any] = {
        "q_num_heads": heads,
        "kv_num_heads": kept,
        "scale": scale,
        "is_causal": int(causal),
    }
    y: Ref = w.op("Attention", *given, added, **attributes)
    size = value.type.shape[3]
    flat = Ref(y.name, query.type.with_shape((batch, targets, heads * size)))
    return w.reshape(flat, (batch, targets, heads, size))


TABLE: dict[OpSpec, Row] = {ATTENTION: _attention}
SINCE: dict[OpSpec, int] = {ATTENTION: 23}
"""From which opset on there is a row."""
