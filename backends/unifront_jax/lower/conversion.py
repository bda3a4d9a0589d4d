"""Bits taken for another dtype."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax

from unifront.opset import conversion as ops
from unifront.opset.spec import OpSpec


def _bitcast(x: Any, source: str, dtype: str) -> Any:
    old, new = x.dtype.itemsize, jnp.dtype(dtype).itemsize
    if new > old:  # as many numbers as make one stand along a last axis of their own
        x = x.reshape(*x.shape[:-1], x.shape[-1] * old // new, new // old)
    found = lax.bitcast_convert_type(x, jnp.dtype(dtype))
    return found.reshape(*x.shape[:-1], x.shape[-1] * (old // new)) if new < old else found


TABLE: dict[OpSpec, Callable[..., Any]] = {ops.BITCAST: _bitcast}
