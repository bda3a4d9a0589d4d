"""Parts of images: patches, borders added and cut off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unifront.errors import ArgumentError, DTypeError, ShapeError
from unifront.ir.dims import Dim, ceil_divide, maximum
from unifront.opset import elementwise as e
from unifront.opset import index, shape
from unifront.opset.elementwise import TensorLike
from unifront.opset.images import (
    as_batch,
    image_format,
    number,
    one_of,
    padded,
    part,
    positions,
    spatial_axes,
)  # fmt: skip
from unifront.opset.rules import is_whole
from unifront.opset.tensor import replayed, type_of


def _each(name: str, value: Any, rank: int) -> tuple[int, ...]:
    values = tuple(value) if isinstance(value, list | tuple) else (value,) * rank
    if len(values) != rank or not all(is_whole(one) and one > 0 for one in values):
        raise ArgumentError(
            f"Invalid `{name}` argument: a positive int, or {rank} of them. Received: {value!r}"
        )
    return tuple(map(int, values))


def _windows(x: Any, axis: int, size: int, stride: int, dilation: int, padding: str) -> Any:
    """The windows along an axis: two axes in its place, which window and which of its elements."""
    reach = (size - 1) * dilation + 1
    length = type_of(x).shape[axis]
    if padding == "same":
        count = ceil_divide(length, stride)
        missing = maximum((count - 1) * stride + reach - length, 0)
        x = padded(x, axis, missing // 2, missing - missing // 2)
    else:
        if isinstance(length, int) and length < reach:
            raise ShapeError(f"A patch of {reach} pixels does not fit axis {axis} of {type_of(x)}.")
        count = (length - reach) // stride + 1
    starts = e.multiply(positions(count, "int32", x), stride)
    within = e.multiply(positions(size, "int32", x), dilation)
    return index.take(x, e.add(shape.expand_dims(starts, 1), within), axis)


def _patches(
    images: Any,
    size: tuple[int, ...],
    strides: Any,
    dilation_rate: Any,
    padding: str,
    data_format: str | None,
) -> Any:
    rank = len(size)
    data_format = image_format(images, data_format, rank)
    padding = one_of("padding", str(padding).lower(), ("valid", "same"))
    steps = size if strides is None else _each("strides", strides, rank)
    dilations = _each("dilation_rate", dilation_rate, rank)
    batch, back = as_batch(images, data_format, rank)
    found = batch
    for which in range(rank):
        one = size[which], steps[which], dilations[which]
        found = _windows(found, 1 + 2 * which, *one, padding)
    counts = [type_of(found).shape[1 + 2 * which] for which in range(rank)]
    order = (0, *(1 + 2 * i for i in range(rank)), *(2 + 2 * i for i in range(rank)), 1 + 2 * rank)
    found = shape.transpose(found, order)
    numbers: Dim = type_of(batch).shape[-1]
    for one_size in size:
        numbers = numbers * one_size
    return back(shape.reshape(found, (type_of(batch).shape[0], *counts, numbers)))


@replayed
def extract_patches(
    images: TensorLike,
    size: Any,
    strides: int | Sequence[int] | None = None,
    dilation_rate: int | Sequence[int] = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> Any:
    """The patches of images, each as the channels of one place (keras.ops.image.extract_patches).

    Args:
        images: ``[batch, height, width, channels]`` or one image, or as ``data_format`` says; with three sizes volumes,
            as of `extract_patches_3d`.
        size: of a patch, an int or ``(rows, columns)``.
        strides: from one patch to the next; ``size`` unless given.
        dilation_rate: from one pixel of a patch to the next.
        padding: ``"valid"``, or ``"same"``, which adds zeros at the borders.
    """
    if not isinstance(size, list | tuple) and not is_whole(size):
        raise DTypeError(
            f"Invalid `size` argument. Expected an int or a tuple. Received: size={size} of type {type(size).__name__}"
        )
    if isinstance(size, list | tuple) and len(size) not in (2, 3):
        raise ArgumentError(
            "Invalid `size` argument. Expected a tuple of length 2 or 3. "
            f"Received: size={size} with length {len(size)}"
        )
    sizes = _each("size", size, 3 if isinstance(size, list | tuple) and len(size) == 3 else 2)
    return _patches(images, sizes, strides, dilation_rate, padding, data_format)


@replayed
def extract_patches_3d(
    volumes: TensorLike,
    size: Any,
    strides: int | Sequence[int] | None = None,
    dilation_rate: int | Sequence[int] = 1,
    padding: str = "valid",
    data_format: str | None = None,
) -> Any:
    """The patches of volumes ``[batch, depth, height, width, channels]``, as `extract_patches` gives those of images
    (keras.ops.image.extract_patches_3d)."""
    if not is_whole(size) and (not isinstance(size, list | tuple) or len(size) != 3):
        raise DTypeError(
            f"Invalid `size` argument. Expected an int or a tuple of length 3. Received: size={size}"
        )
    return _patches(volumes, _each("size", size, 3), strides, dilation_rate, padding, data_format)


def _two_of(names: Sequence[str], values: Sequence[int | None]) -> None:
    """Raise unless two of three are given, none of them negative."""
    if sum(value is None for value in values) != 1:
        given = ", ".join(f"{name}={value}" for name, value in zip(names, values, strict=True))
        raise ArgumentError(f"Must specify exactly two of {', '.join(names)}. Received: {given}")
    for name, value in zip(names, values, strict=True):
        _not_negative(name, value)


def _not_negative(name: str, value: Any) -> None:
    if value is not None and isinstance(value, int) and value < 0:
        raise ArgumentError(f"{name} must be >= 0. Received: {name}={value}")


_SIDES = (("top", "bottom", "height"), ("left", "right", "width"))


@replayed
def pad_images(
    images: TensorLike,
    top_padding: int | None = None,
    left_padding: int | None = None,
    bottom_padding: int | None = None,
    right_padding: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> Any:
    """Images with zeros around them (keras.ops.image.pad_images).

    Args:
        images: ``[batch, height, width, channels]`` or one image, or as ``data_format`` says.
        top_padding, bottom_padding, target_height: two of them.
        left_padding, right_padding, target_width: two of them.
    """
    axes = spatial_axes(images, image_format(images, data_format))
    given = ((top_padding, bottom_padding, target_height), (left_padding, right_padding, target_width))
    for (one, two, what), values in zip(_SIDES, given, strict=True):
        _two_of((f"{one}_padding", f"{two}_padding", f"target_{what}"), values)
    for (one, two, _), (before, after, target), axis in zip(_SIDES, given, axes, strict=True):
        size = type_of(images).shape[axis]
        first: Any = target - after - size if before is None else before  # type: ignore[operator]
        second: Any = target - first - size if after is None else after
        _not_negative(f"{one}_padding", first)
        _not_negative(f"{two}_padding", second)
        images = padded(images, axis, first, second)
    return images


@replayed
def crop_images(
    images: TensorLike,
    top_cropping: int | None = None,
    left_cropping: int | None = None,
    bottom_cropping: int | None = None,
    right_cropping: int | None = None,
    target_height: int | None = None,
    target_width: int | None = None,
    data_format: str | None = None,
) -> Any:
    """Images without their borders (keras.ops.image.crop_images).

    Args:
        images: ``[batch, height, width, channels]`` or one image, or as ``data_format`` says.
        top_cropping, bottom_cropping, target_height: two of them.
        left_cropping, right_cropping, target_width: two of them.
    """
    axes = spatial_axes(images, image_format(images, data_format))
    given = ((top_cropping, bottom_cropping, target_height), (left_cropping, right_cropping, target_width))
    for (one, two, what), values in zip(_SIDES, given, strict=True):
        _two_of((f"{one}_cropping", f"{two}_cropping", f"target_{what}"), values)
    for (one, _, what), (before, after, target), axis in zip(_SIDES, given, axes, strict=True):
        size = type_of(images).shape[axis]
        start: Any = size - target - after if before is None else before  # type: ignore[operator]
        kept: Any = size - after - start if target is None else target  # type: ignore[operator]
        _not_negative(f"{one}_cropping", start)
        _not_negative(f"target_{what}", kept)
        if isinstance(kept, int) and not isinstance(size, int):  # so that its size is known from here on
            place = positions(kept, "int32", images)
            images = index.take(images, e.add(place, number(start, "int32", images)), axis)
        else:
            images = part(images, axis, start, start + kept)
    return images
