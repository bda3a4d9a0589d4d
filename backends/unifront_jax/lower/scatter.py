"""Rows of parts at positions that are tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from unifront.opset import scatter as ops
from unifront.opset.spec import OpSpec


def _dynamic_slice(x: Any, starts: Any, sizes: tuple[int, ...]) -> Any:
    return lax.dynamic_slice(
        x, tuple(jnp.maximum(starts, 0)), sizes
    )  # of a negative start XLA counts from the end


def _slice_update(x: Any, starts: Any, updates: Any) -> Any:
    return lax.dynamic_update_slice(x, updates, tuple(jnp.maximum(starts, 0)))


@jax.custom_vjp
def _multiplied(x: Any, places: tuple[Any, ...], updates: Any) -> Any:
    """JAX has no gradient of it where a place may come twice."""
    return x.at[places].multiply(updates)


def _multiplied_forward(x: Any, places: tuple[Any, ...], updates: Any) -> tuple[Any, Any]:
    return _multiplied(x, places, updates), (x, places, updates)


def _multiplied_backward(saved: Any, gradient: Any) -> tuple[Any, None, Any]:
    """The others' product is that of all by one's own, but where it is 0: there that of those that are not."""
    x, places, updates = saved
    zero = updates == 0
    product = _multiplied(jnp.ones_like(x), places, jnp.where(zero, 1, updates))
    zeros = jnp.zeros_like(x).at[places].add(zero.astype(x.dtype))
    others = product[places] / jnp.where(zero, 1, updates)
    others = jnp.where(zeros[places] == zero, others, 0)
    through = jnp.where(zeros == 0, product, 0)
    return gradient * through, None, (gradient * x)[places] * others


_multiplied.defvjp(_multiplied_forward, _multiplied_backward)


def _scatter(x: Any, indices: Any, updates: Any, mode: str) -> Any:
    places = tuple(jnp.moveaxis(indices, -1, 0))
    if mode == "mul":
        return _multiplied(x, places, updates)
    return getattr(x.at[places], mode)(updates)


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.DYNAMIC_SLICE: _dynamic_slice,
    ops.SLICE_UPDATE: _slice_update,
    ops.SCATTER: _scatter,
}
