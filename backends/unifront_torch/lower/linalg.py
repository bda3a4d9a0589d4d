"""Matrix products in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from unifront.backends import with_plain
from unifront.opset import linalg as ops
from unifront.opset.spec import OpSpec

_NO_KERNEL = (torch.uint16, torch.uint32, torch.uint64)


def _whole(product: Callable[..., torch.Tensor], *xs: torch.Tensor) -> torch.Tensor:
    """A product of integers: of int8 in int32, of what PyTorch has no kernels for in int64, whose lower bits it is."""
    dtype = xs[0].dtype
    if dtype == torch.int8:
        return product(*(x.to(torch.int32) for x in xs)).to(torch.int32)  # einsum's sums would be int64
    return product(*(x.to(torch.int64) if dtype in _NO_KERNEL else x for x in xs)).to(dtype)


def _matmul(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.matmul(x, y) if x.is_floating_point() else _whole(torch.matmul, x, y)


def _einsum(*xs: torch.Tensor, equation: str) -> torch.Tensor:
    if xs[0].is_floating_point():
        return torch.einsum(equation, *xs)
    return _whole(lambda *wide: torch.einsum(equation, *wide), *xs)


def _dense(x: torch.Tensor, kernel: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    # With the kernel as it is, addmm takes no longer than F.linear with [units, in], and is a little
    # quicker where the matrices are small.
    if bias is None or x.ndim == 1:
        return torch.matmul(x, kernel) if bias is None else torch.matmul(x, kernel) + bias
    if x.ndim == 2:
        return torch.addmm(bias, x, kernel)
    return torch.addmm(bias, x.reshape(-1, kernel.shape[0]), kernel).reshape(*x.shape[:-1], kernel.shape[1])


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.MATMUL: with_plain(_matmul, torch.matmul),
    ops.DENSE: _dense,
    ops.EINSUM: _einsum,
}
