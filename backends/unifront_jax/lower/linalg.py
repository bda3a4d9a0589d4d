"""Rows of the matrix products.

Precision is left to the user's `jax.default_matmul_precision`, as in hand-written JAX. Its default is full
float32 on CPU; on GPUs that have TF32 it is that, with some 1e-3 of relative error: `"highest"` turns it off.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from unifront.backends import with_plain
from unifront.opset import linalg as ops
from unifront.opset.spec import OpSpec


def _dense(x: Any, kernel: Any, bias: Any) -> Any:
    product = jnp.matmul(x, kernel)
    return product if bias is None else product + bias


def _summed_in(x: Any) -> Any:
    return jnp.int32 if x.dtype == jnp.int8 else None


def _matmul(x: Any, y: Any) -> Any:
    return jnp.matmul(x, y, preferred_element_type=_summed_in(x))


def _einsum(*xs: Any, equation: str) -> Any:
    return jnp.einsum(equation, *xs, preferred_element_type=_summed_in(xs[0]))


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.MATMUL: with_plain(_matmul, jnp.matmul),
    ops.DENSE: _dense,
    ops.EINSUM: _einsum,
}
