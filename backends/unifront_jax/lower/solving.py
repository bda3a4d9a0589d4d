"""Rows for linear systems."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax

from unifront.opset import solving as ops
from unifront.opset.spec import OpSpec


def _solve_triangular(a: Any, b: Any, lower: bool) -> Any:
    return lax.linalg.triangular_solve(a, b, left_side=True, lower=lower)


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.SOLVE: jnp.linalg.solve,
    ops.SOLVE_TRIANGULAR: _solve_triangular,
    ops.DET: jnp.linalg.det,
    ops.SLOGDET: lambda x: tuple(jnp.linalg.slogdet(x)),
}
