"""Randomness in PyTorch: one generator for each thread and device, seeded with the key before each use.

In a lowered module there is no key: None stands for PyTorch's default generator, which `torch.compile`,
`torch.export`, CUDA graphs and `torch.utils.checkpoint` know how to handle.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from unifront.backends import HostKey
from unifront.ir.graph import Op
from unifront.opset import random as ops
from unifront_torch.dtypes import TORCH
from unifront_torch.lower.threefry import folded


class _Generators(threading.local):
    def __init__(self) -> None:
        self.of: dict[torch.device, torch.Generator] = {}


_generators = _Generators()


def generator(device: torch.device, key: HostKey | None) -> torch.Generator | None:
    """The generator of a device, seeded with the key."""
    if key is None or device.type == "meta":  # there nothing is drawn
        return None
    if device not in _generators.of:
        _generators.of[device] = torch.Generator(device)
    return _generators.of[device].manual_seed(int(key))


def _fold_in(
    key: HostKey | Tensor | None, data: Tensor | None, number: int | None
) -> HostKey | Tensor | None:
    if isinstance(key, Tensor):
        return folded(key, data, number)
    if key is None:
        return None
    return key.fold_in(int(data) if number is None else number)  # type: ignore[arg-type]  # one of the two is given


def _empty(like: Tensor | None, shape: tuple[int, ...], dtype: str, device: str) -> Tensor:
    return torch.empty(shape, dtype=TORCH[dtype], device=device if like is None else like.device)


def _uniform(
    key: HostKey | None, like: Tensor | None, shape: tuple[int, ...], minimum: float, maximum: float, dtype: str,
    device: str,
) -> Tensor:  # fmt: skip
    values = _empty(like, shape, dtype, device)
    return values.uniform_(minimum, maximum, generator=generator(values.device, key))


def _normal(
    key: HostKey | None, like: Tensor | None, shape: tuple[int, ...], mean: float, stddev: float, dtype: str,
    device: str,
) -> Tensor:  # fmt: skip
    values = _empty(like, shape, dtype, device)
    return values.normal_(mean, stddev, generator=generator(values.device, key))


def _dropout(x: Tensor, key: HostKey | None, rate: float, noise_shape: tuple[int, ...]) -> Tensor:
    if key is None and tuple(noise_shape) == x.shape:
        return F.dropout(x, rate)
    mask = x.new_empty(noise_shape).bernoulli_(1 - rate, generator=generator(x.device, key))
    return x * mask.div_(1 - rate)


def on(device: str) -> dict[Op, Callable[..., Any]]:
    """The rows of what is drawn on ``device`` unless an operand says where."""
    return {
        ops.RANDOM_UNIFORM: partial(_uniform, device=device),
        ops.RANDOM_NORMAL: partial(_normal, device=device),
    }


TABLE: dict[Op, Callable[..., Any]] = {ops.FOLD_IN: _fold_in, ops.DROPOUT: _dropout, **on("cpu")}
