"""Elements by position in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from unifront.opset import index as ops
from unifront.opset.spec import OpSpec
from unifront_torch.dtypes import TORCH
from unifront_torch.lower._unsigned import widened


def _from_front(indices: torch.Tensor, length: int) -> torch.Tensor:
    return torch.where(indices < 0, indices + length, indices)


def _take(x: torch.Tensor, indices: torch.Tensor, axis: int) -> torch.Tensor:
    flat = torch.index_select(x, axis, _from_front(indices, x.shape[axis]).reshape(-1))
    return flat.reshape((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))


def _spread(x: torch.Tensor, other: torch.Tensor, axis: int) -> torch.Tensor:
    """``x`` broadcast to ``other`` but for ``axis``."""
    sizes = enumerate(zip(x.shape, other.shape, strict=True))
    return x.expand([size if own == 1 and i != axis else -1 for i, (own, size) in sizes])


def _take_along_axis(x: torch.Tensor, indices: torch.Tensor, axis: int) -> torch.Tensor:
    # torch.take_along_dim would fix the sizes it broadcasts when a program is exported with free ones.
    index = _from_front(indices, x.shape[axis]).long()
    return _spread(x, index, axis).gather(axis, _spread(index, x, axis))


def _embedding(indices: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    return F.embedding(indices.clamp(0, table.shape[0] - 1), table)


def _one_hot(indices: torch.Tensor, num_classes: int, axis: int, dtype: str) -> torch.Tensor:
    classes = torch.arange(num_classes, dtype=indices.dtype, device=indices.device)
    return (indices.unsqueeze(-1) == classes).movedim(-1, axis).to(TORCH[dtype])


def _sort(x: torch.Tensor, axis: int) -> torch.Tensor:
    return torch.sort(x, axis).values


def _argsort(x: torch.Tensor, axis: int) -> torch.Tensor:
    return torch.argsort(x, dim=axis, stable=True).to(torch.int32)


def _top_k(x: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    values, positions = torch.topk(x, k, -1)
    return values, positions.to(torch.int32)


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.TAKE: widened(_take),
    ops.TAKE_ALONG_AXIS: widened(_take_along_axis),
    ops.EMBEDDING: _embedding,
    ops.ONE_HOT: _one_hot,
    ops.SORT: _sort,
    ops.ARGSORT: _argsort,
    ops.TOP_K: widened(_top_k),
}
