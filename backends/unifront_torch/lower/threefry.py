"""The portable generator in PyTorch, which has no unsigned 32-bit arithmetic: 64-bit integers, cut to 32 bits."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from unifront.backends import HostKey
from unifront.ir.graph import Op
from unifront.opset import threefry as ops
from unifront_torch.dtypes import TORCH

_CUT = 0xFFFFFFFF


def _add(a: Tensor, b: Any) -> Tensor:
    return (a + b) & _CUT


def _xor(a: Tensor, b: Any) -> Tensor:
    return a ^ b


def _rotate(a: Tensor, by: int) -> Tensor:
    return ((a << by) & _CUT) | (a >> (32 - by))


def blocks(words: Tensor, high: Any, low: Any) -> tuple[Tensor, Tensor]:
    """The blocks of counters given as halves, in int64."""
    key = words.to(torch.int64)
    return ops.threefry2x32((key[0], key[1]), (high, low), _add, _xor, _rotate)


def _unsigned(x: Tensor) -> Tensor:
    """Numbers of 32 bits as uint32; torch converts no large ones itself on every device."""
    return (x - ((x >> 31) << 32)).to(torch.int32).view(torch.uint32)


def folded(words: Tensor, data: Tensor | None, number: int | None) -> Tensor:
    """The portable key of a stream."""
    halves = (0, data.to(torch.int64) & _CUT) if number is None else ops.halves(number)  # type: ignore[union-attr]
    high, low = (torch.as_tensor(half, device=words.device) for half in halves)
    return _unsigned(torch.stack(blocks(words, high, low)))


def _random_key(data: Tensor | None, seed: int | None) -> HostKey:
    return HostKey(seed) if data is None else ops.host_key(data.reshape(-1).tolist())  # type: ignore[arg-type]


def _key_words(key: HostKey | None, device: str) -> Tensor:
    if key is None:  # in a lowered module: what PyTorch's own generator gives next
        return _unsigned(torch.randint(0, 2**32, (2,), device=device))
    return _unsigned(torch.tensor(ops.halves(int(key)), device=device))


def _random_bits(words: Tensor, shape: tuple[int, ...], dtype: str) -> Tensor:
    size = 1
    for one in shape:
        size = size * one
    count = torch.arange(size, device=words.device).reshape(shape)
    first, second = blocks(words, count >> 32, count & _CUT)
    if dtype == "float64":
        return ((first << 20) | (second >> 12)).to(torch.float64) * 2.0**-52
    bits = first ^ second
    if dtype == "uint32":
        return _unsigned(bits)
    digits = ops.MANTISSA[dtype]
    return (bits >> (32 - digits)).to(TORCH[dtype]) * 2.0**-digits


def on(device: str) -> dict[Op, Callable[..., Any]]:
    """The rows of what is made on ``device``."""
    return {ops.KEY_WORDS: partial(_key_words, device=device)}


TABLE: dict[Op, Callable[..., Any]] = {
    ops.RANDOM_KEY: _random_key,
    ops.RANDOM_BITS: _random_bits,
    **on("cpu"),
}
