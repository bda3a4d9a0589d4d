"""Rows of new arrays. ``like`` only says that the array is made where the program runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax

from unifront.errors import ShapeError
from unifront.opset import creation as ops
from unifront.opset.rules import negative_size
from unifront.opset.spec import OpSpec


def _fill(like: Any, shape: tuple[int, ...], value: float, dtype: str) -> Any:
    return jnp.full(shape, value, dtype)


def _iota(like: Any, shape: tuple[int, ...], axis: int, dtype: str) -> Any:
    return lax.broadcasted_iota(jnp.dtype(dtype), shape, axis)


def _bind_size(value: Any, size: Any, layer: str) -> Any:
    length = int(value)
    if length < 0:
        raise ShapeError(negative_size(layer, length))
    return jnp.zeros(length, bool)


UNSUPPORTED: dict[OpSpec, str] = {
    ops.BIND_SIZE: "XLA compiles for sizes that are known before it runs, and this one comes from a value. Give a "
    "fixed one, which is filled up: size=…, of nonzero, unique, boolean_mask, repeat or arange"
}
OUTSIDE_JIT: dict[OpSpec, Callable[..., Any]] = {ops.BIND_SIZE: _bind_size}
TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.FILL: _fill,
    ops.IOTA: _iota,
}
