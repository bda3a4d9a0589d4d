"""Rows for reductions over axes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from unifront.backends import with_plain
from unifront.ir.graph import Op
from unifront.opset import reduce as ops
from unifront_tensorflow.lower._axes import at_once


def _over(native: Callable[..., Any]) -> Callable[..., Any]:
    """At once, a number takes a third of the time that a tuple of it takes to become a tensor. In a graph the gradient
    of a sum over all axes is one tile if they are a tuple, and a dozen operations on shapes if they are a number."""

    def plain(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
        return native(x, axes[0] if len(axes) == 1 else axes, keepdims)

    def row(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
        return plain(x, axes, keepdims) if tf.executing_eagerly() else native(x, axes, keepdims)

    return with_plain(row, plain)


def _raw_sum(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    return tf.raw_ops.Sum(input=x, axis=at_once(axes), keep_dims=keepdims)


_native_mean = _over(tf.reduce_mean)


def _mean(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    """TensorFlow's own gradient of a mean over free sizes divides every element, after ten operations on shapes."""
    if x.dtype in (tf.float16, tf.bfloat16):  # whose sums TensorFlow keeps in 16 bits too
        return tf.cast(_mean(tf.cast(x, tf.float32), axes, keepdims), x.dtype)
    sizes = [x.shape[axis] for axis in axes]
    if None not in sizes or x.dtype not in (tf.float32, tf.float64):
        return _native_mean(x, axes, keepdims)
    shape = tf.shape(x)
    counted = [shape[axis] if size is None else size for axis, size in zip(axes, sizes, strict=True)]
    return tf.reduce_sum(x, axes, keepdims) / tf.cast(math.prod(counted[1:], start=counted[0]), x.dtype)


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
    ops.SUM: with_plain(_over(tf.reduce_sum), _raw_sum),
    ops.PROD: _over(tf.reduce_prod),
    ops.MEAN: _mean,
    ops.MAX: _extremum(tf.reduce_max, tf.reduce_any),
    ops.MIN: _extremum(tf.reduce_min, tf.reduce_all),
    ops.ALL: _over(tf.reduce_all),
    ops.ANY: _over(tf.reduce_any),
    ops.LOGSUMEXP: _over(tf.reduce_logsumexp),
    ops.ARGMAX: _position(tf.argmax),
    ops.ARGMIN: _position(tf.argmin),
}
