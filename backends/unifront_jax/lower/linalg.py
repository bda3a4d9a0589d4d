"""Rows of the matrix products. Precision is the framework's own; see `jax.default_matmul_precision`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from unifront.ops import linalg as ops
from unifront.ops.spec import OpSpec


def _dense(x: Any, kernel: Any, bias: Any) -> Any:
    product = jnp.matmul(x, kernel)
    return product if bias is None else product + bias


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.MATMUL: jnp.matmul,
    ops.DENSE: _dense,
}
