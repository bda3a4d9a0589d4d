"""Rows for operations on shapes. Sizes unknown while tracing are scalar tensors, which TensorFlow packs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from unifront.backends import with_plain
from unifront.ir.graph import Op
from unifront.opset import shape as ops
from unifront_tensorflow.lower._axes import at_once, broadcast_to


def _reshape(x: Any, shape: tuple[Any, ...]) -> Any:
    return tf.reshape(x, shape)


def _expand_dims(x: Any, axes: tuple[int, ...]) -> Any:
    for axis in axes:
        x = tf.expand_dims(x, axis)
    return x


def _squeeze(x: Any, axes: tuple[int, ...]) -> Any:
    return tf.squeeze(x, axes) if axes else x  # no axes would mean all


def _concatenate(*xs: Any, axis: int) -> Any:
    return tf.concat(xs, axis)


def _stack(*xs: Any, axis: int) -> Any:
    return tf.stack(xs, axis)


TABLE: dict[Op, Callable[..., Any]] = {
    ops.RESHAPE: with_plain(_reshape, lambda x, shape: tf.raw_ops.Reshape(tensor=x, shape=at_once(shape))),
    ops.TRANSPOSE: lambda x, axes: tf.transpose(x, axes),
    ops.EXPAND_DIMS: _expand_dims,
    ops.SQUEEZE: _squeeze,
    ops.BROADCAST_TO: broadcast_to,
    ops.CONCATENATE: _concatenate,
    ops.STACK: _stack,
    ops.SPLIT: lambda x, sizes, axis: tf.split(x, sizes, axis),
    ops.UNSTACK: lambda x, axis: tf.unstack(x, axis=axis),
}
