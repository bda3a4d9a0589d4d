"""Operations on each element in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from unifront.opset import elementwise as ops
from unifront.opset.spec import OpSpec
from unifront_torch.dtypes import TORCH
from unifront_torch.lower._unsigned import widened


def _cast(x: torch.Tensor, dtype: str) -> torch.Tensor:
    return x.to(TORCH[dtype])


def _clip(x: torch.Tensor, minimum: float, maximum: float) -> torch.Tensor:
    return torch.clamp(x, minimum, maximum)


def _softplus(x: torch.Tensor) -> torch.Tensor:
    # From the threshold on torch returns x itself: at its default of 20 that is 2e-9 off.
    return F.softplus(x, 1.0, 40.0)


def _sign(x: torch.Tensor) -> torch.Tensor:
    # torch says that nan has the sign zero.
    return torch.where(x.isnan(), x, x.sign()) if x.is_floating_point() else torch.sign(x)


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.NEGATIVE: torch.neg,
    ops.ABS: torch.abs,
    ops.SIGN: _sign,
    ops.SQUARE: torch.square,
    ops.EXP: torch.exp,
    ops.EXPM1: torch.expm1,
    ops.LOG: torch.log,
    ops.LOG1P: torch.log1p,
    ops.SQRT: torch.sqrt,
    ops.RSQRT: torch.rsqrt,
    ops.RECIPROCAL: torch.reciprocal,
    ops.SIN: torch.sin,
    ops.COS: torch.cos,
    ops.TAN: torch.tan,
    ops.TANH: torch.tanh,
    ops.SIGMOID: torch.sigmoid,
    ops.ERF: torch.erf,
    ops.FLOOR: torch.floor,
    ops.CEIL: torch.ceil,
    ops.ROUND: torch.round,
    ops.SOFTPLUS: _softplus,
    ops.ADD: torch.add,
    ops.SUBTRACT: torch.sub,
    ops.MULTIPLY: torch.mul,
    ops.DIVIDE: torch.div,
    ops.FLOOR_DIVIDE: torch.floor_divide,
    ops.REMAINDER: torch.remainder,
    ops.POWER: torch.pow,
    ops.MAXIMUM: torch.maximum,
    ops.MINIMUM: torch.minimum,
    ops.CAST: _cast,
    ops.WHERE: torch.where,
    ops.CLIP: _clip,
    ops.STOP_GRADIENT: torch.Tensor.detach,
}

for _spec in (
    ops.NEGATIVE, ops.ABS, ops.SIGN, ops.SQUARE, ops.ADD, ops.SUBTRACT, ops.FLOOR_DIVIDE,
    ops.REMAINDER, ops.POWER, ops.MAXIMUM, ops.MINIMUM, ops.CLIP,
):  # fmt: skip
    TABLE[_spec] = widened(TABLE[_spec])
