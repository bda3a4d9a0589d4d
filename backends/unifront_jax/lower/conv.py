"""Rows of the convolutions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jax import lax

from unifront.ops.conv import CONV, DEPTHWISE_CONV
from unifront.ops.spec import OpSpec
from unifront.ops.windows import Padding

Axes = tuple[int, ...]


def _letters(rank: int, data_format: str) -> tuple[str, str, str]:
    sizes = "DHW"[3 - rank :]
    data = f"N{sizes}C" if data_format == "channels_last" else f"NC{sizes}"
    return data, f"{sizes}IO", data


def _conv(
    x: Any, kernel: Any, bias: Any,
    strides: Axes, padding: Padding, dilation: Axes, groups: int, data_format: str,
) -> Any:  # fmt: skip
    pointwise = all(k == 1 for k in kernel.shape[:-2]) and (
        isinstance(padding, str) or not any(map(any, padding))
    )
    if pointwise and groups == 1 and data_format == "channels_last":
        return _product(x, kernel, bias, strides)
    y = lax.conv_general_dilated(
        x,
        kernel,
        strides,
        padding.upper() if isinstance(padding, str) else padding,
        rhs_dilation=dilation,
        dimension_numbers=_letters(len(strides), data_format),
        feature_group_count=groups,
    )
    if bias is None:
        return y
    return y + (bias if data_format == "channels_last" else bias.reshape(-1, *(1,) * len(strides)))


def _product(x: Any, kernel: Any, bias: Any, strides: Axes) -> Any:
    """A window of one element as a matrix product: on a CPU XLA runs its gradients 2 to 4 times as fast."""
    x = x[(slice(None), *(slice(None, None, s) for s in strides))]
    y = x.reshape(-1, x.shape[-1]) @ kernel.reshape(kernel.shape[-2:])
    return (
        y.reshape(*x.shape[:-1], kernel.shape[-1])
        if bias is None
        else (y + bias).reshape(*x.shape[:-1], kernel.shape[-1])
    )


def _depthwise_conv(x: Any, kernel: Any, bias: Any, **attributes: Any) -> Any:
    *window, channels, multiplier = kernel.shape
    return _conv(x, kernel.reshape(*window, 1, channels * multiplier), bias, groups=channels, **attributes)


TABLE: dict[OpSpec, Callable[..., Any]] = {
    CONV: _conv,
    DEPTHWISE_CONV: _depthwise_conv,
}
