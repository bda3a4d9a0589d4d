"""Reductions in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from unifront.ops import reduce as ops
from unifront.ops.spec import OpSpec


def _sum(x: torch.Tensor, axes: tuple[int, ...], keepdims: bool) -> torch.Tensor:
    # To torch no axes means all of them; and it would widen small integers.
    return torch.sum(x, axes, keepdims, dtype=x.dtype) if axes else x


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.SUM: _sum,
}
