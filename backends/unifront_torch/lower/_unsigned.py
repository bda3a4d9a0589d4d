"""Arithmetic on uint16, uint32 and uint64, for which PyTorch has storage but few kernels."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch

from unifront.backends import with_plain
from unifront.errors import UnsupportedOp

WIDER = {torch.uint16: torch.int64, torch.uint32: torch.int64}
"""Not int32, which the positions have that some rows give beside their values."""


def widened(row: Callable[..., Any]) -> Callable[..., Any]:
    """``row``, run in a wider signed dtype where it has no kernel; results wrap around as in NumPy.

    The attempt comes first, so that nothing is paid for the dtypes that PyTorch does compute with.
    """

    @wraps(row)
    def run(*operands: torch.Tensor, **attributes: Any) -> Any:
        try:
            return row(*operands, **attributes)
        except (NotImplementedError, RuntimeError):
            dtype = operands[0].dtype
            if dtype == torch.uint64:
                raise UnsupportedOp(
                    "PyTorch does not compute with uint64; cast to int64, or use another backend."
                ) from None
            if dtype not in WIDER:
                raise
            wider = WIDER[dtype]
            result = row(*(_as(operand, dtype, wider) for operand in operands), **attributes)
            if isinstance(result, tuple):
                return tuple(_as(one, wider, dtype) for one in result)
            return _as(result, wider, dtype)

    return with_plain(run, getattr(row, "plain", row))


def _as(operand: Any, old: torch.dtype, new: torch.dtype) -> Any:
    return operand.to(new) if isinstance(operand, torch.Tensor) and operand.dtype == old else operand
