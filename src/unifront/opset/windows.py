"""Sliding windows: what convolution and pooling share. Sizes, strides and the meaning of each padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unifront.arguments import LARGEST
from unifront.errors import ArgumentError, ShapeError
from unifront.ir.dims import Dim
from unifront.ir.types import Shape, TensorType
from unifront.opset.data_format import image_data_format
from unifront.opset.elementwise import TensorLike, floating, promoted
from unifront.opset.rules import is_whole, need_rank, show
from unifront.opset.tensor import type_of

Pairs = tuple[tuple[int, int], ...]
Padding = str | Pairs
"""``(before, after)`` for each spatial axis; or "same" while it hangs on a size that is not known yet."""

DATA_FORMATS = ("channels_last", "channels_first")


def spatial_rank(x: TensorType, what: str) -> int:
    """How many spatial axes ``x`` has: 1, 2 or 3."""
    if not 3 <= x.rank <= 5:
        raise ShapeError(
            f"{what} takes a batch with channels and 1 to 3 spatial axes; {show(x.shape)} was given."
        )
    return x.rank - 2


def window_of(kernel: TensorType, rank: int) -> tuple[int, ...]:
    """The sizes of the window of a kernel for ``rank`` spatial axes."""
    need_rank(kernel, rank + 2, "the kernel")
    window = tuple(size for size in kernel.shape[:rank] if isinstance(size, int))
    if len(window) < rank or not isinstance(kernel.shape[-1], int):
        raise ShapeError(f"The kernel has the shape {show(kernel.shape)}; its sizes must be known.")
    return window


def conv_operands(
    x: TensorLike, kernel: TensorLike, bias: TensorLike | None, what: str
) -> tuple[Any, Any, Any, tuple[int, ...]]:
    """The operands of a convolution in one float dtype, and its window."""
    given = promoted(floating(x), kernel) if bias is None else promoted(floating(x), kernel, bias)
    window = window_of(type_of(kernel), spatial_rank(type_of(x), what))
    return given[0], given[1], None if bias is None else given[2], window


def layout_of(data_format: str | None) -> str:
    """The data format that an argument means: channels last unless it says so."""
    return image_data_format() if data_format is None else data_format


def channel_axis(data_format: str, rank: int) -> int:
    """The axis of the channels in a tensor of ``rank`` dimensions."""
    if data_format not in DATA_FORMATS:
        raise ArgumentError(f"data_format is 'channels_last' or 'channels_first', not {data_format!r}.")
    return rank - 1 if data_format == "channels_last" else 1


def spatial(shape: Sequence[Any], data_format: str) -> tuple[Any, ...]:
    """The spatial sizes in ``shape``."""
    return tuple(shape[1:-1] if channel_axis(data_format, len(shape)) != 1 or len(shape) == 2 else shape[2:])


def assemble(batch: Dim, sizes: Shape, channels: Dim, data_format: str) -> Shape:
    """The shape of a batch in ``data_format``."""
    return (batch, *sizes, channels) if data_format == "channels_last" else (batch, channels, *sizes)


def per_axis(value: int | Sequence[int], rank: int, what: str) -> tuple[int, ...]:
    """One positive int for each of ``rank`` spatial axes, from one int or ``rank`` of them."""
    given = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(given) != rank or not all(is_whole(n) and 0 < n <= LARGEST for n in given):
        raise ArgumentError(f"{what} is a positive int or {rank} of them, not {value!r}.")
    return tuple(int(n) for n in given)


def reach_of(window: Sequence[int], dilation: Sequence[int]) -> tuple[int, ...]:
    """How far each window reaches."""
    return tuple(d * (k - 1) + 1 for k, d in zip(window, dilation, strict=True))


def same_pairs(
    sizes: Sequence[int], window: Sequence[int], strides: Sequence[int], dilation: Sequence[int]
) -> Pairs:
    """The padding by which a size n gives ceil(n / stride): half before, the odd one after (TensorFlow)."""
    pairs = []
    for n, k, s, d in zip(sizes, window, strides, dilation, strict=True):
        total = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
        pairs.append((total // 2, total - total // 2))
    return tuple(pairs)


def canonical_padding(
    padding: str | int | Sequence[Any],
    sizes: Shape,
    window: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int],
) -> Padding:
    """The padding attribute: pairs wherever the sizes allow, else "same"."""
    rank = len(window)
    if not isinstance(padding, str | int | Sequence):
        raise ArgumentError(f"padding is a name, an int or pairs of ints, not {padding!r}.")
    padding = padding.lower() if isinstance(padding, str) else padding
    if padding == "valid":
        return ((0, 0),) * rank
    if padding == "causal":
        if rank != 1:
            raise ArgumentError(f"padding='causal' is for one spatial axis; there are {rank}.")
        return ((dilation[0] * (window[0] - 1), 0),)
    if padding == "same":
        known = [n if isinstance(n, int) else None for n in sizes]
        if any(n is None and s > 1 for n, s in zip(known, strides, strict=True)):
            return "same"
        # with stride 1 the padding is the same for every size
        return same_pairs([1 if n is None else n for n in known], window, strides, dilation)
    if is_whole(padding) and 0 <= padding <= LARGEST:
        return ((padding, padding),) * rank
    pairs = tuple(padding) if isinstance(padding, Sequence) and not isinstance(padding, str) else ()
    pairs = tuple(tuple(p) if isinstance(p, Sequence) and not isinstance(p, str) else (p, p) for p in pairs)
    if len(pairs) != rank or not all(
        len(p) == 2 and all(is_whole(n) and 0 <= n <= LARGEST for n in p) for p in pairs
    ):
        raise ArgumentError(
            f"padding is 'valid', 'same', 'causal' or {rank} pairs (before, after) of ints from 0 up, "
            f"not {padding!r}."
        )
    return pairs


def explicit(
    padding: Padding,
    sizes: Sequence[int],
    window: Sequence[int],
    strides: Sequence[int],
    dilation: Sequence[int],
) -> Pairs:
    """The padding attribute as pairs, once the sizes are known."""
    return same_pairs(sizes, window, strides, dilation) if isinstance(padding, str) else padding


def output_sizes(
    sizes: Shape, window: Sequence[int], strides: Sequence[int], padding: Padding, dilation: Sequence[int]
) -> Shape:
    """How many windows fit along each axis; `ShapeError` where none does."""
    if isinstance(padding, str):
        if padding != "same":
            raise ArgumentError(f"The padding attribute is 'same' or pairs (before, after), not {padding!r}.")
        return tuple((n + (s - 1)) // s for n, s in zip(sizes, strides, strict=True))
    result: list[Dim] = []
    for n, k, s, (before, after), d in zip(sizes, window, strides, padding, dilation, strict=True):
        room = n + (before + after - d * (k - 1) - 1)
        if isinstance(room, int) and room < 0:
            reach = f"{k} with dilation {d}" if d > 1 else str(k)
            raise ShapeError(
                f"A window of {reach} does not fit into an axis of {n} padded by ({before}, {after})."
            )
        result.append(room // s + 1)
    return tuple(result)


def windows(
    x: np.ndarray,
    window: Sequence[int],
    strides: Sequence[int],
    pairs: Pairs,
    dilation: Sequence[int],
    fill: float,
) -> np.ndarray:
    """Every window of a channels-last array: ``[batch, *outputs, channels, *window]``."""
    padded = np.pad(x, ((0, 0), *pairs, (0, 0)), constant_values=fill)
    axes = tuple(range(1, 1 + len(window)))
    reach = tuple(d * (k - 1) + 1 for k, d in zip(window, dilation, strict=True))
    views = np.lib.stride_tricks.sliding_window_view(padded, reach, axes)
    steps = [slice(None, None, s) for s in strides]
    return views[(slice(None), *steps, slice(None), *(slice(None, None, d) for d in dilation))]
