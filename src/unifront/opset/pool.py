"""Pooling over one to three spatial axes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np

from unifront.errors import ArgumentError
from unifront.ir.facts import Facts, Precision
from unifront.ir.types import TensorType
from unifront.opset import reduce
from unifront.opset.elementwise import TensorLike, floating
from unifront.opset.rules import need_float
from unifront.opset.spec import OpSpec, Sample, register
from unifront.opset.tensor import bind, type_of
from unifront.opset.windows import (
    Padding,
    assemble,
    canonical_padding,
    channel_axis,
    explicit,
    layout_of,
    output_sizes,
    per_axis,
    spatial,
    spatial_rank,
    windows,
)

Axes = tuple[int, ...]


def _rule(x: TensorType, pool_size: Axes, strides: Axes, padding: Padding, data_format: str) -> TensorType:
    need_float(x)
    rank = spatial_rank(x, "pooling")
    if not len(pool_size) == len(strides) == rank:
        raise ArgumentError(
            f"pool_size {pool_size} and strides {strides} need one int for each of {rank} axes."
        )
    for k, pair in () if isinstance(padding, str) else zip(pool_size, padding, strict=True):
        if max(pair) >= k:
            raise ArgumentError(
                f"The padding {pair} is not smaller than the pool size {k}: a window would be empty."
            )
    channels = x.shape[channel_axis(data_format, x.rank)]
    sizes = output_sizes(spatial(x.shape, data_format), pool_size, strides, padding, (1,) * rank)
    return x.with_shape(assemble(x.shape[0], sizes, channels, data_format))


def _reference(
    reduce_windows: Callable[[np.ndarray, Axes], np.ndarray], fill: float
) -> Callable[..., np.ndarray]:
    """A pooling whose padding holds ``fill``; ``reduce_windows`` takes every window and its axes."""

    def reference(
        x: np.ndarray, pool_size: Axes, strides: Axes, padding: Padding, data_format: str
    ) -> np.ndarray:
        if data_format == "channels_first":
            x = np.moveaxis(x, 1, -1)
        ones = (1,) * len(pool_size)
        pairs = explicit(padding, x.shape[1:-1], pool_size, strides, ones)
        views = windows(x, pool_size, strides, pairs, ones, fill)
        y = reduce_windows(views, tuple(range(x.ndim, views.ndim)))
        return np.moveaxis(y, -1, 1) if data_format == "channels_first" else y

    return reference


def _samples(rng: np.random.Generator) -> Iterator[Sample]:
    def sample(
        x: Axes, pool_size: Axes, strides: Axes, padding: str | Padding, data_format: str = "channels_last"
    ) -> Sample:
        pairs = canonical_padding(padding, spatial(x, data_format), pool_size, strides, (1,) * len(pool_size))
        attributes = {
            "pool_size": pool_size,
            "strides": strides,
            "padding": pairs,
            "data_format": data_format,
        }
        values = rng.permutation(np.arange(np.prod(x)) / 7 - 3).reshape(x)  # far apart: no kink nearby
        return Sample((values,), attributes)

    yield sample((2, 4, 6, 3), (2, 2), (2, 2), "valid")
    yield sample((1, 6, 7, 2), (3, 3), (2, 2), "same")
    yield sample((1, 2, 5, 4), (3, 2), (1, 2), ((1, 1), (0, 1)), "channels_first")
    yield sample((1, 5, 6, 1), (3, 3), (3, 2), ((2, 0), (0, 2)))
    yield sample((2, 5, 3), (2,), (2,), "same")
    yield sample((1, 3, 4), (2,), (1,), "valid", "channels_first")
    yield sample((1, 4, 3, 4, 2), (2, 2, 3), (2, 1, 2), "same")
    rest = sample((1, 5, 4, 2), (2, 3), (2, 2), "same")
    yield Sample(rest.operands, {**rest.attributes, "padding": "same"})  # as it is for sizes not known


def _pooling(
    name: str, reduce_windows: Callable[[np.ndarray, Axes], np.ndarray], fill: float, source: str, what: str,
    facts: Facts,
) -> tuple[OpSpec, Callable[..., Any]]:  # fmt: skip
    spec = register(
        OpSpec(
            name,
            _rule,
            _reference(reduce_windows, fill),
            _samples,
            source,
            attributes={"pool_size": tuple, "strides": tuple, "padding": (str, tuple), "data_format": str},
            facts=facts,
        )
    )

    def function(
        inputs: TensorLike,
        pool_size: int | Sequence[int],
        strides: int | Sequence[int] | None = None,
        padding: str | int | Sequence[Any] = "valid",
        data_format: str | None = None,
    ) -> Any:
        x, data_format = floating(inputs), layout_of(data_format)
        rank = spatial_rank(type_of(x), name)
        window = per_axis(pool_size, rank, "pool_size")
        steps = window if strides is None else per_axis(strides, rank, "strides")
        if isinstance(padding, str) and padding == "causal":
            raise ArgumentError(
                f"{name} has no padding 'causal'; use 'valid', 'same' or pairs (before, after)."
            )
        pairs = canonical_padding(padding, spatial(type_of(x).shape, data_format), window, steps, (1,) * rank)
        return bind(spec, x, pool_size=window, strides=steps, padding=pairs, data_format=data_format)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""{what} ({source}).

    Args:
        inputs: floats, ``(batch, *spatial, channels)`` or ``(batch, channels, *spatial)``, 1 to 3 spatial axes.
        pool_size: the window, an int or one for each spatial axis.
        strides: likewise; None means ``pool_size``.
        padding: "valid", "same", or a pair (before, after) for each spatial axis, smaller than the window.
        data_format: "channels_last" (None too) or "channels_first".

    Raises `ShapeError` where no window fits, `ArgumentError` for a wrong argument.
    """
    return spec, function


def _facts(precision: Precision, pads_with: Literal["lowest"] | None) -> Facts:
    return Facts(
        elementwise=False, follows=None, commutes=False, keeps_zeros=True, sign="kept", precision=precision,
        channel_axes=0, pads_with=pads_with, fresh=False, whole=False,
    )  # fmt: skip


def _mean(views: np.ndarray, axes: Axes) -> np.ndarray:
    return np.nanmean(views, axis=axes)


MAX_POOL, max_pool = _pooling(
    "max_pool",
    lambda views, axes: views.max(axis=axes),
    -np.inf,
    "ONNX MaxPool-22",
    "The largest of every window, of equal ones the first gets the gradient; padding never counts",
    _facts("half", "lowest"),
)
AVERAGE_POOL, average_pool = _pooling(
    "average_pool",
    _mean,
    np.nan,
    "ONNX AveragePool-22",
    "The mean of every window; padding does not count",
    _facts("accumulate", None),
)


def _spatial_axes(x: TensorLike, data_format: str) -> Axes:
    type_ = type_of(x)
    spatial_rank(type_, "global pooling")
    channels = channel_axis(data_format, type_.rank)
    return tuple(axis for axis in range(1, type_.rank) if axis != channels)


def global_average_pool(x: TensorLike, *, keepdims: bool = False, data_format: str = "channels_last") -> Any:
    """The mean of ``x`` over its spatial axes, ``(batch, channels)``; ``keepdims`` keeps them, of size 1."""
    return reduce.mean(x, _spatial_axes(x, data_format), keepdims)


def global_max_pool(x: TensorLike, *, keepdims: bool = False, data_format: str = "channels_last") -> Any:
    """The largest over the spatial axes, ``(batch, channels)``; ``keepdims`` keeps them, of size 1."""
    return reduce.max(x, _spatial_axes(x, data_format), keepdims)
