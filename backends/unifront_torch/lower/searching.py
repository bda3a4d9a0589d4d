"""Places of values in sorted ones in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from unifront.opset import searching as ops
from unifront.opset.spec import OpSpec
from unifront_torch.lower._unsigned import widened


def _searchsorted(sorted_sequence: torch.Tensor, values: torch.Tensor, right: bool) -> torch.Tensor:
    return torch.searchsorted(sorted_sequence.contiguous(), values.contiguous(), right=right, out_int32=True)


TABLE: dict[OpSpec, Callable[..., Any]] = {ops.SEARCHSORTED: widened(_searchsorted)}
