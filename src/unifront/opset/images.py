"""What the operations on images share: their ranks, layouts and positions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unifront.dtypes import DType, dtype_of, float32, float64
from unifront.errors import ArgumentError, ShapeError, UnknownName
from unifront.ir.dims import Dim
from unifront.opset import creation, padding, shape, slicing
from unifront.opset import elementwise as e
from unifront.opset.data_format import standardize_data_format
from unifront.opset.elementwise import TensorLike
from unifront.opset.rules import show
from unifront.opset.tensor import type_of


def image_format(images: TensorLike, data_format: str | None, rank: int = 2) -> str:
    """The data format of images; `ShapeError` unless they are one image or a batch, of ``rank`` spatial axes."""
    known = type_of(images)
    if known.rank not in (rank + 1, rank + 2):
        raise ShapeError(
            f"Invalid images rank: expected rank {rank + 1} (single image) or rank {rank + 2} (batch of images). "
            f"Received: images.shape={show(known.shape)}"
        )
    return standardize_data_format(data_format)


def spatial_axes(images: TensorLike, data_format: str, rank: int = 2) -> tuple[int, ...]:
    """The axes of height and width (and what else is in space), counted from the front."""
    last = type_of(images).rank - (data_format == "channels_last")
    return tuple(range(last - rank, last))


def channel_axis(images: TensorLike, data_format: str, rank: int = 2) -> int:
    """The axis of the channels, counted from the front."""
    count = type_of(images).rank
    return count - 1 if data_format == "channels_last" else count - 1 - rank


def as_batch(images: Any, data_format: str, rank: int = 2) -> tuple[Any, Callable[[Any], Any]]:
    """``images`` as a batch with the channels last, and the function that brings a result back into their layout."""
    single = type_of(images).rank == rank + 1
    batch = shape.expand_dims(images, 0) if single else images
    first = data_format == "channels_first"
    batch = shape.moveaxis(batch, 1, -1) if first else batch

    def back(result: Any) -> Any:
        result = shape.moveaxis(result, rank + 1, 1) if first else result
        return shape.squeeze(result, 0) if single else result

    return batch, back


def computed_in(dtype: DType) -> DType:
    """The float dtype that images of ``dtype`` are computed in: narrow floats and integers in float32."""
    return float64 if dtype == float64 else float32


def as_given(result: Any, dtype: DType) -> Any:
    """``result`` in the dtype of the images: integers are rounded, and kept within their range."""
    if not dtype.is_float and dtype.kind != "b":
        low, high = float(np.iinfo(dtype.numpy).min), float(np.iinfo(dtype.numpy).max)
        if dtype.bits >= 32:  # the largest float that is an integer of the dtype
            high = float(np.nextafter(np.float32(high), np.float32(0)))
        result = e.clip(e.round(result), low, high)
    return result if type_of(result).dtype == dtype else e.cast(result, dtype)


def positions(size: Dim, dtype: str, like: TensorLike) -> Any:
    """0, 1, 2 … as a tensor ``[size]``: a NumPy array where the size is known."""
    if isinstance(size, int):
        return np.arange(size).astype(dtype_of(dtype).numpy)
    return creation.iota((size,), 0, dtype, like=like)


def number(size: Dim, dtype: str, like: TensorLike) -> Any:
    """A size as a scalar: a NumPy one where it is known."""
    if isinstance(size, int):
        return np.asarray(size, dtype_of(dtype).numpy)
    return creation.full((), size, dtype, like=like)


def one_of(what: str, value: Any, known: Sequence[str]) -> str:
    """``value`` if it is one of ``known``; `UnknownName` naming ``what``."""
    if value not in known:
        error = UnknownName(what, value, list(known))
        raise ArgumentError(f"Invalid value for argument `{what}`. {error}")
    return str(value)


def padded(x: Any, axis: int, before: Dim, after: Dim, value: float = 0) -> Any:
    """``x`` with ``value`` before and after along an axis; the widths may be named dimensions."""
    known = type_of(x)
    if isinstance(before, int) and isinstance(after, int):
        widths = [(0, 0)] * known.rank
        widths[axis] = (before, after)
        return padding.pad(x, widths, "constant", value) if before or after else x

    def border(width: Dim) -> Any:
        sizes = (*known.shape[:axis], width, *known.shape[axis + 1 :])
        fill = float(value) if known.dtype.is_float else int(value)
        return creation.full(sizes, fill, known.dtype, like=x)

    return shape.concatenate([border(before), x, border(after)], axis)


def part(x: Any, axis: int, start: Any, stop: Any) -> Any:
    """The elements from ``start`` to ``stop`` along an axis."""
    return slicing.get_item(x, (*(builtin_slice(None),) * axis, builtin_slice(start, stop)))


builtin_slice = slice
