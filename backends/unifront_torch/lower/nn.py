"""Softmax and the cross-entropies in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from unifront.opset import nn as ops
from unifront.opset.spec import OpSpec


def _sparse_softmax_cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    labels = labels.long()
    if logits.ndim <= 2:
        return F.cross_entropy(logits, labels, reduction="none")
    # Its classes are on axis 1, so every row becomes one of a batch.
    rows, of_rows = logits.flatten(0, -2), labels.flatten()
    return F.cross_entropy(rows, of_rows, reduction="none").view(labels.shape)


def _softmax_cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return -(targets * F.log_softmax(logits, -1)).sum(-1)


def _sigmoid_cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return F.binary_cross_entropy_with_logits(logits, targets, reduction="none")


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.SOFTMAX: lambda x, axis: F.softmax(x, axis),
    ops.LOG_SOFTMAX: lambda x, axis: F.log_softmax(x, axis),
    ops.SPARSE_SOFTMAX_CROSS_ENTROPY: _sparse_softmax_cross_entropy,
    ops.SOFTMAX_CROSS_ENTROPY: _softmax_cross_entropy,
    ops.SIGMOID_CROSS_ENTROPY: _sigmoid_cross_entropy,
}
