"""Rows for factorizations of matrices. PyTorch reads one triangle of a symmetric matrix; see `_symmetric`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from unifront.errors import ArgumentError
from unifront.opset import factorizations as ops
from unifront.opset.spec import OpSpec


def _symmetric(x: torch.Tensor) -> torch.Tensor:
    return (x + x.mT) / 2


def _cholesky(x: torch.Tensor) -> torch.Tensor:
    try:
        return torch.linalg.cholesky(_symmetric(x))
    except torch.linalg.LinAlgError:
        raise ArgumentError(ops.NOT_POSITIVE) from None


def _svd(x: torch.Tensor, full_matrices: bool, compute_uv: bool) -> Any:
    return tuple(torch.linalg.svd(x, full_matrices)) if compute_uv else torch.linalg.svdvals(x)


def _lu_factor(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    # Without the check of `lu_factor`: a singular matrix has a factorization too.
    found = torch.linalg.lu_factor_ex(x)
    return found.LU, found.pivots - 1  # LAPACK counts from 1


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.CHOLESKY: _cholesky,
    ops.QR: lambda x, complete: tuple(torch.linalg.qr(x, "complete" if complete else "reduced")),
    ops.SVD: _svd,
    ops.EIGH: lambda x: tuple(torch.linalg.eigh(_symmetric(x))),
    ops.EIG: lambda x: tuple(torch.linalg.eig(x)),
    ops.LU_FACTOR: _lu_factor,
}
