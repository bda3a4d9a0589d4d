"""Gamma and binomial numbers in JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from unifront.opset import variates as ops
from unifront.opset.spec import OpSpec

Array = Any


def _gamma(key: Array, alpha: Array) -> Array:
    return jax.random.gamma(key, alpha, alpha.shape, alpha.dtype)


def _binomial(key: Array, counts: Array, probabilities: Array) -> Array:
    shape, dtype = jnp.broadcast_shapes(counts.shape, probabilities.shape), counts.dtype
    own = jnp.promote_types(dtype, jnp.float32)  # a half counts up to 2048 only
    return jax.random.binomial(key, counts.astype(own), probabilities.astype(own), shape, own).astype(dtype)


TABLE: dict[OpSpec, Callable[..., Any]] = {ops.RANDOM_GAMMA: _gamma, ops.RANDOM_BINOMIAL: _binomial}
