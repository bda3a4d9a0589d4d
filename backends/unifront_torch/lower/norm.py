"""Normalization in PyTorch, by its fused kernels on channels-last views."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from unifront.opset.norm import BATCH_NORM, BATCH_NORM_TRAINING, GROUP_NORM, LAYER_NORM, RMS_NORM
from unifront.opset.spec import OpSpec

Axes = tuple[int, ...]


def _as_image(x: torch.Tensor, axis: int) -> tuple[torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]:
    """A view of ``x``, channels on axis 1, that the fused kernels take without a copy; and the way back."""
    if x.ndim == 4 or axis != x.ndim - 1:
        return x.movedim(axis, 1), lambda y: y.movedim(1, axis)
    shape = x.shape
    image = x.reshape(1, -1, 1, shape[-1]).movedim(3, 1)
    return image, lambda y: y.movedim(1, 3).reshape(shape)


def _batch_norm(
    x: torch.Tensor, mean: torch.Tensor, variance: torch.Tensor,
    gamma: torch.Tensor | None, beta: torch.Tensor | None, axis: int, epsilon: float,
) -> torch.Tensor:  # fmt: skip
    if mean.requires_grad or variance.requires_grad:  # the kernel gives no gradients for them
        shape = [-1 if a == axis else 1 for a in range(x.ndim)]
        scale = torch.rsqrt(variance + epsilon) * (1 if gamma is None else gamma)
        y = (x - mean.view(shape)) * scale.view(shape)
        return y if beta is None else y + beta.view(shape)
    image, back = _as_image(x, axis)
    return back(F.batch_norm(image, mean, variance, gamma, beta, False, 0.0, epsilon))


def _batch_norm_training(
    x: torch.Tensor, gamma: torch.Tensor | None, beta: torch.Tensor | None, axis: int, epsilon: float
) -> tuple[torch.Tensor, ...]:
    image, back = _as_image(x, axis)
    y, mean, inverse = torch.native_batch_norm(image, gamma, beta, None, None, True, 0.0, epsilon)
    with torch.no_grad():
        statistics = mean.to(x.dtype, copy=True), (inverse**-2 - epsilon).clamp_min_(0.0).to(x.dtype)
    return (back(y), *statistics)


def _trailing(x: torch.Tensor, axes: Axes) -> tuple[torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]:
    """``x`` with ``axes`` moved to the end, where the fused kernels want them; and the way back."""
    end = tuple(range(x.ndim - len(axes), x.ndim))
    if axes == end:
        return x, lambda y: y
    return x.movedim(axes, end), lambda y: y.movedim(end, axes)


def _layer_norm(
    x: torch.Tensor, gamma: torch.Tensor | None, beta: torch.Tensor | None, axes: Axes, epsilon: float
) -> torch.Tensor:
    moved, back = _trailing(x, axes)
    return back(F.layer_norm(moved, moved.shape[-len(axes) :], gamma, beta, epsilon))


def _rms_norm(x: torch.Tensor, gamma: torch.Tensor | None, axes: Axes, epsilon: float) -> torch.Tensor:
    moved, back = _trailing(x, axes)
    return back(F.rms_norm(moved, moved.shape[-len(axes) :], gamma, epsilon))


def _group_norm(
    x: torch.Tensor,
    gamma: torch.Tensor | None,
    beta: torch.Tensor | None,
    groups: int,
    axis: int,
    epsilon: float,
) -> torch.Tensor:
    if gamma is None and beta is not None:  # PyTorch 2.13 has no gradient of a bias without a weight
        gamma = torch.ones_like(beta)
    images = x.movedim(axis, 1)
    if not x.requires_grad and any(one is not None and one.requires_grad for one in (gamma, beta)):
        images = (
            images.contiguous()
        )  # PyTorch 2.13's gradient of the weights alone crashes with channels last
    return F.group_norm(images, groups, gamma, beta, epsilon).movedim(1, axis)


TABLE: dict[OpSpec, Callable[..., Any]] = {
    BATCH_NORM: _batch_norm,
    BATCH_NORM_TRAINING: _batch_norm_training,
    LAYER_NORM: _layer_norm,
    RMS_NORM: _rms_norm,
    GROUP_NORM: _group_norm,
}
