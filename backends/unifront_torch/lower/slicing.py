"""Parts and repetitions in PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from unifront.opset import slicing as ops
from unifront.opset.spec import OpSpec
from unifront_torch.lower._unsigned import widened

Bounds = tuple[int | None, ...]


def _slice(x: torch.Tensor, starts: Bounds, stops: Bounds, strides: Bounds) -> torch.Tensor:
    return x[tuple(map(slice, starts, stops, strides))]


def _pad(x: torch.Tensor, widths: tuple[tuple[int, int], ...], mode: str, value: float) -> torch.Tensor:
    if mode == "constant":
        sides = [side for pair in reversed(widths) for side in pair]
        return F.pad(x, sides, value=value) if sides else x
    for axis, pair in enumerate(
        widths
    ):  # torch mirrors the last axes of some ranks only, and never with the edge
        if any(pair):
            x = torch.index_select(
                x, axis, _mirrored(x.shape[axis], pair, int(mode == "symmetric"), x.device)
            )
    return x


def _mirrored(length: int, pair: tuple[int, int], edge: int, device: torch.device) -> torch.Tensor:
    positions = torch.arange(-pair[0], length + pair[1], device=device)
    inside = torch.where(positions < 0, -positions - edge, positions)
    return torch.where(inside >= length, 2 * length - 2 + edge - inside, inside)


def _flip(x: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
    return torch.flip(x, axes)


def _repeat(x: torch.Tensor, repeats: int, axis: int) -> torch.Tensor:
    return torch.repeat_interleave(x, repeats, axis)


def _tile(x: torch.Tensor, repeats: tuple[int, ...]) -> torch.Tensor:
    return torch.tile(x, repeats)


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.SLICE: _slice,
    ops.PAD: widened(_pad),
    ops.FLIP: widened(_flip),
    ops.REPEAT: _repeat,
    ops.TILE: _tile,
}
