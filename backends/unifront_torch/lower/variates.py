"""Gamma and binomial numbers in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from unifront.backends import HostKey
from unifront.ir.graph import Op
from unifront.opset import variates as ops
from unifront_torch.lower.random import generator


def _own(dtype: torch.dtype) -> torch.dtype:
    """What numbers of ``dtype`` are drawn in: a half counts up to 2048 only."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def _gamma(key: HostKey | None, alpha: Tensor) -> Tensor:
    own = alpha.to(_own(alpha.dtype))
    return torch._standard_gamma(own, generator=generator(alpha.device, key)).to(alpha.dtype)


def _binomial(key: HostKey | None, counts: Tensor, probabilities: Tensor) -> Tensor:
    own = _own(counts.dtype)
    pair = torch.broadcast_tensors(counts.to(own), probabilities.to(own))
    return torch.binomial(*pair, generator=generator(counts.device, key)).to(counts.dtype)


TABLE: dict[Op, Callable[..., Any]] = {ops.RANDOM_GAMMA: _gamma, ops.RANDOM_BINOMIAL: _binomial}
