"""Rows for reductions over segments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from unifront.opset import segments as ops
from unifront.opset.spec import OpSpec
from unifront_torch.dtypes import UNIFRONT
from unifront_torch.lower._unsigned import widened

_REDUCTIONS = {"max": "amax", "min": "amin", "prod": "prod"}


def _segment(x: torch.Tensor, ids: torch.Tensor, kind: str, num_segments: int, sorted: bool) -> torch.Tensor:
    """Rows of no segment go to one more, which is cut off."""
    inside = (ids >= 0) & (ids < num_segments)
    places = torch.where(inside, ids, num_segments).to(torch.int64)
    found = x.new_full((num_segments + 1, *x.shape[1:]), ops.neutral(kind, UNIFRONT[x.dtype].numpy))
    if kind == "sum":
        return found.index_add(0, places, x)[:num_segments]
    index = places.view(-1, *(1,) * (x.ndim - 1)).expand(x.shape)
    return found.scatter_reduce(0, index, x, _REDUCTIONS[kind])[:num_segments]


TABLE: dict[OpSpec, Callable[..., Any]] = {ops.SEGMENT: widened(_segment)}
