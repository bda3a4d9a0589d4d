"""Rows of the convolutions.

On a CPU the gradient of a large convolution's kernel is a product of `_patches`, some images at a time. XLA makes
it a convolution whose window is the whole image: with that the training steps of the benchmarks' rows cifar and
resnet50 take twice as long (2 cores). The values, and the gradient of the images, are XLA's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from unifront.opset.conv import CONV, DEPTHWISE_CONV
from unifront.opset.spec import OpSpec
from unifront.opset.windows import Padding, Pairs
from unifront_jax.policy import POLICY

Axes = tuple[int, ...]


def letters(rank: int, data_format: str) -> tuple[str, str, str]:
    """The axes of data and kernels, as XLA names them."""
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
    if isinstance(padding, str):
        window = tuple((k - 1) * d + 1 for k, d in zip(kernel.shape, dilation, strict=False))
        sizes = x.shape[1:-1] if data_format == "channels_last" else x.shape[2:]
        padding = tuple(lax.padtype_to_pads(sizes, window, strides, padding.upper()))
    convolve = partial(
        lax.conv_general_dilated,
        window_strides=strides,
        padding=padding,
        rhs_dilation=dilation,
        dimension_numbers=letters(len(strides), data_format),
        feature_group_count=groups,
    )
    if groups == 1 and data_format == "channels_last" and x.dtype in (jnp.float32, jnp.float64):
        y = _convolution(convolve, strides, padding, dilation)(x, kernel)
    else:
        y = convolve(x, kernel)
    if bias is None:
        return y
    return y + (bias if data_format == "channels_last" else bias.reshape(-1, *(1,) * len(strides)))


def _convolution(
    convolve: Callable[..., Any], strides: Axes, padding: Pairs, dilation: Axes
) -> Callable[..., Any]:
    """``convolve(x, kernel)``, linear in the kernel's tangents by way of patches where that is quicker."""

    @jax.custom_jvp
    def function(x: Any, kernel: Any) -> Any:
        return convolve(x, kernel)

    def tangents(primals: tuple[Any, Any], tangents: tuple[Any, Any]) -> tuple[Any, Any]:
        (x, kernel), (d_x, d_kernel) = primals, tangents
        y = function(x, kernel)
        parts = []
        if not isinstance(d_x, SymbolicZero):
            parts.append(function(d_x, kernel))
        if not isinstance(d_kernel, SymbolicZero):
            parts.append(of_kernel(y.shape, x, d_kernel))
        return y, sum(parts)

    def of_kernel(shape: Axes, x: Any, kernel: Any) -> Any:
        sizes, free = shape[1:-1], not all(isinstance(n, int) for n in shape)  # free while exporting
        if (
            free
            or prod(sizes) < POLICY.positions
            or prod(shape) * prod(kernel.shape[:-1]) < POLICY.multiplications
        ):
            return function(x, kernel)
        patches = partial(_from_patches, sizes=sizes, strides=strides, padding=padding, dilation=dilation)
        return lax.platform_dependent(x, kernel, cpu=patches, default=function)

    function.defjvp(tangents, symbolic_zeros=True)
    return function


def _from_patches(x: Any, kernel: Any, sizes: Axes, strides: Axes, padding: Pairs, dilation: Axes) -> Any:
    """A convolution to ``sizes`` as products of patches with the kernel: for its gradient to the kernel."""
    batch, columns = x.shape[0], kernel.reshape(-1, kernel.shape[-1]).T
    images = POLICY.patches // (prod(sizes) * columns.shape[1])
    images = max(count for count in range(1, max(images, 1) + 1) if batch % count == 0)
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))

    @jax.checkpoint
    def some(x: Any) -> Any:
        """Patches are made again for the gradient, instead of kept."""
        taps = []
        for offset in product(*map(range, kernel.shape[:-2])):
            begin = tuple(o * d for o, d in zip(offset, dilation, strict=True))
            end = tuple(b + (n - 1) * s + 1 for b, n, s in zip(begin, sizes, strides, strict=True))
            taps.append(lax.slice(x, (0, *begin, 0), (x.shape[0], *end, x.shape[-1]), (1, *strides, 1)))
        patches = jnp.concatenate(taps, -1).reshape(-1, columns.shape[1])
        return lax.dot_general(patches, columns, (((1,), (1,)), ((), ())))

    y = lax.map(some, x.reshape(batch // images, images, *x.shape[1:]))
    return y.reshape(batch, *sizes, kernel.shape[-1])


def _product(x: Any, kernel: Any, bias: Any, strides: Axes) -> Any:
    """A window of one element as a matrix product: on a CPU XLA runs its gradients 2 to 4 times as fast."""
    x = x[(slice(None), *(slice(None, None, s) for s in strides))]
    y = x.reshape(-1, x.shape[-1]) @ kernel.reshape(kernel.shape[-2:])
    y = y if bias is None else y + bias
    return y.reshape(*x.shape[:-1], kernel.shape[-1])


def _depthwise_conv(x: Any, kernel: Any, bias: Any, **attributes: Any) -> Any:
    *window, channels, multiplier = kernel.shape
    return _conv(x, kernel.reshape(*window, 1, channels * multiplier), bias, groups=channels, **attributes)


TABLE: dict[OpSpec, Callable[..., Any]] = {
    CONV: _conv,
    DEPTHWISE_CONV: _depthwise_conv,
}
