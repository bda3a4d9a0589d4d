"""Rows of pooling, computed channels-last; padding without a name in TensorFlow is added beforehand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf
from typing import Any

import tensorflow as tf

from unifront.ir.graph import Op
from unifront.opset.pool import AVERAGE_POOL, MAX_POOL
from unifront.opset.windows import Padding
from unifront_tensorflow.lower._layout import on_gpu, pad, padding_name, to_channels_first, to_channels_last

Axes = tuple[int, ...]


def _pool(
    plane: Callable[..., Any], volume: Callable[..., Any],
    x: Any, pool_size: Axes, strides: Axes, padding: Padding, data_format: str,
) -> Any:  # fmt: skip
    """Pooling by a row for two axes and a native one for three."""
    if data_format == "channels_first":
        if len(strides) == 2 and on_gpu(x) and _name(x.shape[2:], pool_size, strides, padding):
            return plane(x, pool_size, strides, padding, "NCHW")
        last = _pool(plane, volume, to_channels_last(x), pool_size, strides, padding, "channels_last")
        return to_channels_first(last)
    if len(strides) == 1:
        pairs = padding if isinstance(padding, str) else ((0, 0), *padding)
        return plane(x[:, None], (1, *pool_size), (1, *strides), pairs)[:, 0]
    if len(strides) == 2:
        return plane(x, pool_size, strides, padding)
    name = _name(x.shape[1:-1], pool_size, strides, padding)
    if name is None or x.dtype == tf.float64:
        return _by_planes(plane, x, pool_size, strides, padding)
    if x.dtype == tf.float16 and not on_gpu(x):  # the CPU has no kernel
        return tf.cast(volume(tf.cast(x, tf.float32), pool_size, strides, name), tf.float16)
    return volume(x, pool_size, strides, name)


def _name(sizes: Any, pool_size: Axes, strides: Axes, padding: Padding) -> str | None:
    return padding_name(padding, sizes, pool_size, strides, (1,) * len(strides))


def _sizes(x: Any, layout: str) -> Any:
    return x.shape[2:] if layout == "NCHW" else x.shape[1:-1]


def _by_planes(plane: Callable[..., Any], x: Any, pool_size: Axes, strides: Axes, padding: Padding) -> Any:
    """Three axes as two and then one: maxima and means over boxes come apart so. The kernels lack float64."""
    depth, rest = (padding, padding) if isinstance(padding, str) else (padding[:1], padding[1:])
    sizes = tf.shape(x)
    planes = tf.reshape(x, tf.concat([[sizes[0] * sizes[1]], sizes[2:]], 0))
    y = plane(planes, pool_size[1:], strides[1:], rest)
    inner = tf.shape(y)[1:]
    y = tf.reshape(y, (sizes[0], sizes[1], -1, x.shape[-1]))
    pairs = depth if isinstance(depth, str) else (*depth, (0, 0))
    y = plane(y, (pool_size[0], 1), (strides[0], 1), pairs)
    y = tf.reshape(y, tf.concat([tf.shape(y)[:2], inner], 0))
    y.set_shape((None, None, None, None, x.shape[-1]))  # whose size the next convolution must know
    return y


def _max(x: Any, pool_size: Axes, strides: Axes, padding: Padding, layout: str = "NHWC") -> Any:
    name = _name(_sizes(x, layout), pool_size, strides, padding)
    if name is None:
        x, name = pad(x, padding, pool_size, strides, (1, 1), -inf), "VALID"
    return tf.nn.max_pool2d(x, pool_size, strides, name, layout)


def _average(x: Any, pool_size: Axes, strides: Axes, padding: Padding, layout: str = "NHWC") -> Any:
    name = _name(_sizes(x, layout), pool_size, strides, padding)
    if name is not None:
        return tf.nn.avg_pool2d(x, pool_size, strides, name, layout)

    def mean(values: Any) -> Any:
        return tf.nn.avg_pool2d(pad(values, padding, pool_size, strides, (1, 1)), pool_size, strides, "VALID")

    return mean(x) / mean(tf.ones_like(x[:1, :, :, :1]))


TABLE: dict[Op, Callable[..., Any]] = {
    MAX_POOL: partial(_pool, _max, tf.nn.max_pool3d),
    AVERAGE_POOL: partial(_pool, _average, tf.nn.avg_pool3d),
}
