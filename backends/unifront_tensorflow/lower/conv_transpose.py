"""The row of the transposed convolution: TensorFlow's gradient of a convolution to its input.

Its kernels know dilations on a GPU only; elsewhere the kernel is spread out with zeros instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from unifront.ir.graph import Op
from unifront.opset.conv_transpose import CONV_TRANSPOSE
from unifront.opset.windows import Pairs
from unifront_tensorflow.lower._layout import to_channels_first, to_channels_last

Axes = tuple[int, ...]


def _conv_transpose(
    x: Any, kernel: Any, bias: Any, strides: Axes, crops: Pairs, dilation: Axes, data_format: str
) -> Any:
    if data_format == "channels_first":
        last = _conv_transpose(to_channels_last(x), kernel, bias, strides, crops, dilation, "channels_last")
        return to_channels_first(last)
    kernel = _spread(kernel, dilation)
    if len(strides) == 1:
        y = _run(x[:, None], kernel[None], (1, *strides), ((0, 0), *crops))[:, 0]
    else:
        y = _run(x, kernel, strides, crops)
    return y if bias is None else tf.nn.bias_add(y, bias)


def _spread(kernel: Any, dilation: Axes) -> Any:
    for axis, d in enumerate(dilation):
        if d > 1:
            shape = list(kernel.shape)
            apart = tf.expand_dims(kernel, axis + 1)
            apart = tf.pad(apart, [(0, d - 1 if i == axis + 1 else 0) for i in range(len(shape) + 1)])
            shape[axis] *= d
            apart = tf.reshape(apart, shape)
            kernel = apart[(*(slice(None),) * axis, slice(None, shape[axis] - d + 1))]
    return kernel


def _run(x: Any, kernel: Any, strides: Axes, crops: Pairs) -> Any:
    sizes = [n if n is not None else tf.shape(x)[axis] for axis, n in enumerate(x.shape)]
    rank, window = len(strides), kernel.shape[:-2]
    # The end may be up to a stride longer than the last window reaches; the kernels then leave zeros there.
    spare = [min(max(-after, 0), s - 1) for s, (_, after) in zip(strides, crops, strict=True)]
    full = [(n - 1) * s + k + e for n, s, k, e in zip(sizes[1:-1], strides, window, spare, strict=True)]
    shape = tf.stack([sizes[0], *full, kernel.shape[-2]])
    every = (1, *strides, 1)
    if rank == 2:
        y = tf.raw_ops.Conv2DBackpropInput(
            input_sizes=shape, filter=kernel, out_backprop=x, strides=every, padding="VALID"
        )
    else:
        y = tf.raw_ops.Conv3DBackpropInputV2(
            input_sizes=shape, filter=kernel, out_backprop=x, strides=every, padding="VALID"
        )
    ends = [after + e for e, (_, after) in zip(spare, crops, strict=True)]
    begins = [before for before, _ in crops]
    if any(begins) or any(end > 0 for end in ends):
        kept = (slice(b, n - max(e, 0)) for b, n, e in zip(begins, full, ends, strict=True))
        y = y[(slice(None), *kept)]
    if any(end < 0 for end in ends):
        y = tf.pad(y, [(0, 0), *((0, max(-end, 0)) for end in ends), (0, 0)])
    return y


TABLE: dict[Op, Callable[..., Any]] = {CONV_TRANSPOSE: _conv_transpose}
