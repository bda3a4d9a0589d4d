"""Functions of probability and physics in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from unifront.opset import special as ops
from unifront.opset.spec import OpSpec

TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.ERFC: torch.erfc,
    ops.ERFINV: torch.erfinv,
    ops.I0: torch.i0,
}
