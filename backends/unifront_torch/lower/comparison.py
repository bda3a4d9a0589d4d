"""Comparisons, and what booleans are joined by in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from unifront.opset import comparison as ops
from unifront.opset.spec import OpSpec
from unifront_torch.lower._unsigned import widened

TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.EQUAL: torch.eq,
    ops.NOT_EQUAL: torch.ne,
    ops.LESS: widened(torch.lt),
    ops.LESS_EQUAL: widened(torch.le),
    ops.GREATER: widened(torch.gt),
    ops.GREATER_EQUAL: widened(torch.ge),
    ops.LOGICAL_AND: torch.logical_and,
    ops.LOGICAL_OR: torch.logical_or,
    ops.LOGICAL_NOT: torch.logical_not,
}
