"""Rows for reductions over axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from unifront.ir.graph import Op
from unifront.opset import reduce as ops


def _over(native: Callable[..., Any]) -> Callable[..., Any]:
    def row(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
        # One axis takes a third of the time that a tuple of it takes to become a tensor.
        return native(x, axes[0] if len(axes) == 1 else axes, keepdims)

    return row


def _extremum(native: Callable[..., Any], of_booleans: Callable[..., Any]) -> Callable[..., Any]:
    def row(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
        return (of_booleans if x.dtype == tf.bool else native)(x, axes, keepdims)

    return row


def _position(native: Callable[..., Any]) -> Callable[..., Any]:
    def row(x: Any, axis: int, keepdims: bool) -> Any:
        found = native(tf.cast(x, tf.int32) if x.dtype == tf.bool else x, axis, tf.int32)
        return tf.expand_dims(found, axis) if keepdims else found

    return row


TABLE: dict[Op, Callable[..., Any]] = {
    ops.SUM: _over(tf.reduce_sum),
    ops.PROD: _over(tf.reduce_prod),
    ops.MEAN: _over(tf.reduce_mean),
    ops.MAX: _extremum(tf.reduce_max, tf.reduce_any),
    ops.MIN: _extremum(tf.reduce_min, tf.reduce_all),
    ops.ALL: _over(tf.reduce_all),
    ops.ANY: _over(tf.reduce_any),
    ops.LOGSUMEXP: _over(tf.reduce_logsumexp),
    ops.ARGMAX: _position(tf.argmax),
    ops.ARGMIN: _position(tf.argmin),
}
