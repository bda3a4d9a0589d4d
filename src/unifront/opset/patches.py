"""Adaptive pooling, and what takes images apart into patches or depth and puts them together again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unifront.arguments import LARGEST
from unifront.errors import ArgumentError, ShapeError
from unifront.opset import elementwise, pool, reduce
from unifront.opset.elementwise import TensorLike, floating
from unifront.opset.index import take
from unifront.opset.padding import pad
from unifront.opset.rules import is_whole, show
from unifront.opset.shape import reshape, transpose
from unifront.opset.slicing import get_item
from unifront.opset.tensor import replayed, type_of
from unifront.opset.windows import channel_axis, layout_of, per_axis, spatial_rank

Size = int | Sequence[int]


def _bins(size: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The places of each of ``count`` bins, ``[count, widest]``, and which of them are no repetition.

    Bin ``i`` goes from ``floor(i * size / count)`` to ``ceil((i + 1) * size / count)`` (PyTorch).
    """
    number = np.arange(count)
    begin, end = number * size // count, -(-(number + 1) * size // count)
    places = begin[:, None] + np.arange((end - begin).max())
    return np.minimum(places, end[:, None] - 1), places < end[:, None]


@replayed
def _adaptive(
    x: Any, output_size: Any, data_format: str | None, name: str,
    whole: Callable[..., Any], along: Callable[[Any, np.ndarray, int], Any],
) -> Any:  # fmt: skip
    x, layout = floating(x), layout_of(data_format)
    rank = spatial_rank(type_of(x), name)
    first = 1 if channel_axis(layout, rank + 2) == rank + 1 else 2
    sizes = type_of(x).shape[first : first + rank]
    given = tuple(output_size) if isinstance(output_size, Sequence) else (output_size,) * rank
    if len(given) != rank or not all(one is None or (is_whole(one) and 0 < one <= LARGEST) for one in given):
        raise ArgumentError(f"output_size is a positive int or {rank} of them, not {output_size!r}.")
    known = [n for n, one in zip(sizes, given, strict=True) if one is not None]
    if not all(isinstance(n, int) and n for n in known):
        raise ShapeError(f"{name}: the spatial sizes of {show(type_of(x).shape)} must be known and not 0.")
    wanted = [n if one is None else int(one) for n, one in zip(sizes, given, strict=True)]
    pairs: list[tuple[Any, Any]] = list(zip(sizes, wanted, strict=True))
    if all(isinstance(n, int) and n % m == 0 for n, m in pairs):
        return whole(x, tuple(n // m for n, m in pairs), data_format=layout)
    for axis, (n, m) in enumerate(pairs, first):
        if n != m:
            places, real = _bins(n, m)
            shape = type_of(x).shape
            bins = reshape(
                take(x, places.reshape(-1).astype("int32"), axis),
                (*shape[:axis], *places.shape, *shape[axis + 1 :]),
            )
            x = along(bins, real, axis + 1)
    return x


def _largest(bins: Any, real: np.ndarray, axis: int) -> Any:
    return reduce.max(bins, axis)  # what is repeated changes no maximum


def _means(bins: Any, real: np.ndarray, axis: int) -> Any:
    type_ = type_of(bins)
    after = (1,) * (type_.rank - axis - 1)
    if not real.all():
        bins = elementwise.where(real.reshape(*real.shape, *after), bins, np.zeros((), type_.dtype.numpy))
    counts = real.sum(-1).astype(type_.dtype.numpy)
    return elementwise.divide(reduce.sum(bins, axis), counts.reshape(-1, *after))


def adaptive_average_pool(inputs: TensorLike, output_size: Size, data_format: str | None = None) -> Any:
    """The means of ``output_size`` bins along each spatial axis, which overlap by one where they must (PyTorch).

    Args:
        inputs: floats, ``(batch, *spatial, channels)`` or ``(batch, channels, *spatial)``, 1 to 3 spatial axes.
        output_size: an int, or one for each spatial axis; None there leaves an axis as it is.
        data_format: "channels_last" (None too) or "channels_first".

    Raises `ShapeError` where a spatial size is not known.
    """
    return _adaptive(inputs, output_size, data_format, "adaptive_average_pool", pool.average_pool, _means)


def adaptive_max_pool(inputs: TensorLike, output_size: Size, data_format: str | None = None) -> Any:
    """The largest of ``output_size`` bins along each spatial axis; see `adaptive_average_pool`."""
    return _adaptive(inputs, output_size, data_format, "adaptive_max_pool", pool.max_pool, _largest)


def _image(x: TensorLike, block_size: Any, data_format: str | None) -> tuple[Any, bool, int]:
    type_ = type_of(x)
    if type_.rank != 4:
        raise ShapeError(f"A batch of images has 4 dimensions; {show(type_.shape)} was given.")
    if not is_whole(block_size) or block_size < 2:
        raise ArgumentError(f"`block_size` must be at least 2, and an int; {block_size!r} was given.")
    return type_.shape, channel_axis(layout_of(data_format), 4) == 3, int(block_size)


@replayed
def space_to_depth(x: TensorLike, block_size: int, data_format: str | None = "channels_last") -> Any:
    """Blocks of ``block_size`` × ``block_size`` pixels as channels of one (TensorFlow space_to_depth).

    Args:
        x: ``(batch, height, width, channels)``, or with the channels second; the sizes are multiples of the block's.

    Returns:
        ``(batch, height / block_size, width / block_size, channels * block_size²)``.
    """
    shape, last, b = _image(x, block_size, data_format)
    n, h, w, c = shape if last else (shape[0], *shape[2:], shape[1])
    if not all(isinstance(size, int) and size % b == 0 for size in (h, w)):
        raise ShapeError(f"The sizes of {show(shape)} must be known, and multiples of the block_size {b}.")
    h, w = h // b, w // b
    if last:
        blocks = transpose(reshape(x, (n, h, b, w, b, c)), (0, 1, 3, 2, 4, 5))
        return reshape(blocks, (n, h, w, b * b * c))
    blocks = transpose(reshape(x, (n, c, h, b, w, b)), (0, 1, 3, 5, 2, 4))
    return reshape(blocks, (n, c * b * b, h, w))


@replayed
def depth_to_space(x: TensorLike, block_size: int, data_format: str | None = "channels_last") -> Any:
    """The inverse of `space_to_depth`: channels as blocks of ``block_size`` × ``block_size`` pixels."""
    shape, last, b = _image(x, block_size, data_format)
    n, h, w, c = shape if last else (shape[0], *shape[2:], shape[1])
    if not isinstance(c, int) or c % (b * b):
        raise ShapeError(
            f"The {c} channels of {show(shape)} are no multiple of the square of block_size {b}."
        )
    c //= b * b
    if last:
        blocks = transpose(reshape(x, (n, h, w, b, b, c)), (0, 1, 3, 2, 4, 5))
        return reshape(blocks, (n, h * b, w * b, c))
    blocks = transpose(reshape(x, (n, c, b, b, h, w)), (0, 1, 4, 2, 5, 3))
    return reshape(blocks, (n, c, h * b, w * b))


def _spans(kernel_size: Size, dilation: Size, padding: Size, stride: Size) -> tuple[tuple[int, ...], ...]:
    around = (padding,) * 2 if isinstance(padding, int) else tuple(padding)
    if len(around) != 2 or not all(is_whole(p) and p >= 0 for p in around):
        raise ArgumentError(f"padding is an int from 0 up or 2 of them, not {padding!r}.")
    return (
        per_axis(kernel_size, 2, "kernel_size"), per_axis(dilation, 2, "dilation"), around,
        per_axis(stride, 2, "stride"),
    )  # fmt: skip


def _counts(sizes: Sequence[Any], spans: tuple[tuple[int, ...], ...]) -> list[Any]:
    counts = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, d, p, s in zip(sizes, *spans, strict=True)]
    if any(isinstance(count, int) and count < 1 for count in counts):
        raise ShapeError(f"No window of {spans[0]} fits into {tuple(sizes)} padded by {spans[2]}.")
    return counts


@replayed
def unfold(x: TensorLike, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1) -> Any:
    """Every window of a batch of images, one beside the other (PyTorch unfold, im2col).

    Args:
        x: ``(batch, channels, height, width)`` of known sizes but the batch.
        kernel_size, dilation, padding, stride: an int, or one for each spatial axis; zeros are padded.

    Returns:
        ``(batch, channels * window, number of windows)``.
    """
    if type_of(x).rank != 4:
        raise ShapeError(f"Input must be a 4D tensor. Received: input.shape={show(type_of(x).shape)}")
    spans = _spans(kernel_size, dilation, padding, stride)
    n, c, *sizes = type_of(x).shape
    if not all(isinstance(size, int) for size in sizes):
        raise ShapeError(f"unfold: the spatial sizes of {show(type_of(x).shape)} must be known.")
    (kh, kw), spread, around, steps = spans
    if any(around):
        x = pad(x, [(0, 0), (0, 0), *((p, p) for p in around)])
    rows, columns = _counts(sizes, spans)
    for axis, (k, d, s, count) in enumerate(zip((kh, kw), spread, steps, (rows, columns), strict=True), 2):
        places = np.arange(k)[:, None] * d + np.arange(count) * s
        x = take(x, places.reshape(-1).astype("int32"), axis)
    windows = transpose(reshape(x, (n, c, kh, rows, kw, columns)), (0, 1, 2, 4, 3, 5))
    return reshape(windows, (n, c * kh * kw, rows * columns))


@replayed
def fold(
    x: TensorLike,
    output_size: Size,
    kernel_size: Size,
    dilation: Size = 1,
    padding: Size = 0,
    stride: Size = 1,
) -> Any:
    """The sum of windows, each at its place in the images: what `unfold` does to gradients (PyTorch fold, col2im).

    Args:
        x: ``(batch, channels * window, number of windows)``.
        output_size: the height and width of the images; one int for both.
        kernel_size, dilation, padding, stride: as `unfold` was given them.

    Returns:
        ``(batch, channels, *output_size)``.
    """
    type_ = type_of(x)
    if type_.rank != 3:
        raise ShapeError(f"Input must be a 3D tensor. Received: input.shape={show(type_.shape)}")
    spans, sizes = _spans(kernel_size, dilation, padding, stride), per_axis(output_size, 2, "output_size")
    (kh, kw), spread, around, steps = spans
    n, depth, _ = type_.shape
    rows, columns = _counts(sizes, spans)
    if not isinstance(depth, int) or depth % (kh * kw) or type_.shape[2] not in (rows * columns,):
        raise ShapeError(
            f"fold: {show(type_.shape)} is not (batch, channels * {kh * kw}, {rows * columns}) for images of {sizes}."
        )
    x = transpose(reshape(x, (n, depth // (kh * kw), kh, kw, rows, columns)), (0, 1, 2, 4, 3, 5))
    for axis, size in ((4, sizes[1]), (2, sizes[0])):
        i = axis // 2 - 1
        x = _overlapped(x, axis, size + 2 * around[i], steps[i], spread[i])
        x = _part(x, axis, around[i], around[i] + size)
    return x


def _part(x: Any, axis: int, begin: int, end: int) -> Any:
    return get_item(x, (*(slice(None),) * axis, slice(begin, end)))


def _overlapped(x: Any, axis: int, size: int, stride: int, dilation: int) -> Any:
    """Axes ``axis`` (the place in a window) and ``axis + 1`` (of a window) as one ``size`` long, summed."""
    shape = type_of(x).shape
    window, count = (int(size) for size in shape[axis : axis + 2])  # type: ignore[arg-type]  # of known sizes
    total = None
    for tap in range(window):
        part = _part(x, axis, tap, tap + 1)
        if stride > 1:  # zeros between
            part = reshape(part, (*shape[:axis], count, 1, *shape[axis + 2 :]))
            part = pad(part, [(0, stride - 1 if i == axis + 1 else 0) for i in range(len(shape))])
        part = reshape(part, (*shape[:axis], count * stride, *shape[axis + 2 :]))
        room = size - tap * dilation - count * stride
        if room < 0:
            part = _part(part, axis, 0, count * stride + room)
        part = pad(
            part, [(tap * dilation, max(room, 0)) if i == axis else (0, 0) for i in range(len(shape) - 1)]
        )
        total = part if total is None else elementwise.add(total, part)
    return total
