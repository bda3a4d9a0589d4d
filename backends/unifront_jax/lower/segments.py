"""Rows for reductions over segments."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from unifront.opset import segments as ops
from unifront.opset.spec import OpSpec


@partial(jax.custom_jvp, nondiff_argnums=(1, 2, 3))
def _prod(x: Any, ids: Any, num_segments: int, sorted: bool) -> Any:
    return jax.ops.segment_prod(x, ids, num_segments, sorted)


@_prod.defjvp
def _prod_jvp(ids: Any, num_segments: int, sorted: bool, primals: Any, tangents: Any) -> Any:
    """JAX does not differentiate products of segments: an element's slope is the product of the others."""
    (x,), (slope,) = primals, tangents
    is_zero = x == 0
    product = jax.ops.segment_prod(jnp.where(is_zero, 1, x), ids, num_segments, sorted)
    zeros = jax.ops.segment_sum(is_zero.astype(jnp.int32), ids, num_segments, sorted)
    rest = jnp.where(zeros[ids] - is_zero > 0, 0, product[ids] / jnp.where(is_zero, 1, x))
    return _prod(x, ids, num_segments, sorted), jax.ops.segment_sum(slope * rest, ids, num_segments, sorted)


_KINDS = {"sum": jax.ops.segment_sum, "max": jax.ops.segment_max, "min": jax.ops.segment_min, "prod": _prod}


def _segment(x: Any, ids: Any, kind: str, num_segments: int, sorted: bool) -> Any:
    # Negative ids would count from the end in places.
    return _KINDS[kind](x, jnp.where(ids < 0, num_segments, ids), num_segments, sorted)


TABLE: dict[OpSpec, Callable[..., Any]] = {ops.SEGMENT: _segment}
