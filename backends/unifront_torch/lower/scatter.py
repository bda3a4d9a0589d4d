"""Parts at positions that are tensors, in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from unifront.opset import scatter as ops
from unifront.opset.spec import OpSpec
from unifront_torch.lower._unsigned import widened

REDUCTIONS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


def _places(x: torch.Tensor, starts: torch.Tensor, axis: int, size: int) -> torch.Tensor:
    """The positions of a block along one axis, from where all of it is inside."""
    first = starts[axis].clamp(0, x.shape[axis] - size)
    return torch.arange(size, device=x.device) + first


def _dynamic_slice(x: torch.Tensor, starts: torch.Tensor, sizes: tuple[int, ...]) -> torch.Tensor:
    for axis, size in enumerate(sizes):
        if x.shape[axis] != size:
            x = x.index_select(axis, _places(x, starts, axis, size))
    return x


def _slice_update(x: torch.Tensor, starts: torch.Tensor, updates: torch.Tensor) -> torch.Tensor:
    rank = x.dim()
    places = [
        _places(x, starts, axis, size).reshape(-1, *(1,) * (rank - axis - 1))
        for axis, size in enumerate(updates.shape)
    ]
    return x.index_put(places, updates) if rank else updates


def _scatter(x: torch.Tensor, indices: torch.Tensor, updates: torch.Tensor, mode: str) -> torch.Tensor:
    if mode in ("set", "add"):
        return x.index_put([one.long() for one in indices.unbind(-1)], updates, accumulate=mode == "add")
    depth = indices.shape[-1]
    places = torch.zeros((), dtype=torch.long, device=x.device)
    for axis, one in enumerate(indices.unbind(-1)):
        places = places * x.shape[axis] + torch.where(one < 0, one + x.shape[axis], one).long()
    rest = x.shape[depth:].numel()
    flat = x.reshape(x.shape[:depth].numel(), rest)
    rows = places.reshape(-1, 1).expand(-1, rest)
    new = updates.reshape(rows.shape)
    return flat.scatter_reduce(0, rows, new, REDUCTIONS[mode], include_self=True).reshape(x.shape)


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.DYNAMIC_SLICE: widened(_dynamic_slice),
    ops.SLICE_UPDATE: widened(_slice_update),
    ops.SCATTER: widened(_scatter),
}
