"""Rows of pooling."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from unifront.ops.pool import AVERAGE_POOL, MAX_POOL
from unifront.ops.spec import OpSpec
from unifront.ops.windows import Padding, explicit

Axes = tuple[int, ...]


def _around(values: tuple[Any, ...], data_format: str, other: Any) -> tuple[Any, ...]:
    """``values`` of the spatial axes, and ``other`` for batch and channels."""
    return (other, *values, other) if data_format == "channels_last" else (other, other, *values)


def _pairs(x: Any, pool_size: Axes, strides: Axes, padding: Padding, data_format: str) -> Any:
    sizes = x.shape[1:-1] if data_format == "channels_last" else x.shape[2:]
    return explicit(padding, sizes, pool_size, strides, (1,) * len(strides))


def _max_pool(x: Any, pool_size: Axes, strides: Axes, padding: Padding, data_format: str) -> Any:
    pairs = _pairs(x, pool_size, strides, padding, data_format)
    return lax.reduce_window(
        x, -np.inf, lax.max, _around(pool_size, data_format, 1), _around(strides, data_format, 1),
        _around(pairs, data_format, (0, 0)),
    )  # fmt: skip


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
