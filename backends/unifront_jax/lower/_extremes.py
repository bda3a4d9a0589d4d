"""The larger and the smaller of two, with gradients that do not hang on equality.

JAX's own compare an operand with the result. XLA computes an operand twice where that is quicker, and rounds it in two
ways, so that it is not equal to what came of it: the gradient was lost. These compare the operands with each other.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp


@partial(jax.custom_jvp, nondiff_argnums=(2,))
def _extreme(x: Any, y: Any, is_max: bool) -> Any:
    return (jnp.maximum if is_max else jnp.minimum)(x, y)


@_extreme.defjvp
def _extreme_jvp(is_max: bool, primals: Any, tangents: Any) -> Any:
    (x, y), (of_x, of_y) = primals, tangents
    loses = x < y if is_max else x > y
    # Equal ones share it, as in JAX.
    slope = jnp.where(loses, of_y, jnp.where(x == y, (of_x + of_y) / 2, of_x))
    return _extreme(x, y, is_max), slope


def _is_differentiable(*xs: Any) -> bool:
    return jnp.issubdtype(xs[0].dtype, jnp.floating) and any(isinstance(x, jax.core.Tracer) for x in xs)


def maximum(x: Any, y: Any) -> Any:
    """``jnp.maximum`` of two arrays of one dtype."""
    return _extreme(x, y, True) if _is_differentiable(x, y) else jnp.maximum(x, y)


def minimum(x: Any, y: Any) -> Any:
    """``jnp.minimum`` of two arrays of one dtype."""
    return _extreme(x, y, False) if _is_differentiable(x, y) else jnp.minimum(x, y)


def clip(x: Any, lowest: float, highest: float) -> Any:
    """``jnp.clip``."""
    if not _is_differentiable(x):
        return jnp.clip(x, lowest, highest)
    return minimum(maximum(x, jnp.asarray(lowest, x.dtype)), jnp.asarray(highest, x.dtype))
