"""Randomness in PyTorch: one generator a device, seeded with the key before each use."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from unifront.backend import HostKey
from unifront.ops import random as ops
from unifront.ops.spec import OpSpec
from unifront_torch.dtypes import TORCH

_generators: dict[torch.device, torch.Generator] = {}


def _generator(device: torch.device, key: HostKey) -> torch.Generator:
    if device not in _generators:
        _generators[device] = torch.Generator(device)
    return _generators[device].manual_seed(int(key))


def _fold_in(key: HostKey, data: Tensor | None, number: int | None) -> HostKey:
    return key.fold_in(int(data) if number is None else number)  # type: ignore[arg-type]  # one of the two is given


@cache
def _default_device() -> torch.device:
    kinds = (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available()))
    return torch.device(next((f"{kind}:0" for kind, here in kinds if here), "cpu"))


def _empty(like: Tensor | None, shape: tuple[int, ...], dtype: str) -> Tensor:
    return torch.empty(shape, dtype=TORCH[dtype], device=_default_device() if like is None else like.device)


def _uniform(
    key: HostKey, like: Tensor | None, shape: tuple[int, ...], minimum: float, maximum: float, dtype: str
) -> Tensor:
    values = _empty(like, shape, dtype)
    return values.uniform_(minimum, maximum, generator=_generator(values.device, key))


def _normal(
    key: HostKey, like: Tensor | None, shape: tuple[int, ...], mean: float, stddev: float, dtype: str
) -> Tensor:
    values = _empty(like, shape, dtype)
    return values.normal_(mean, stddev, generator=_generator(values.device, key))


def _dropout(x: Tensor, key: HostKey, rate: float, noise_shape: tuple[int, ...]) -> Tensor:
    mask = x.new_empty(noise_shape).bernoulli_(1 - rate, generator=_generator(x.device, key))
    return x * mask.div_(1 - rate)


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.FOLD_IN: _fold_in,
    ops.RANDOM_UNIFORM: _uniform,
    ops.RANDOM_NORMAL: _normal,
    ops.DROPOUT: _dropout,
}
