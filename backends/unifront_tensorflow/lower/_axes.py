"""Broadcasting along more axes than TensorFlow's kernels take, and axes and sizes as tensors."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import tensorflow as tf

from unifront.backends import with_plain

MOST_AXES = 5
"""Of these its kernels broadcast any; of more only what falls together to as many (``Broadcast between … is not
supported yet``)."""


def spread(x: Any, shape: Any) -> Any:
    """``x`` broadcast to ``shape``, by repeating it."""
    shape = tf.convert_to_tensor(shape, tf.int32)
    own = tf.shape(x)
    own = tf.concat([tf.ones(tf.size(shape) - tf.size(own), tf.int32), own], 0)
    return tf.tile(tf.reshape(x, own), tf.where(own == shape, 1, shape))


def of_all_axes(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """``function`` of two operands that broadcast."""

    def row(x: Any, y: Any) -> Any:
        if (x.shape.rank <= MOST_AXES and y.shape.rank <= MOST_AXES) or not x.shape.rank or not y.shape.rank:
            return function(x, y)
        static = tf.broadcast_static_shape(x.shape, y.shape)
        shape = tf.broadcast_dynamic_shape(tf.shape(x), tf.shape(y))
        x, y = (tf.ensure_shape(spread(one, shape), static) for one in (x, y))
        return function(x, y)

    return with_plain(row, getattr(function, "plain", function))


def broadcast_to(x: Any, shape: Any) -> Any:
    """``tf.broadcast_to``, for any number of axes."""
    return tf.broadcast_to(x, shape) if len(shape) <= MOST_AXES else spread(x, shape)


def at_once(numbers: tuple[int, ...]) -> Any:
    """Axes or sizes for a kernel that runs at once, as a tensor that is kept: making it takes longer than most small
    kernels do. While TensorFlow traces it would be an argument of its function, and ``numbers`` are given back."""
    return _kept(numbers) if tf.executing_eagerly() else numbers


@lru_cache(1024)
def _kept(numbers: tuple[int, ...]) -> Any:
    with tf.device("cpu:0"):  # where every device's kernels want them
        return tf.constant(numbers, tf.int32)
