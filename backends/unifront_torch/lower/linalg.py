"""Matrix products in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from unifront.opset import linalg as ops
from unifront.opset.spec import OpSpec


def _einsum(*xs: torch.Tensor, equation: str) -> torch.Tensor:
    return torch.einsum(equation, *xs)


def _dense(x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    # With the kernel as it is, addmm takes no longer than F.linear with [units, in], and is a little
    # quicker where the matrices are small.
    if bias is None or x.ndim == 1:
        return torch.matmul(x, kernel) if bias is None else torch.matmul(x, kernel) + bias
    if x.ndim == 2:
        return torch.addmm(bias, x, kernel)
    return torch.addmm(bias, x.reshape(-1, kernel.shape[0]), kernel).reshape(*x.shape[:-1], kernel.shape[1])


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.MATMUL: torch.matmul,
    ops.DENSE: _dense,
    ops.EINSUM: _einsum,
}
