"""Shapes in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from unifront.errors import ShapeError
from unifront.opset import shape as ops
from unifront.opset.spec import OpSpec


def _transpose(x: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
    return x.permute(axes)


def _expand_dims(x: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
    for axis in axes:
        x = x.unsqueeze(axis)
    return x


def _squeeze(x: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
    if any(x.shape[axis] != 1 for axis in axes):  # which PyTorch leaves as they are
        raise ShapeError(
            f"squeeze: an axis of {axes} of the shape {tuple(x.shape)} is not 1 long: an index is out of range."
        )
    return x.squeeze(axes)


def _concatenate(*xs: torch.Tensor, axis: int) -> torch.Tensor:
    return torch.cat(xs, axis)


def _stack(*xs: torch.Tensor, axis: int) -> torch.Tensor:
    return torch.stack(xs, axis)


SHORT, MANY = 32, 8192
"""Elements. On a CPU, elementwise kernels take a piece of memory shorter than two vectors number by number: of a tensor
that is large enough, gates of 16 channels are copied first, and a sigmoid then takes an eighth of the time."""


def _split(x: torch.Tensor, sizes: tuple[int, ...], axis: int) -> tuple[torch.Tensor, ...]:
    parts = torch.split(x, sizes, axis)
    if x.device.type != "cpu" or torch.compiler.is_compiling() or x.stride(axis) != 1 or max(sizes) >= SHORT:
        return parts
    return tuple(part.clone() for part in parts) if x.numel() >= MANY else parts


def _unstack(x: torch.Tensor, axis: int) -> tuple[torch.Tensor, ...]:
    return x.unbind(axis)


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.RESHAPE: torch.reshape,
    ops.TRANSPOSE: _transpose,
    ops.EXPAND_DIMS: _expand_dims,
    ops.SQUEEZE: _squeeze,
    ops.BROADCAST_TO: lambda x, shape: torch.broadcast_to(x, shape),
    ops.CONCATENATE: _concatenate,
    ops.STACK: _stack,
    ops.SPLIT: _split,
    ops.UNSTACK: _unstack,
}
