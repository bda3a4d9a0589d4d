"""Rows of pooling.

The gradient of XLA's own windowed maximum takes, on a CPU, up to 20 times as long as that of a few
comparisons of shifted slices; so small windows are taken apart.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, reduce
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from unifront.opset.pool import AVERAGE_POOL, MAX_POOL
from unifront.opset.spec import OpSpec
from unifront.opset.windows import Padding, explicit
from unifront_jax.policy import POLICY

Axes = tuple[int, ...]


def _around(values: tuple[Any, ...], data_format: str, other: Any) -> tuple[Any, ...]:
    """``values`` of the spatial axes, and ``other`` for batch and channels."""
    return (other, *values, other) if data_format == "channels_last" else (other, other, *values)


def _pairs(x: Any, pool_size: Axes, strides: Axes, padding: Padding, data_format: str) -> Any:
    sizes = x.shape[1:-1] if data_format == "channels_last" else x.shape[2:]
    return explicit(padding, sizes, pool_size, strides, (1,) * len(strides))


def _max_pool(x: Any, pool_size: Axes, strides: Axes, padding: Padding, data_format: str) -> Any:
    pairs = _pairs(x, pool_size, strides, padding, data_format)

    def windowed(x: Any) -> Any:
        return lax.reduce_window(
            x, -np.inf, lax.max, _around(pool_size, data_format, 1), _around(strides, data_format, 1),
            _around(pairs, data_format, (0, 0)),
        )  # fmt: skip

    if sum(pool_size) > POLICY.window:
        return windowed(x)
    apart = partial(_taken_apart, pool_size=pool_size, strides=strides, pairs=pairs, data_format=data_format)
    pool = jax.custom_jvp(windowed)  # without a gradient to come, XLA's own is the quicker one
    pool.defjvp(partial(jax.jvp, apart))
    return pool(x)


def _taken_apart(x: Any, pool_size: Axes, strides: Axes, pairs: Any, data_format: str) -> Any:
    if any(map(any, pairs)):
        edges = _around(tuple((before, after, 0) for before, after in pairs), data_format, (0, 0, 0))
        x = lax.pad(x, np.asarray(-np.inf, x.dtype), edges)
    first = 1 if data_format == "channels_last" else 2
    # The last axis first, so that of equal ones the first of all wins.
    for axis in reversed(range(len(pool_size))):
        x = reduce(_larger, _shifted(x, first + axis, pool_size[axis], strides[axis]))
    return x


def _shifted(x: Any, axis: int, size: int, stride: int) -> list[Any]:
    """The first, the second, … element of every window along ``axis``."""
    span = (x.shape[axis] - size) // stride * stride + 1
    return [lax.slice_in_dim(x, i, i + span, stride, axis) for i in range(size)]


def _larger(a: Any, b: Any) -> Any:
    """The larger one, ``a`` of equal ones (`lax.max` would share the gradient); NaN if one is."""
    return jnp.where((a >= b) | (a != a), a, b)


def _average_pool(x: Any, pool_size: Axes, strides: Axes, padding: Padding, data_format: str) -> Any:
    pairs = _pairs(x, pool_size, strides, padding, data_format)
    window, steps = _around(pool_size, data_format, 1), _around(strides, data_format, 1)
    around = _around(pairs, data_format, (0, 0))
    sums = lax.reduce_window(x, 0.0, lax.add, window, steps, around)
    if not any(map(any, pairs)):
        return sums / prod(pool_size)
    sizes = x.shape[1:-1] if data_format == "channels_last" else x.shape[2:]
    ones = jnp.ones(_around(sizes, data_format, 1), x.dtype)
    return sums / lax.reduce_window(ones, 0.0, lax.add, window, steps, around)


TABLE: dict[OpSpec, Callable[..., Any]] = {
    MAX_POOL: _max_pool,
    AVERAGE_POOL: _average_pool,
}
