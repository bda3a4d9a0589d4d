"""Rows of the shape operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax

from unifront.opset import shape as ops
from unifront.opset.spec import OpSpec


def _concatenate(*xs: Any, axis: int) -> Any:
    return jnp.concatenate(xs, axis)


def _stack(*xs: Any, axis: int) -> Any:
    return jnp.stack(xs, axis)


def _unstack(x: Any, axis: int) -> tuple[Any, ...]:
    return tuple(jnp.unstack(x, axis=axis))


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.RESHAPE: jnp.reshape,
    ops.TRANSPOSE: jnp.transpose,
    ops.EXPAND_DIMS: lambda x, axes: jnp.expand_dims(x, axes),
    ops.SQUEEZE: lambda x, axes: jnp.squeeze(x, axes),
    ops.BROADCAST_TO: jnp.broadcast_to,
    ops.CONCATENATE: _concatenate,
    ops.STACK: _stack,
    ops.SPLIT: lambda x, sizes, axis: lax.split(x, sizes, axis),
    ops.UNSTACK: _unstack,
}
