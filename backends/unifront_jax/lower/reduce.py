"""Rows of the reductions."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from unifront.opset import reduce as ops
from unifront.opset.spec import OpSpec

_SINGLE = np.dtype("float32")


def _sum(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    # Called at once, a number takes less time than a tuple of it, and no dtype less than one; others JAX would widen.
    dtype = None if x.dtype is _SINGLE else x.dtype
    return jnp.sum(x, axis=axes[0] if len(axes) == 1 else axes, dtype=dtype, keepdims=keepdims)


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


@partial(jax.custom_jvp, nondiff_argnums=(1, 2, 3))
def _extremum(x: Any, axes: tuple[int, ...], keepdims: bool, is_max: bool) -> Any:
    return (jnp.max if is_max else jnp.min)(x, axis=axes, keepdims=keepdims)


def _once(chosen: Any, first: Any) -> Any:
    """``chosen``; a branch's result is computed once, so that how many there are and which they are agree."""
    return lax.cond(first.sum() >= 0, lambda these: these, jnp.zeros_like, chosen)


@_extremum.defjvp
def _extremum_jvp(axes: tuple[int, ...], keepdims: bool, is_max: bool, primals: Any, tangents: Any) -> Any:
    """Of equal elements each has its share, as in JAX's own; but JAX finds them by comparing with the result alone.

    XLA computes an element twice where that is quicker, and rounds it in two ways, so that none need be equal: the
    gradient was lost. The place that `argmax` gives is always one of them.
    """
    (x,), (slope,) = primals, tangents
    found = _extremum(x, axes, True, is_max)
    number: Any = np.int32(0)  # of each element among those that are compared
    for axis in axes:
        number = number * x.shape[axis] + lax.broadcasted_iota(jnp.int32, x.shape, axis)
    others = [axis for axis in range(x.ndim) if axis not in axes]
    sizes = [x.shape[axis] for axis in others]
    rows = x.transpose(*others, *axes).reshape(*sizes, math.prod(x.shape[axis] for axis in axes))
    first = lax.stop_gradient((lax.argmax if is_max else lax.argmin)(rows, rows.ndim - 1, jnp.int32))
    chosen = ((x == found) | (number == jnp.expand_dims(first, axes))).astype(x.dtype)
    chosen = lax.platform_dependent(chosen, first, cpu=_once, default=lambda these, _: these)
    share = lax.stop_gradient(chosen / chosen.sum(axes, keepdims=True))
    return found if keepdims else found.squeeze(axes), (slope * share).sum(axes, keepdims=keepdims)


def _extreme(native: Callable[..., Any], is_max: bool) -> Callable[..., Any]:
    def row(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
        if isinstance(x, jax.core.Tracer):
            return _extremum(x, axes, keepdims, is_max)
        return native(x, axis=axes, keepdims=keepdims)

    return row


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.SUM: _sum,
    ops.PROD: _prod,
    ops.MEAN: _over(jnp.mean),
    ops.MAX: _extreme(jnp.max, True),
    ops.MIN: _extreme(jnp.min, False),
    ops.ALL: _over(jnp.all),
    ops.ANY: _over(jnp.any),
    ops.LOGSUMEXP: _over(jax.nn.logsumexp),
    ops.VAR: _over(jnp.var),
    ops.ARGMAX: _argmax,
    ops.ARGMIN: _argmin,
}
