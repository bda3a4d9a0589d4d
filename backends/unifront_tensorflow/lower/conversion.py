"""Bits taken for another dtype."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from unifront.ir.graph import Op
from unifront.opset import conversion as ops


def _bitcast(x: Any, source: str, dtype: str) -> Any:
    kind = tf.as_dtype(dtype)
    old, new = x.dtype.size, kind.size
    if new > old:  # as many numbers as make one stand along a last axis of their own
        sizes = tf.shape(x)
        x = tf.reshape(x, tf.concat([sizes[:-1], [sizes[-1] * old // new, new // old]], 0))
    found = tf.bitcast(x, kind)
    return (
        tf.reshape(found, tf.concat([tf.shape(x)[:-1], [-1 if x.shape.rank else 1]], 0))
        if new < old
        else found
    )


TABLE: dict[Op, Callable[..., Any]] = {ops.BITCAST: _bitcast}
