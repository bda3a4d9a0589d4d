"""Running sums and products in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from unifront.opset import cumulative as ops
from unifront.opset.spec import OpSpec
from unifront_torch.lower._unsigned import widened


def _cumsum(x: torch.Tensor, axis: int, reverse: bool, exclusive: bool) -> torch.Tensor:
    if reverse:
        return _cumsum(x.flip(axis), axis, False, exclusive).flip(axis)
    if exclusive and x.shape[axis]:
        before = (0, 0) * (x.ndim - 1 - axis)
        x = F.pad(x.narrow(axis, 0, x.shape[axis] - 1), (*before, 1, 0))
    return torch.cumsum(x, axis, dtype=x.dtype)


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.CUMSUM: widened(_cumsum),
    ops.CUMPROD: widened(lambda x, axis: torch.cumprod(x, axis, dtype=x.dtype)),
}
