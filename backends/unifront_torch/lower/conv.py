"""Convolutions in PyTorch.

Channels-last data stays as it is: seen as NCHW by a permuted view it has torch's channels_last memory format,
in which the native kernels run. Kernels are kept as OIHW in that format too, so nothing is copied in a step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from unifront.ir.layouts import Storage
from unifront.opset.conv import CONV, DEPTHWISE_CONV
from unifront.opset.spec import OpSpec
from unifront.opset.windows import Padding, explicit

Axes = tuple[int, ...]
_CONV: dict[int, Callable[..., torch.Tensor]] = {2: F.conv2d, 3: F.conv3d}
FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}


def channels_first(x: torch.Tensor) -> torch.Tensor:
    """Channels-last data as a view with the channels on axis 1."""
    return x.movedim(-1, 1)


def channels_last(x: torch.Tensor) -> torch.Tensor:
    """The inverse view."""
    return x.movedim(1, -1)


def pad_spatial(x: torch.Tensor, pairs: tuple[tuple[int, int], ...], value: float) -> torch.Tensor:
    """``x`` (channels on axis 1) padded; the memory format stays."""
    return F.pad(x, [n for pair in reversed(pairs) for n in pair], value=value)


def _conv(
    x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None,
    strides: Axes, padding: Padding, dilation: Axes, groups: int, data_format: str,
) -> torch.Tensor:  # fmt: skip
    if data_format == "channels_last":
        x = channels_first(x)
    pairs = explicit(padding, x.shape[2:], kernel.shape[2:], strides, dilation)
    if len(strides) == 1:
        # One axis runs as two, the first of size 1: only then has torch a channels-last kernel for it.
        x, kernel, pairs = x.unsqueeze(2), kernel.unsqueeze(2), ((0, 0), *pairs)
        strides, dilation = (1, *strides), (1, *dilation)
        y = _run(x, kernel, bias, strides, pairs, dilation, groups).squeeze(2)
    else:
        y = _run(x, kernel, bias, strides, pairs, dilation, groups)
    return channels_last(y) if data_format == "channels_last" else y


def _run(
    x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None,
    strides: Axes, pairs: tuple[tuple[int, int], ...], dilation: Axes, groups: int,
) -> torch.Tensor:  # fmt: skip
    around = [before for before, _ in pairs]
    if any(before != after for before, after in pairs):
        x, around = pad_spatial(x, pairs, 0.0), [0] * len(pairs)
    return _CONV[len(pairs)](x, usual(kernel), bias, strides, around, dilation, groups)


def usual(kernel: torch.Tensor) -> torch.Tensor:
    """``kernel``, or a copy: torch's gradient in float64 fails where the stride of a first axis of size 1 is not what
    torch takes it to be."""
    if kernel.shape[0] == 1 and kernel.stride(0) != kernel.numel():
        return kernel.clone(memory_format=FORMATS[kernel.ndim])
    return kernel


def _depthwise_conv(
    x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None, **attributes: Any
) -> torch.Tensor:
    flat = kernel.flatten(0, 1).unsqueeze(1)
    return _conv(x, flat, bias, groups=kernel.shape[0], **attributes)


def _dense(kernel: torch.Tensor) -> torch.Tensor:
    # Three dimensions become a channels_last kernel of four by a view, see _conv.
    if kernel.ndim == 3:
        return kernel.movedim(1, 2).contiguous().movedim(2, 1)
    return kernel.contiguous(memory_format=FORMATS[kernel.ndim])


def _to_oihw(kernel: torch.Tensor) -> torch.Tensor:
    return _dense(kernel.movedim((-1, -2), (0, 1)))


def _from_oihw(kernel: torch.Tensor) -> torch.Tensor:
    return kernel.movedim((0, 1), (-1, -2)).contiguous()


def _to_depthwise(kernel: torch.Tensor) -> torch.Tensor:
    return kernel.movedim((-2, -1), (0, 1)).contiguous()


def _from_depthwise(kernel: torch.Tensor) -> torch.Tensor:
    return kernel.movedim((0, 1), (-2, -1)).contiguous()


OIHW = Storage("oihw", _to_oihw, _from_oihw)
DEPTHWISE = Storage("depthwise", _to_depthwise, _from_depthwise)

TABLE: dict[OpSpec, Callable[..., Any]] = {
    CONV: _conv,
    DEPTHWISE_CONV: _depthwise_conv,
}
STORAGE: dict[tuple[OpSpec, int], Storage] = {
    (CONV, 1): OIHW,
    (DEPTHWISE_CONV, 1): DEPTHWISE,
}
