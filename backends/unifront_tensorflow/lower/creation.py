"""Rows for new tensors. ``like`` only says that the tensor is made where the program runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from unifront.ir.graph import Op
from unifront.opset import creation as ops
from unifront.opset.rules import negative_size


def _fill(like: Any, shape: tuple[Any, ...], value: Any, dtype: str) -> Any:
    return tf.fill(shape, tf.cast(value, dtype)) if shape else tf.cast(value, dtype)


def _iota(like: Any, shape: tuple[Any, ...], axis: int, dtype: str) -> Any:
    positions = tf.cast(tf.range(shape[axis]), dtype)
    return tf.broadcast_to(tf.reshape(positions, (-1, *(1,) * (len(shape) - axis - 1))), shape)


def _bind_size(value: Any, size: Any, layer: str) -> Any:
    message = negative_size(layer, "below 0")
    with tf.control_dependencies([tf.debugging.assert_non_negative(value, message)]):
        return tf.zeros(tf.expand_dims(value, 0), tf.bool)


TABLE: dict[Op, Callable[..., Any]] = {
    ops.FILL: _fill,
    ops.IOTA: _iota,
    ops.BIND_SIZE: _bind_size,
}
