"""Bits taken for another dtype."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from unifront.opset import conversion as ops
from unifront.opset.spec import OpSpec
from unifront_torch.dtypes import TORCH


def _bitcast(x: torch.Tensor, source: str, dtype: str) -> torch.Tensor:
    if not x.numel():  # which PyTorch refuses to look at otherwise where sizes differ
        ratio = (x.element_size(), TORCH[dtype].itemsize)
        last = [size * ratio[0] // ratio[1] for size in x.shape[-1:]]
        return torch.zeros((*x.shape[:-1], *last), dtype=TORCH[dtype], device=x.device)
    return x.contiguous().view(TORCH[dtype])


TABLE: dict[OpSpec, Callable[..., Any]] = {ops.BITCAST: _bitcast}
