"""Rows of the convolutions.

TensorFlow's CPU kernels know neither channels-first data nor gradients of grouped or dilated convolutions
(with oneDNN they do, but for some dtypes only): there the row goes around them with other native operations.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from unifront.ir.graph import Op
from unifront.opset.conv import CONV, DEPTHWISE_CONV
from unifront.opset.windows import Padding
from unifront_tensorflow.lower._layout import on_gpu, pad, padding_name, to_channels_first, to_channels_last

Axes = tuple[int, ...]


def _conv(
    x: Any, kernel: Any, bias: Any,
    strides: Axes, padding: Padding, dilation: Axes, groups: int, data_format: str,
) -> Any:  # fmt: skip
    gpu = on_gpu(x)
    if data_format == "channels_first":
        if gpu and len(strides) == 2:
            return _with_bias(_native(x, kernel, strides, padding, dilation, "NCHW"), bias, "NCHW")
        y = _conv(to_channels_last(x), kernel, bias, strides, padding, dilation, groups, "channels_last")
        return to_channels_first(y)
    if len(strides) == 1:
        y = _any_groups(
            x[:, None], kernel[None], (1, *strides), _one_more(padding), (1, *dilation), groups, gpu
        )[:, 0]  # fmt: skip
    else:
        y = _any_groups(x, kernel, strides, padding, dilation, groups, gpu)
    return _with_bias(y, bias, None)


def _one_more(padding: Padding) -> Padding:
    return padding if isinstance(padding, str) else ((0, 0), *padding)


def _with_bias(y: Any, bias: Any, data_format: str | None) -> Any:
    return y if bias is None else tf.nn.bias_add(y, bias, data_format)


def _any_groups(
    x: Any, kernel: Any, strides: Axes, padding: Padding, dilation: Axes, groups: int, gpu: bool
) -> Any:
    if groups == 1 or (gpu and len(strides) == 2):
        return _any_dilation(x, kernel, strides, padding, dilation, gpu)
    if groups == x.shape[-1] and len(strides) == 2:
        deep = tf.reshape(kernel, (*kernel.shape[:2], groups, kernel.shape[-1] // groups))
        return _depthwise(x, deep, strides, padding, dilation, gpu)
    shares = zip(tf.split(x, groups, -1), tf.split(kernel, groups, -1), strict=True)
    return tf.concat([_any_dilation(v, k, strides, padding, dilation, gpu) for v, k in shares], -1)


def _any_dilation(x: Any, kernel: Any, strides: Axes, padding: Padding, dilation: Axes, gpu: bool) -> Any:
    if gpu or all(d == 1 for d in dilation):
        return _native(x, kernel, strides, padding, dilation, "NHWC")
    padded = pad(x, padding, kernel.shape[:-2], strides, dilation)
    return _every(tf.nn.convolution(padded, kernel, padding="VALID", dilations=dilation), strides)


def _every(y: Any, strides: Axes) -> Any:
    """What a stride would have kept of a convolution with stride 1."""
    if all(s == 1 for s in strides):
        return y
    return y[(slice(None), *(slice(None, None, s) for s in strides))]


def _native(x: Any, kernel: Any, strides: Axes, padding: Padding, dilation: Axes, data_format: str) -> Any:
    window = kernel.shape[:-2]
    first = data_format == "NCHW"
    name = padding_name(padding, x.shape[2:] if first else x.shape[1:-1], window, strides, dilation)
    if len(strides) == 3:
        if name is None:
            x, name = pad(x, padding, window, strides, dilation), "VALID"
        return tf.nn.conv3d(x, kernel, (1, *strides, 1), name, dilations=(1, *dilation, 1))
    pairs: Any = [(0, 0), (0, 0), *padding] if first else [(0, 0), *padding, (0, 0)]
    return tf.nn.conv2d(x, kernel, strides, pairs if name is None else name, data_format, dilation)


def _depthwise_conv(
    x: Any, kernel: Any, bias: Any,
    strides: Axes, padding: Padding, dilation: Axes, data_format: str,
) -> Any:  # fmt: skip
    if data_format == "channels_first":
        y = _depthwise_conv(to_channels_last(x), kernel, bias, strides, padding, dilation, "channels_last")
        return to_channels_first(y)
    gpu, rank = on_gpu(x), len(strides)
    if rank == 1:
        y = _depthwise(x[:, None], kernel[None], (1, *strides), _one_more(padding), (1, *dilation), gpu)[:, 0]
    elif rank == 2:
        y = _depthwise(x, kernel, strides, padding, dilation, gpu)
    else:
        flat = tf.reshape(kernel, (*kernel.shape[:3], 1, -1))
        y = _any_groups(x, flat, strides, padding, dilation, kernel.shape[3], gpu)
    return _with_bias(y, bias, None)


def _depthwise(x: Any, kernel: Any, strides: Axes, padding: Padding, dilation: Axes, gpu: bool) -> Any:
    """Depthwise over two axes. The kernels take one stride for both, and none with a dilation."""
    window, plain = kernel.shape[:2], all(d == 1 for d in dilation)
    if plain and strides[0] == strides[1]:
        name = padding_name(padding, x.shape[1:-1], window, strides, dilation)
        if name is None:
            x, name = pad(x, padding, window, strides, dilation), "VALID"
        return tf.nn.depthwise_conv2d(x, kernel, (1, *strides, 1), name)
    padded = pad(x, padding, window, strides, dilation)
    y = tf.nn.depthwise_conv2d(padded, kernel, (1, 1, 1, 1), "VALID", dilations=None if plain else dilation)
    return _every(y, strides)


TABLE: dict[Op, Callable[..., Any]] = {
    CONV: _conv,
    DEPTHWISE_CONV: _depthwise_conv,
}
