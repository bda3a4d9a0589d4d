"""Rows of the convolutions.

On a CPU the gradient of a large convolution's kernel is a product of patches, some images at a time. XLA makes
it a convolution whose window is the whole image: with that the training steps of the benchmarks' rows cifar and
resnet50 take twice as long (2 cores), and one with groups many times. The values, and the gradient of the images,
are XLA's.

A convolution of each channel by itself is a sum over the places of its window there, of what each place sees times its
weight, which XLA makes one loop of. Its own such convolutions go number by number: the benchmarks' row mobilenet_v2
shows both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
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
    geometry = Geometry(strides, padding, dilation, data_format)
    if groups > 1 and groups == x.shape[geometry.channels] and geometry.has_few_places(x, kernel):
        y = _by_channel(convolve, geometry)(x, kernel)
    elif data_format == "channels_last" and x.dtype in (jnp.float32, jnp.float64):
        y = _convolution(convolve, geometry, groups)(x, kernel)
    else:
        y = convolve(x, kernel)
    if bias is None:
        return y
    return y + (bias if data_format == "channels_last" else bias.reshape(-1, *(1,) * len(strides)))


@dataclass(frozen=True)
class Geometry:
    """How a window goes over an image; ``padding`` is before and behind each axis."""

    strides: Axes
    padding: Pairs
    dilation: Axes
    data_format: str

    @property
    def channels(self) -> int:
        """The axis of the channels."""
        return 1 if self.data_format == "channels_first" else len(self.strides) + 1

    @property
    def first(self) -> int:
        """The first axis of the image."""
        return 2 if self.data_format == "channels_first" else 1

    def sizes(self, x: Any, kernel: Any) -> Axes:
        """Those of the result's images."""
        padded = (n + sum(pad) for n, pad in zip(x.shape[self.first :], self.padding, strict=False))
        return tuple(
            (n - (k - 1) * d - 1) // s + 1
            for n, k, d, s in zip(padded, kernel.shape, self.dilation, self.strides, strict=False)
        )

    def has_few_places(self, x: Any, kernel: Any) -> bool:
        """Whether the window is small enough, the images known and something comes out of them."""
        known = all(isinstance(n, int) for n in x.shape[self.first :][: len(self.strides)])
        return known and prod(kernel.shape[:-2]) <= POLICY.places and min(self.sizes(x, kernel)) > 0

    def padded(self, x: Any) -> Any:
        pads = [(0, 0)] * x.ndim
        pads[self.first : self.first + len(self.padding)] = self.padding
        return jnp.pad(x, pads)

    def seen(self, padded: Any, kernel: Any, sizes: Axes) -> Iterator[tuple[Axes, Any]]:
        """Each place of the window, and what it meets on its way over the image."""
        for place in product(*map(range, kernel.shape[:-2])):
            begin, end, steps = [0] * padded.ndim, [*padded.shape], [1] * padded.ndim
            for axis, (at, d, n, s) in enumerate(
                zip(place, self.dilation, sizes, self.strides, strict=True), self.first
            ):
                begin[axis], end[axis], steps[axis] = at * d, at * d + (n - 1) * s + 1, s
            yield place, lax.slice(padded, begin, end, steps)


def _bilinear(forward: Callable[..., Any], of_kernel: Callable[..., Any]) -> Callable[..., Any]:
    """``forward(x, kernel)``; for tangents of the kernel, and so for its gradient, ``of_kernel(x, kernel)``."""

    @jax.custom_jvp
    def function(x: Any, kernel: Any) -> Any:
        return forward(x, kernel)

    def tangents(primals: tuple[Any, Any], tangents: tuple[Any, Any]) -> tuple[Any, Any]:
        (x, kernel), (d_x, d_kernel) = primals, tangents
        parts = []
        if not isinstance(d_x, SymbolicZero):
            parts.append(function(d_x, kernel))
        if not isinstance(d_kernel, SymbolicZero):
            parts.append(of_kernel(x, d_kernel))
        return function(x, kernel), sum(parts)

    function.defjvp(tangents, symbolic_zeros=True)
    return function


def _convolution(convolve: Callable[..., Any], geometry: Geometry, groups: int) -> Callable[..., Any]:
    """``convolve(x, kernel)``, linear in the kernel's tangents by way of patches where that is quicker."""

    def of_kernel(x: Any, kernel: Any) -> Any:
        free = not all(isinstance(n, int) for n in x.shape)  # while exporting
        sizes = () if free else geometry.sizes(x, kernel)
        if (
            free
            or prod(sizes) < POLICY.positions
            or x.shape[0] * prod(sizes) * prod(kernel.shape) * groups < POLICY.multiplications
        ):
            return function(x, kernel)
        patches = partial(_from_patches, geometry, sizes, groups)
        return lax.platform_dependent(x, kernel, cpu=patches, default=function)

    function = _bilinear(convolve, of_kernel)
    return function


def _by_channel(convolve: Callable[..., Any], geometry: Geometry) -> Callable[..., Any]:
    """``convolve(x, kernel)`` of each channel by itself, on a CPU without XLA's own such convolution."""

    def here(cpu: Callable[..., Any]) -> Callable[..., Any]:
        return partial(lax.platform_dependent, cpu=partial(cpu, geometry), default=convolve)

    return _bilinear(here(_from_places), here(_from_places_by_images))


def _from_places(geometry: Geometry, x: Any, kernel: Any) -> Any:
    """A convolution of each channel by itself as a sum over the places of the window."""
    sizes, channels = geometry.sizes(x, kernel), x.shape[geometry.channels]
    halves = x.dtype.itemsize < 4 and jnp.issubdtype(x.dtype, jnp.floating)
    wide = jnp.float32 if halves else x.dtype
    first = geometry.data_format == "channels_first"
    columns = kernel.astype(wide).reshape(*kernel.shape[:-2], channels, -1, *(1,) * (len(sizes) * first))
    total: Any = 0
    for place, seen in geometry.seen(geometry.padded(x.astype(wide)), kernel, sizes):
        total = total + jnp.expand_dims(seen, geometry.channels + 1) * columns[place]
    filters = kernel.shape[-1]
    shape = (x.shape[0], filters, *sizes) if first else (x.shape[0], *sizes, filters)
    return total.reshape(shape).astype(x.dtype)


def _from_places_by_images(geometry: Geometry, x: Any, kernel: Any) -> Any:
    """The same some images at a time, which for the gradient of the kernel are then read from the cache."""
    batch, each = x.shape[0], prod(geometry.sizes(x, kernel)) * kernel.shape[-1]
    free = not isinstance(batch, int)  # while exporting
    images = batch if free else _divisor(batch, POLICY.seen // max(each, 1))
    if free or images >= batch:
        return _from_places(geometry, x, kernel)
    x, bare = geometry.padded(x), replace(geometry, padding=((0, 0),) * len(geometry.padding))
    some = jax.checkpoint(lambda x: _from_places(bare, x, kernel))  # what places see is not kept
    y = lax.map(some, x.reshape(batch // images, images, *x.shape[1:]))
    return y.reshape(batch, *y.shape[2:])


def _divisor(number: int, largest: int) -> int:
    """The largest divisor of ``number`` up to ``largest``; at least 1."""
    return max(count for count in range(1, max(min(largest, number), 1) + 1) if number % count == 0)


def _from_patches(geometry: Geometry, sizes: Axes, groups: int, x: Any, kernel: Any) -> Any:
    """A convolution to ``sizes`` as products of patches with the kernel: for its gradient to the kernel."""
    batch, columns = x.shape[0], kernel.reshape(-1, groups, kernel.shape[-1] // groups)
    images = _divisor(batch, POLICY.patches // (prod(sizes) * columns.shape[0] * groups))
    x = geometry.padded(x)

    @jax.checkpoint
    def some(x: Any) -> Any:
        """Patches are made again for the gradient, instead of kept."""
        seen = (one.reshape(-1, groups, x.shape[-1] // groups) for _, one in geometry.seen(x, kernel, sizes))
        patches = jnp.concatenate([*seen], -1)
        return lax.dot_general(patches, columns, (((2,), (0,)), ((1,), (1,))))

    y = lax.map(some, x.reshape(batch // images, images, *x.shape[1:]))
    return jnp.moveaxis(y, 1, 2).reshape(batch, *sizes, kernel.shape[-1])


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
