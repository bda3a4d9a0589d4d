"""The transposed convolution in PyTorch, on channels-last views as in `unifront_torch.lower.conv`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from unifront.ir.layouts import Storage
from unifront.opset.conv_transpose import CONV_TRANSPOSE
from unifront.opset.spec import OpSpec
from unifront.opset.windows import Pairs
from unifront_torch.lower.conv import OIHW, channels_first, channels_last, pad_spatial, usual

Axes = tuple[int, ...]
_NATIVE: dict[int, Callable[..., torch.Tensor]] = {2: F.conv_transpose2d, 3: F.conv_transpose3d}


def _conv_transpose(
    x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None,
    strides: Axes, crops: Pairs, dilation: Axes, data_format: str,
) -> torch.Tensor:  # fmt: skip
    if data_format == "channels_last":
        x = channels_first(x)
    if len(strides) == 1:  # as two axes, the first of size 1; see unifront_torch.lower.conv
        x, kernel, crops = x.unsqueeze(2), kernel.unsqueeze(2), ((0, 0), *crops)
        y = _run(x, kernel, bias, (1, *strides), crops, (1, *dilation)).squeeze(2)
    else:
        y = _run(x, kernel, bias, strides, crops, dilation)
    return channels_last(y) if data_format == "channels_last" else y


def _run(
    x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None,
    strides: Axes, crops: Pairs, dilation: Axes,
) -> torch.Tensor:  # fmt: skip
    """Torch cuts off both ends alike, and then adds less than a stride at the end; the rest is done here."""
    longer = [before - after for before, after in crops]
    own = [max(0, min(n, max(s, d) - 1)) for n, s, d in zip(longer, strides, dilation, strict=True)]
    rest = tuple((0, n - o) for n, o in zip(longer, own, strict=True))
    wider = any(n > 0 for _, n in rest)  # what is added has the bias too
    around = [before for before, _ in crops]
    y = _NATIVE[len(strides)](
        x, usual(kernel), None if wider else bias, strides, around, own, dilation=dilation
    )
    if any(n for _, n in rest):
        y = pad_spatial(y, rest, 0.0)  # or less than nothing
    return y + bias.view(-1, *(1,) * len(strides)) if wider and bias is not None else y


TABLE: dict[OpSpec, Callable[..., Any]] = {CONV_TRANSPOSE: _conv_transpose}
STORAGE: dict[tuple[OpSpec, int], Storage] = {(CONV_TRANSPOSE, 1): OIHW}
