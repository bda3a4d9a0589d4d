"""Rows that write over their first operand: they spare PyTorch a block of memory, which is most of their cost on a CPU.

See `unifront.ir.emit.Rows.over`. They are called with floats only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from unifront.ir.graph import Op
from unifront.opset import activation as a
from unifront.opset import elementwise as e

OVER: dict[Op, Callable[..., Any]] = {
    a.RELU: torch.relu_,
    a.RELU6: lambda x: F.relu6(x, inplace=True),
    a.SILU: lambda x: F.silu(x, inplace=True),
    a.SELU: torch.selu_,
    a.LEAKY_RELU: lambda x, negative_slope: F.leaky_relu_(x, negative_slope),
    a.ELU: lambda x, alpha: F.elu_(x, alpha),
    e.SIGMOID: torch.sigmoid_,
    e.TANH: torch.tanh_,
    e.EXP: torch.exp_,
    e.SQUARE: torch.square_,
    e.ADD: torch.Tensor.add_,
    e.SUBTRACT: torch.Tensor.sub_,
    e.MULTIPLY: torch.Tensor.mul_,
    e.DIVIDE: torch.Tensor.div_,
    e.CLIP: lambda x, minimum, maximum: x.clamp_(minimum, maximum),
}
