"""Layouts, devices and padding, for rows of windowed operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from unifront.opset.windows import Padding, same_pairs

Axes = Sequence[int]


def on_gpu(x: Any) -> bool:
    """Whether ``x`` is computed with on a GPU; in a graph without a device scope, whether there is one."""
    device = x.device if tf.executing_eagerly() else tf.no_op().device
    return "GPU" in device if device else bool(tf.config.list_logical_devices("GPU"))


def to_channels_last(x: Any) -> Any:
    """The same tensor with axis 1 moved to the end."""
    return tf.transpose(x, (0, *range(2, x.shape.rank), 1))


def to_channels_first(x: Any) -> Any:
    """The inverse of `to_channels_last`."""
    rank = x.shape.rank
    return tf.transpose(x, (0, rank - 1, *range(1, rank - 1)))


def padding_name(padding: Padding, sizes: Axes, window: Axes, strides: Axes, dilation: Axes) -> str | None:
    """TensorFlow's name for the padding, None where it has none. ``sizes`` may be unknown (None)."""
    if isinstance(padding, str):
        return "SAME"
    if not any(before or after for before, after in padding):
        return "VALID"
    if any(n is None and s > 1 for n, s in zip(sizes, strides, strict=True)):
        return None
    known = [1 if n is None else n for n in sizes]  # with stride 1 the padding is the same for every size
    return "SAME" if same_pairs(known, window, strides, dilation) == padding else None


def pad(x: Any, padding: Padding, window: Axes, strides: Axes, dilation: Axes, value: float = 0.0) -> Any:
    """A channels-last ``x`` padded as "SAME" or pairs say."""
    if isinstance(padding, str):
        sizes = [n if n is not None else tf.shape(x)[axis + 1] for axis, n in enumerate(x.shape[1:-1])]
        each = zip(sizes, window, strides, dilation, strict=True)
        totals = [tf.maximum((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0) for n, k, s, d in each]
        pairs: Any = [(total // 2, total - total // 2) for total in totals]
    else:
        pairs = padding
    if not isinstance(padding, str) and not any(map(any, padding)):
        return x
    return tf.pad(x, [(0, 0), *pairs, (0, 0)], constant_values=tf.cast(value, x.dtype))
