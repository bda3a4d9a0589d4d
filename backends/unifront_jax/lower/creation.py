"""Rows of new arrays. ``like`` only says that the array is made where the program runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax

from unifront.opset import creation as ops
from unifront.opset.spec import OpSpec


def _fill(like: Any, shape: tuple[int, ...], value: float, dtype: str) -> Any:
    return jnp.full(shape, value, dtype)


def _iota(like: Any, shape: tuple[int, ...], axis: int, dtype: str) -> Any:
    return lax.broadcasted_iota(jnp.dtype(dtype), shape, axis)


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.FILL: _fill,
    ops.IOTA: _iota,
}
