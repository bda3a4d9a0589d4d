"""Running sums and products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax

from unifront.opset import cumulative as ops
from unifront.opset.spec import OpSpec


def _cumsum(x: Any, axis: int, reverse: bool, exclusive: bool) -> Any:
    if exclusive and x.shape[axis]:
        shift = (-1, 1, 0) if reverse else (1, -1, 0)
        x = lax.pad(x, jnp.zeros((), x.dtype), [shift if i == axis else (0, 0, 0) for i in range(x.ndim)])
    return lax.cumsum(x, axis, reverse)


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.CUMSUM: _cumsum,
    ops.CUMPROD: lambda x, axis: lax.cumprod(x, axis),
}
