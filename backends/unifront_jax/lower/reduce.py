"""Rows of the reductions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from unifront.opset import reduce as ops
from unifront.opset.spec import OpSpec


def _sum(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    return jnp.sum(x, axis=axes, dtype=x.dtype, keepdims=keepdims)


def _prod(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    return jnp.prod(x, axis=axes, dtype=x.dtype, keepdims=keepdims)


def _over(native: Callable[..., Any]) -> Callable[..., Any]:
    def row(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
        return native(x, axis=axes, keepdims=keepdims)

    return row


def _argmax(x: Any, axis: int, keepdims: bool) -> Any:
    found = lax.argmax(x, axis, jnp.int32)
    return jnp.expand_dims(found, axis) if keepdims else found


def _argmin(x: Any, axis: int, keepdims: bool) -> Any:
    found = lax.argmin(x, axis, jnp.int32)
    return jnp.expand_dims(found, axis) if keepdims else found


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.SUM: _sum,
    ops.PROD: _prod,
    ops.MEAN: _over(jnp.mean),
    ops.MAX: _over(jnp.max),
    ops.MIN: _over(jnp.min),
    ops.ALL: _over(jnp.all),
    ops.ANY: _over(jnp.any),
    ops.LOGSUMEXP: _over(jax.nn.logsumexp),
    ops.VAR: _over(jnp.var),
    ops.ARGMAX: _argmax,
    ops.ARGMIN: _argmin,
}
