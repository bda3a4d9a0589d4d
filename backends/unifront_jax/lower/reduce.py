"""Rows of the reductions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from unifront.ops import reduce as ops
from unifront.ops.spec import OpSpec


def _sum(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    return jnp.sum(x, axis=axes, dtype=x.dtype, keepdims=keepdims)


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.SUM: _sum,
}
