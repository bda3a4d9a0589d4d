"""Operations on the bits of integers in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from unifront.opset import bitwise as ops
from unifront.opset.spec import OpSpec
from unifront_torch.lower._unsigned import widened

TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.BITWISE_AND: torch.bitwise_and,
    ops.BITWISE_OR: torch.bitwise_or,
    ops.BITWISE_XOR: torch.bitwise_xor,
    ops.LEFT_SHIFT: widened(torch.bitwise_left_shift),
    ops.RIGHT_SHIFT: widened(torch.bitwise_right_shift),
}
