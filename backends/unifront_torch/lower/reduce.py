"""Reductions in PyTorch. To torch no axes means all of them, and it would widen small integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from unifront.backends import with_plain
from unifront.opset import reduce as ops
from unifront.opset.spec import OpSpec
from unifront_torch.lower._unsigned import widened

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


def _ordered(x: torch.Tensor) -> torch.Tensor:
    return x.to(torch.uint8) if x.dtype == torch.bool else x


def _argmax(x: torch.Tensor, axis: int, keepdims: bool) -> torch.Tensor:
    return torch.argmax(_ordered(x), axis, keepdims).to(torch.int32)


def _argmin(x: torch.Tensor, axis: int, keepdims: bool) -> torch.Tensor:
    return torch.argmin(_ordered(x), axis, keepdims).to(torch.int32)


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.SUM: widened(with_plain(_sum, _over(torch.sum))),
    ops.PROD: widened(_prod),
    ops.MEAN: _over(torch.mean),
    ops.MAX: widened(_over(torch.amax)),
    ops.MIN: widened(_over(torch.amin)),
    ops.ALL: _over(torch.all),
    ops.ANY: _over(torch.any),
    ops.LOGSUMEXP: _over(torch.logsumexp),
    ops.VAR: _var,
    ops.ARGMAX: widened(_argmax),
    ops.ARGMIN: widened(_argmin),
}
