"""Rows for complex numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from unifront.opset import complex_numbers as ops
from unifront.opset.spec import OpSpec

TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.COMPLEX: torch.complex,
    ops.PARTS: lambda x: (x.real, x.imag),
}
