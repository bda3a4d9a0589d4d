"""The colours of images."""

from __future__ import annotations

from typing import Any

from unifront.errors import ArgumentError, ShapeError
from unifront.opset import elementwise as e
from unifront.opset import shape
from unifront.opset.elementwise import TensorLike
from unifront.opset.images import channel_axis, computed_in, image_format, part
from unifront.opset.rules import show
from unifront.opset.tensor import replayed, type_of


def _channels(images: Any, axis: int) -> tuple[Any, Any, Any]:
    """The three channels of images, each with an axis of size 1."""
    return part(images, axis, 0, 1), part(images, axis, 1, 2), part(images, axis, 2, 3)


@replayed
def rgb_to_grayscale(images: TensorLike, data_format: str | None = None) -> Any:
    """Images with one channel of three: 0.2989 red, 0.587 green, 0.114 blue (keras.ops.image.rgb_to_grayscale).

    Args:
        images: ``[batch, height, width, 3]`` or one image, or as ``data_format`` says; one of one
            channel stays as it is.
    """
    axis = channel_axis(images, image_format(images, data_format))
    known = type_of(images)
    if known.shape[axis] not in (1, 3):
        raise ShapeError(
            "Invalid channel size: expected 3 (RGB) or 1 (Grayscale). "
            f"Received input with shape: images.shape={show(known.shape)}"
        )
    if known.shape[axis] == 1:
        return images
    red, green, blue = _channels(e.cast(images, computed_in(known.dtype)), axis)
    gray = e.add(e.add(e.multiply(red, 0.2989), e.multiply(green, 0.587)), e.multiply(blue, 0.114))
    return e.cast(gray, known.dtype)


def _colors(images: TensorLike, data_format: str | None) -> tuple[int, Any, Any, Any]:
    axis = channel_axis(images, image_format(images, data_format))
    known = type_of(images)
    if not known.dtype.is_float:
        raise ArgumentError(
            f"Invalid images dtype: expected float dtype. Received: images.dtype={known.dtype.name}"
        )
    if known.shape[axis] != 3:
        raise ShapeError(
            f"Input images must have 3 channels, but received images with {known.shape[axis]} channels."
        )
    return (axis, *_channels(images, axis))


@replayed
def rgb_to_hsv(images: TensorLike, data_format: str | None = None) -> Any:
    """Red, green and blue as hue, saturation and value, all in [0, 1] (keras.ops.image.rgb_to_hsv; Smith 1978).

    Args:
        images: floats in [0, 1], ``[batch, height, width, 3]`` or one image, or as ``data_format`` says.
    """
    axis, red, green, blue = _colors(images, data_format)
    value = e.maximum(e.maximum(red, green), blue)
    spread = e.subtract(value, e.minimum(e.minimum(red, green), blue))
    is_gray = e.less_equal(spread, 0.0)
    saturation = e.where(
        e.greater(value, 0.0), e.divide(spread, e.where(e.greater(value, 0.0), value, 1.0)), 0.0
    )
    unit = e.divide(1.0, e.multiply(e.where(is_gray, 1.0, spread), 6.0))

    def hue_from(one: Any, two: Any, start: float) -> Any:
        return e.add(e.multiply(unit, e.subtract(one, two)), start)

    is_red, is_green = e.equal(red, value), e.equal(green, value)
    others = e.where(is_green, hue_from(blue, red, 2 / 6), hue_from(red, green, 4 / 6))
    hue = e.where(is_gray, 0.0, e.where(is_red, hue_from(green, blue, 0.0), others))
    hue = e.where(e.less(hue, 0.0), e.add(hue, 1.0), hue)
    return shape.concatenate([hue, saturation, value], axis)


@replayed
def hsv_to_rgb(images: TensorLike, data_format: str | None = None) -> Any:
    """Hue, saturation and value as red, green and blue (keras.ops.image.hsv_to_rgb; Smith 1978).

    Args:
        images: floats in [0, 1], ``[batch, height, width, 3]`` or one image, or as ``data_format`` says.
    """
    axis, hue, saturation, value = _colors(images, data_format)
    six = e.multiply(hue, 6.0)
    shares = (
        e.subtract(e.abs(e.subtract(six, 3.0)), 1.0),
        e.subtract(2.0, e.abs(e.subtract(six, 2.0))),
        e.subtract(2.0, e.abs(e.subtract(six, 4.0))),
    )
    white = e.subtract(1.0, saturation)
    mixed = [e.multiply(e.add(white, e.multiply(saturation, e.clip(one, 0.0, 1.0))), value) for one in shares]
    return shape.concatenate(mixed, axis)
