"""Activations in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from unifront.opset import activation as ops
from unifront.opset.spec import OpSpec
from unifront_torch.lower._unsigned import widened


def _gelu(x: torch.Tensor, approximate: bool) -> torch.Tensor:
    return F.gelu(x, approximate="tanh" if approximate else "none")


def _hard_sigmoid(x: torch.Tensor) -> torch.Tensor:
    # Torch's own has a gradient of 1/6 rounded to float32, whatever the dtype.
    return F.relu6(x + 3.0) / 6.0 if x.dtype == torch.float64 else F.hardsigmoid(x)


def _relu6(x: torch.Tensor) -> torch.Tensor:
    # For its gradient torch has a kernel, where clamp's is five operations.
    return F.relu6(x) if x.is_floating_point() else x.clamp(0, 6)


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.RELU: widened(torch.relu),
    ops.RELU6: widened(_relu6),
    ops.SOFTSIGN: F.softsign,
    ops.SILU: F.silu,
    ops.SELU: torch.selu,
    ops.HARD_SIGMOID: _hard_sigmoid,
    ops.GELU: _gelu,
    ops.LEAKY_RELU: F.leaky_relu,
    ops.ELU: F.elu,
}
