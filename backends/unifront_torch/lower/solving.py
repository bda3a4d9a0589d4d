"""Rows for linear systems."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from unifront.errors import ArgumentError
from unifront.opset import solving as ops
from unifront.opset.spec import OpSpec


def _solve(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    try:
        return torch.linalg.solve(a, b)
    except torch.linalg.LinAlgError:
        raise ArgumentError(ops.SINGULAR) from None


def _solve_triangular(a: torch.Tensor, b: torch.Tensor, lower: bool) -> torch.Tensor:
    return torch.linalg.solve_triangular(a, b, upper=not lower)


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.SOLVE: _solve,
    ops.SOLVE_TRIANGULAR: _solve_triangular,
    ops.DET: torch.linalg.det,
    ops.SLOGDET: lambda x: tuple(torch.linalg.slogdet(x)),
}
