"""The row of the transposed convolution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jax import lax

from unifront.opset.conv_transpose import CONV_TRANSPOSE
from unifront.opset.spec import OpSpec
from unifront.opset.windows import Pairs, reach_of
from unifront_jax.lower.conv import letters

Axes = tuple[int, ...]


def _conv_transpose(
    x: Any, kernel: Any, bias: Any, strides: Axes, crops: Pairs, dilation: Axes, data_format: str
) -> Any:
    around = [
        (r - 1 - before, r - 1 - after)
        for r, (before, after) in zip(reach_of(kernel.shape[:-2], dilation), crops, strict=True)
    ]
    y = lax.conv_transpose(
        x, kernel, strides, around, rhs_dilation=dilation,
        dimension_numbers=letters(len(strides), data_format), transpose_kernel=True,
    )  # fmt: skip
    if bias is None:
        return y
    return y + (bias if data_format == "channels_last" else bias.reshape(-1, *(1,) * len(strides)))


TABLE: dict[OpSpec, Callable[..., Any]] = {CONV_TRANSPOSE: _conv_transpose}
