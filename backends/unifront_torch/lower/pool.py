"""Pooling in PyTorch, on channels-last views as in `unifront_torch.lower.conv`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import inf, prod
from typing import Any

import torch
from torch.nn import functional as F

from unifront.opset.pool import AVERAGE_POOL, MAX_POOL
from unifront.opset.spec import OpSpec
from unifront.opset.windows import Padding, explicit
from unifront_torch.lower.conv import channels_first, channels_last, pad_spatial

Axes = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]
_MAX: dict[int, Callable[..., torch.Tensor]] = {2: F.max_pool2d, 3: F.max_pool3d}
_AVERAGE: dict[int, Callable[..., torch.Tensor]] = {2: F.avg_pool2d, 3: F.avg_pool3d}


def _pool(
    run: Callable[[torch.Tensor, Axes, Axes, Pairs], torch.Tensor],
    x: torch.Tensor, pool_size: Axes, strides: Axes, padding: Padding, data_format: str,
) -> torch.Tensor:  # fmt: skip
    if data_format == "channels_last":
        x = channels_first(x)
    pairs = explicit(padding, x.shape[2:], pool_size, strides, (1,) * len(strides))
    if len(strides) == 1:
        y = run(x.unsqueeze(2), (1, *pool_size), (1, *strides), ((0, 0), *pairs)).squeeze(2)
    else:
        y = run(x, pool_size, strides, pairs)
    return channels_last(y) if data_format == "channels_last" else y


def _own_padding(
    x: torch.Tensor, pool_size: Axes, strides: Axes, pairs: Pairs
) -> tuple[list[int], bool] | None:
    """Torch's arguments ``padding`` and ``ceil_mode`` that give the same windows; None if there are none.

    Torch pads both sides alike, and with ``ceil_mode`` lets a last window hang over the end.
    """
    before = [pair[0] for pair in pairs]
    if any(2 * b > k for b, k in zip(before, pool_size, strict=True)):
        return None
    each = list(zip(x.shape[2:], pool_size, strides, pairs, strict=True))
    wanted = [(n + a + b - k) // s for n, k, s, (a, b) in each]
    if wanted == [(n + 2 * a - k) // s for n, k, s, (a, _) in each]:
        return before, False
    hanging = [-(-(n + 2 * a - k) // s) for n, k, s, (a, _) in each]
    inside = all(last * s < n + a for last, (n, _, s, (a, _)) in zip(hanging, each, strict=True))
    return (before, True) if wanted == hanging and inside else None


def _max_windows(x: torch.Tensor, pool_size: Axes, strides: Axes, pairs: Pairs) -> torch.Tensor:
    own = _own_padding(x, pool_size, strides, pairs)
    if own is None:
        return _MAX[len(pairs)](pad_spatial(x, pairs, -inf), pool_size, strides)
    return _MAX[len(pairs)](x, pool_size, strides, own[0], ceil_mode=own[1])


def _average_windows(x: torch.Tensor, pool_size: Axes, strides: Axes, pairs: Pairs) -> torch.Tensor:
    if len(pairs) == 3 and x.element_size() == 2 and x.device.type == "cpu":  # for which there is no kernel
        return _average_windows(x.float(), pool_size, strides, pairs).to(x.dtype)
    pool = _AVERAGE[len(pairs)]
    own = _own_padding(x, pool_size, strides, pairs)
    if own is None:
        ones = x.new_ones((1, 1, *x.shape[2:]))
        counts = pool(pad_spatial(ones, pairs, 0.0), pool_size, strides) * prod(pool_size)
        sums = pool(pad_spatial(x, pairs, 0.0), pool_size, strides, divisor_override=1)
        return sums / counts.round()
    return pool(x, pool_size, strides, own[0], ceil_mode=own[1], count_include_pad=False)


TABLE: dict[OpSpec, Callable[..., Any]] = {
    MAX_POOL: partial(_pool, _max_windows),
    AVERAGE_POOL: partial(_pool, _average_windows),
}
