"""Randomness in JAX: ``jax.random`` and its typed keys."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from unifront.opset import random as ops
from unifront.opset.spec import OpSpec
from unifront_jax.lower.threefry import folded

Array = Any


def _fold_in(key: Array, data: Array | None, number: int | None) -> Array:
    if key.dtype == jnp.uint32:
        return folded(key, data, number)
    return jax.random.fold_in(key, data if number is None else number % 2**32)


def _uniform(
    key: Array, like: Array | None, shape: tuple[int, ...], minimum: float, maximum: float, dtype: str
) -> Array:
    return jax.random.uniform(key, shape, jnp.dtype(dtype), minimum, maximum)


def _normal(
    key: Array, like: Array | None, shape: tuple[int, ...], mean: float, stddev: float, dtype: str
) -> Array:
    return jax.random.normal(key, shape, jnp.dtype(dtype)) * stddev + mean


def _keep(key: Array, rate: float, shape: tuple[int, ...]) -> Array:
    """A mask that is false with probability ``rate``."""
    threshold = rate * 256
    if not threshold.is_integer():
        return jax.random.bernoulli(key, 1 - rate, shape)
    # One byte an element says it exactly, for a quarter of the random words.
    size = math.prod(shape)
    words = jax.random.bits(key, ((size + 3) // 4,), jnp.uint32)
    return lax.bitcast_convert_type(words, jnp.uint8).reshape(-1)[:size].reshape(shape) >= int(threshold)


def _dropout(x: Array, key: Array, rate: float, noise_shape: tuple[int, ...]) -> Array:
    return jnp.where(_keep(key, rate, noise_shape), x / (1 - rate), 0)


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.FOLD_IN: _fold_in,
    ops.RANDOM_UNIFORM: _uniform,
    ops.RANDOM_NORMAL: _normal,
    ops.DROPOUT: _dropout,
}
