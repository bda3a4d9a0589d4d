"""Matrix products in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from unifront.ir.emit import Storage
from unifront.ops import linalg as ops
from unifront.ops.spec import OpSpec


def _einsum(*xs: torch.Tensor, equation: str) -> torch.Tensor:
    return torch.einsum(equation, *xs)


def _to_linear(kernel: torch.Tensor) -> torch.Tensor:
    return kernel.t().contiguous()


LINEAR = Storage("linear", _to_linear, torch.Tensor.t)
"""A dense kernel as ``torch.nn.Linear`` keeps it: ``[units, in]``."""

TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.MATMUL: torch.matmul,
    ops.DENSE: F.linear,
    ops.EINSUM: _einsum,
}
STORAGE: dict[tuple[OpSpec, int], Storage] = {(ops.DENSE, 1): LINEAR}
