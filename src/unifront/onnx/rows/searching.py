"""The search among sorted values."""

from __future__ import annotations

from typing import Any

import numpy as np

from unifront.onnx.writer import Ref, Row, Writer
from unifront.opset import searching as s
from unifront.opset.spec import OpSpec


def _searchsorted(w: Writer, sorted_sequence: Ref, values: Ref, right: bool) -> Any:
    """ONNX has no search: how many elements each value lies behind. NaN lies behind all, as in NumPy."""
    rank = values.type.rank
    each = w.expand_dims(values, [rank])
    behind = w.op("LessOrEqual" if right else "Less", sorted_sequence, each)
    if values.type.dtype.is_float:
        behind = w.op("Or", behind, w.op("IsNaN", each))
    return w.op("ReduceSum", w.cast(behind, "int32"), np.array([rank]), keepdims=0)


TABLE: dict[OpSpec, Row] = {s.SEARCHSORTED: _searchsorted}
