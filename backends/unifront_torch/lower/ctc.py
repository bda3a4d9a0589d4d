"""Connectionist temporal classification in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from unifront.opset.ctc import CTC_LOSS
from unifront.opset.spec import OpSpec


def _ctc_loss(
    logits: torch.Tensor,
    target: torch.Tensor,
    target_length: torch.Tensor,
    output_length: torch.Tensor,
    blank: int,
) -> torch.Tensor:
    half = logits.dtype if logits.dtype.itemsize == 2 else None  # of which there is no kernel
    logarithms = F.log_softmax(logits, -1, dtype=half and torch.float32).transpose(0, 1)
    lengths = output_length.long(), target_length.long()
    losses = F.ctc_loss(logarithms, target.long(), *lengths, blank=blank, reduction="none")
    return losses if half is None else losses.to(half)


TABLE: dict[OpSpec, Callable[..., Any]] = {CTC_LOSS: _ctc_loss}
