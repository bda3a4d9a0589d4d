"""Reductions in PyTorch. To torch no axes means all of them, and it would widen small integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from unifront.opset import reduce as ops
from unifront.opset.spec import OpSpec

Axes = tuple[int, ...]


def _sum(x: torch.Tensor, axes: Axes, keepdims: bool) -> torch.Tensor:
    return torch.sum(x, axes, keepdims, dtype=x.dtype) if axes else x


def _prod(x: torch.Tensor, axes: Axes, keepdims: bool) -> torch.Tensor:
    for axis in reversed(axes):  # torch takes one at a time
        x = torch.prod(x, axis, keepdims, dtype=x.dtype)
    return x


def _over(native: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """A native reduction over several axes, of which no axes leave the operand as it is."""

    def row(x: torch.Tensor, axes: Axes, keepdims: bool) -> torch.Tensor:
        return native(x, axes, keepdims) if axes else x

    return row


def _var(x: torch.Tensor, axes: Axes, keepdims: bool) -> torch.Tensor:
    if not x.numel():
        return torch.mean(x, axes, keepdims) if axes else x  # torch.var warns, and gives the same
    return torch.var(x, axes, correction=0, keepdim=keepdims) if axes else x - x


def _argmax(x: torch.Tensor, axis: int, keepdims: bool) -> torch.Tensor:
    return torch.argmax(x, axis, keepdims).to(torch.int32)


def _argmin(x: torch.Tensor, axis: int, keepdims: bool) -> torch.Tensor:
    return torch.argmin(x, axis, keepdims).to(torch.int32)


def _cumsum(x: torch.Tensor, axis: int, reverse: bool, exclusive: bool) -> torch.Tensor:
    if reverse:
        return _cumsum(x.flip(axis), axis, False, exclusive).flip(axis)
    if exclusive and x.shape[axis]:
        before = (0, 0) * (x.ndim - 1 - axis)
        x = F.pad(x.narrow(axis, 0, x.shape[axis] - 1), (*before, 1, 0))
    return torch.cumsum(x, axis, dtype=x.dtype)


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.SUM: _sum,
    ops.PROD: _prod,
    ops.MEAN: _over(torch.mean),
    ops.MAX: _over(torch.amax),
    ops.MIN: _over(torch.amin),
    ops.ALL: _over(torch.all),
    ops.ANY: _over(torch.any),
    ops.LOGSUMEXP: _over(torch.logsumexp),
    ops.VAR: _var,
    ops.ARGMAX: _argmax,
    ops.ARGMIN: _argmin,
    ops.CUMSUM: _cumsum,
}
