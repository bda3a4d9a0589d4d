"""Reductions over segments."""

from __future__ import annotations

from typing import Any

import numpy as np

from unifront.ir.dims import Dim
from unifront.onnx.writer import Ref, Row, Writer
from unifront.opset import segments as s
from unifront.opset.spec import OpSpec

_REDUCTIONS = {"sum": "add", "max": "max", "min": "min", "prod": "mul"}


def _segment(w: Writer, x: Ref, ids: Ref, kind: str, num_segments: Dim, sorted: bool) -> Any:
    """ScatterND onto neutral rows. Rows of no segment go to one more, which is cut off."""
    if w.opset < (18 if kind in ("max", "min") else 16):
        return NotImplemented
    places = w.cast(ids, "int64")
    size = w.sizes((num_segments,))
    inside = w.op("And", w.op("GreaterOrEqual", places, np.array([0])), w.op("Less", places, size))
    places = w.op("Unsqueeze", w.op("Where", inside, places, size), np.array([1]))
    rows = w.op("Concat", w.op("Add", size, np.array([1])), w.shape(x, 1, x.type.rank), axis=0)
    neutral = np.asarray(s.neutral(kind, x.type.dtype.numpy), x.type.dtype.numpy)
    found = w.op("ScatterND", w.op("Expand", neutral, rows), places, x, reduction=_REDUCTIONS[kind])
    return w.op("Slice", found, np.array([0]), size, np.array([0]))


TABLE: dict[OpSpec, Row] = {s.SEGMENT: _segment}
