"""`keras.preprocessing.image`."""

from __future__ import annotations

from typing import Any

from unifront import ops
from unifront.errors import ArgumentError, ShapeError
from unifront.opset.tensor import type_of
from unifront.utils.images import array_to_img, img_to_array, load_img, save_img

__all__ = ["array_to_img", "img_to_array", "load_img", "save_img", "smart_resize"]


def smart_resize(
    x: Any, size: Any, interpolation: str = "bilinear", data_format: str = "channels_last"
) -> Any:
    """Images in another size, of which the middle is cut out in the proportions of the new one.

    Args:
        x: ``[height, width, channels]`` or ``[batch, height, width, channels]``, of any framework.
        size: ``(height, width)``.
        interpolation: as of `uf.ops.image.resize`.
        data_format: where the channels are.

    Source: ``keras.preprocessing.image.smart_resize``.
    """
    if not isinstance(size, list | tuple) or len(size) != 2:
        raise ArgumentError(f"Expected `size` to be a tuple of 2 integers, but got: {size}.")
    shape = type_of(x).shape
    if len(shape) not in (3, 4):
        raise ShapeError(
            "Expected an image array with shape `(height, width, channels)`, or `(batch_size, height, width, "
            f"channels)`, but got input with incorrect rank, of shape {tuple(shape)}."
        )
    return ops.image.resize(
        x, tuple(size), interpolation=interpolation, crop_to_aspect_ratio=True, data_format=data_format
    )
