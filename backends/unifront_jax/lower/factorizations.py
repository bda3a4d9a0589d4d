"""Rows for factorizations of matrices."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from unifront.errors import ArgumentError
from unifront.opset import factorizations as ops
from unifront.opset.spec import OpSpec

# JAX before 0.10 differentiates eigenvalues alone, and has no such argument.
_EIG = (
    {"enable_eigvec_derivs": True} if "enable_eigvec_derivs" in signature(lax.linalg.eig).parameters else {}
)


def _cholesky(x: Any) -> Any:
    """Outside a program, where the result can be looked at, a matrix that has no factor is an error as elsewhere."""
    found = jnp.linalg.cholesky(x)
    if not isinstance(found, jax.core.Tracer) and bool(jnp.isnan(found).any() & ~jnp.isnan(x).any()):
        raise ArgumentError(ops.NOT_POSITIVE)
    return found


def _svd(x: Any, full_matrices: bool, compute_uv: bool) -> Any:
    found = jnp.linalg.svd(x, full_matrices=full_matrices, compute_uv=compute_uv)
    return tuple(found) if compute_uv else found


def _eig(x: Any) -> Any:
    values, vectors = lax.linalg.eig(x, compute_left_eigenvectors=False, **_EIG)
    return values, vectors


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.CHOLESKY: _cholesky,
    ops.QR: lambda x, complete: tuple(jnp.linalg.qr(x, "complete" if complete else "reduced")),
    ops.SVD: _svd,
    ops.EIGH: lambda x: tuple(jnp.linalg.eigh(x)),
    ops.EIG: _eig,
    ops.LU_FACTOR: lambda x: lax.linalg.lu(x)[:2],
}
