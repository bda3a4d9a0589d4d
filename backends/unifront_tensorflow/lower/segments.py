"""Rows for reductions over segments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from unifront.dtypes import dtype_of
from unifront.ir.graph import Op
from unifront.opset import segments as ops

_KINDS = {
    "sum": tf.math.unsorted_segment_sum,
    "max": tf.math.unsorted_segment_max,
    "min": tf.math.unsorted_segment_min,
    "prod": tf.math.unsorted_segment_prod,
}


def _segment(x: Any, ids: Any, kind: str, num_segments: Any, sorted: bool) -> Any:
    places = tf.where(ids < tf.cast(num_segments, ids.dtype), ids, -1)  # rows of a negative one are left out
    found = _KINDS[kind](x, places, num_segments)
    if kind in ("max", "min") and x.dtype.is_floating:
        # TensorFlow gives an empty segment the lowest finite number.
        count = tf.math.unsorted_segment_sum(tf.ones_like(places), places, num_segments)
        filled = tf.reshape(count > 0, (-1, *(1,) * (x.shape.rank - 1)))
        found = tf.where(filled, found, tf.constant(ops.neutral(kind, dtype_of(x.dtype.name).numpy), x.dtype))
    return found


TABLE: dict[Op, Callable[..., Any]] = {ops.SEGMENT: _segment}
