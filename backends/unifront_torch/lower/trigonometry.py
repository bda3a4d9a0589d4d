"""Inverses of sines and tangents, and their hyperbolic kin in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from unifront.opset import trigonometry as ops
from unifront.opset.spec import OpSpec

TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.ARCSIN: torch.arcsin,
    ops.ARCCOS: torch.arccos,
    ops.ARCTAN: torch.arctan,
    ops.SINH: torch.sinh,
    ops.COSH: torch.cosh,
    ops.ARCSINH: torch.arcsinh,
    ops.ARCCOSH: torch.arccosh,
    ops.ARCTAN2: torch.arctan2,
}
