"""New tensors in PyTorch, on the device of ``like``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from unifront.opset import creation as ops
from unifront.opset.spec import OpSpec
from unifront_torch.dtypes import TORCH


def _fill(like: torch.Tensor, shape: tuple[int, ...], value: float, dtype: str) -> torch.Tensor:
    return torch.full(shape, value, dtype=TORCH[dtype], device=like.device)


def _iota(like: torch.Tensor, shape: tuple[int, ...], axis: int, dtype: str) -> torch.Tensor:
    positions = torch.arange(shape[axis], dtype=TORCH[dtype], device=like.device)
    return positions.reshape(-1, *(1,) * (len(shape) - axis - 1)).expand(shape)


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.FILL: _fill,
    ops.IOTA: _iota,
}
