"""New tensors in PyTorch, on the device of ``like``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from unifront.errors import ShapeError
from unifront.opset import creation as ops
from unifront.opset.rules import negative_size
from unifront.opset.spec import OpSpec
from unifront_torch.dtypes import TORCH


def _fill(like: torch.Tensor, shape: tuple[int, ...], value: float, dtype: str) -> torch.Tensor:
    return torch.full(shape, value, dtype=TORCH[dtype], device=like.device)


def _iota(like: torch.Tensor, shape: tuple[int, ...], axis: int, dtype: str) -> torch.Tensor:
    positions = torch.arange(shape[axis], dtype=TORCH[dtype], device=like.device)
    return positions.reshape(-1, *(1,) * (len(shape) - axis - 1)).expand(shape)


def _bind_size(value: torch.Tensor, size: Any, layer: str) -> torch.Tensor:
    length = int(value)
    if length < 0:
        raise ShapeError(negative_size(layer, length))
    return torch.zeros(length, dtype=torch.bool, device=value.device)


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.FILL: _fill,
    ops.IOTA: _iota,
    ops.BIND_SIZE: _bind_size,
}
