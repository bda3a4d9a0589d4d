"""Reductions over segments."""

from __future__ import annotations

from typing import Any

import numpy as np

from unifront.ir.dims import Dim
from unifront.onnx.writer import Ref, Row, Writer
from unifront.opset import segments as s
from unifront.opset.spec import OpSpec

_SCATTERED = {"sum": "add", "max": "max", "min": "min", "prod": "mul"}
_REDUCED = {"max": "ReduceMax", "min": "ReduceMin", "prod": "ReduceProd"}


def _segment(w: Writer, x: Ref, ids: Ref, kind: str, num_segments: Dim, sorted: bool) -> Any:
    """ScatterND onto neutral rows. Rows of no segment go to one more, which is cut off."""
    neutral = np.asarray(s.neutral(kind, x.type.dtype.numpy), x.type.dtype.numpy)
    places, size = w.cast(ids, "int64"), w.sizes((num_segments,))
    if w.opset < 18:
        return _masked(w, x, places, size, neutral, kind)
    inside = w.op("And", w.op("GreaterOrEqual", places, np.array([0])), w.op("Less", places, size))
    places = w.op("Unsqueeze", w.op("Where", inside, places, size), np.array([1]))
    rows = w.op("Concat", w.op("Add", size, np.array([1])), w.shape(x, 1, x.type.rank), axis=0)
    found = w.op("ScatterND", w.op("Expand", neutral, rows), places, x, reduction=_SCATTERED[kind])
    return w.op("Slice", found, np.array([0]), size, np.array([0]))


def _masked(w: Writer, x: Ref, places: Any, size: Any, neutral: np.ndarray, kind: str) -> Any:
    """Before ScatterND knew all reductions: that of each segment over all rows, of which only its own count."""
    one = np.array(1)
    segments = w.op("Range", np.array(0), w.op("Squeeze", size, np.array([0])), one)
    is_own = w.op(
        "Equal", w.op("Unsqueeze", segments, np.array([1])), w.op("Unsqueeze", places, np.array([0]))
    )
    if x.type.rank > 1:
        is_own = w.op("Unsqueeze", is_own, np.arange(2, x.type.rank + 1))
    rows = w.op("Where", is_own, w.op("Unsqueeze", x, np.array([0])), neutral)
    if kind == "sum":
        return w.op("ReduceSum", rows, np.array([1]), keepdims=0)
    return w.op(_REDUCED[kind], rows, axes=[1], keepdims=0)


TABLE: dict[OpSpec, Row] = {s.SEGMENT: _segment}
