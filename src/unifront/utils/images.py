"""Images as files, Pillow's and arrays."""

from __future__ import annotations

import importlib
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from unifront.arguments import Size, anything, checked
from unifront.dtypes import dtype_of, floatx
from unifront.errors import ArgumentError, DataError, ShapeError
from unifront.files import BROKEN, reason
from unifront.layers.arguments import DataFormat

RESAMPLING = ("nearest", "bilinear", "bicubic", "hamming", "box", "lanczos")


def _pillow() -> Any:
    try:
        return importlib.import_module("PIL.Image")
    except ModuleNotFoundError:
        raise ArgumentError(
            "Images are read and written by Pillow, which is not installed: pip install pillow"
        ) from None


def faults() -> tuple[type[BaseException], ...]:
    """What Pillow raises for a file that is broken: each format has errors of its own."""
    return (*BROKEN, _pillow().DecompressionBombError)


def why(error: BaseException) -> str:
    """What is wrong with an image, of one of `faults`, without a full stop."""
    if type(error).__name__ == "UnidentifiedImageError":  # it says where in memory the file is
        return "it is of no format that Pillow knows"
    return (isinstance(error, OSError) and error.strerror) or reason(error)


@checked
def array_to_img(
    x: Any, data_format: DataFormat = None, scale: bool = True, dtype: Annotated[Any, anything] = None
) -> Any:
    """An array ``[height, width, channels]`` of 1, 3 or 4 channels as a Pillow image.

    Args:
        x: the array.
        data_format: where the channels are.
        scale: whether the values are stretched to 0 … 255; without it they are taken as such.
        dtype: what is calculated in; `floatx` unless given.

    Raises `ShapeError` for another rank or number of channels. Source: ``keras.utils.array_to_img``.
    """
    pillow = _pillow()
    pixels = np.array(x, dtype_of(dtype).numpy if dtype is not None else floatx().numpy)
    if pixels.ndim != 3:
        raise ShapeError(
            f"Expected image array to have rank 3 (single image). Got array with shape: {pixels.shape}."
        )
    if data_format == "channels_first":
        pixels = pixels.transpose(1, 2, 0)
    if scale:
        pixels = pixels - pixels.min()
        top = pixels.max()
        pixels = (pixels / top if top != 0 else pixels) * 255
    channels = pixels.shape[2]
    if channels not in (1, 3, 4):
        raise ShapeError(f"Unsupported channel number: {channels}; an image has 1, 3 or 4.")
    if channels == 1:
        wide = pixels.max() > 255
        return pillow.fromarray(pixels[:, :, 0].astype(np.int32 if wide else np.uint8))
    return pillow.fromarray(pixels.astype(np.uint8))


@checked
def img_to_array(
    img: Any, data_format: DataFormat = None, dtype: Annotated[Any, anything] = None
) -> np.ndarray:
    """A Pillow image as an array ``[height, width, channels]`` of `floatx`, or of ``dtype``.

    Raises `ShapeError` for what is no image. Source: ``keras.utils.img_to_array``.
    """
    pixels = np.array(img, dtype_of(dtype).numpy if dtype is not None else floatx().numpy)
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3:
        raise ShapeError(f"Unsupported image shape: {pixels.shape}; it has 2 or 3 dimensions.")
    return pixels.transpose(2, 0, 1) if data_format == "channels_first" else pixels


def in_eight_bits(image: Any) -> Any:
    """Pillow's image; of grays of 16 bits the high bytes, as libpng and ``tf.io.decode_image`` have them, since
    Pillow's ``convert`` makes all but the darkest white."""
    if not image.mode.startswith("I;16"):
        return image
    return _pillow().fromarray((np.asarray(image) >> 8).astype(np.uint8))


@checked
def load_img(
    path: Any,
    color_mode: Literal["grayscale", "rgb", "rgba"] = "rgb",
    target_size: Sequence[Size] | None = None,
    interpolation: Literal["nearest", "bilinear", "bicubic", "hamming", "box", "lanczos"] = "nearest",
    keep_aspect_ratio: bool = False,
) -> Any:
    """The image at ``path`` (or in an ``io.BytesIO``) as Pillow's.

    Args:
        path: a file.
        color_mode: what it is converted to; grays of 16 bits are kept in ``"grayscale"``, else brought to 8.
        target_size: ``(height, width)`` to resize to.
        interpolation: how.
        keep_aspect_ratio: whether the middle of the target's proportions is cut out first.

    Raises `DataError` naming a file that is missing or no image. Source: ``keras.utils.load_img``.
    """
    pillow = _pillow()
    if not isinstance(path, io.BytesIO | str | bytes | os.PathLike):
        raise ArgumentError(f"path should be path-like or io.BytesIO, not {type(path)}.")
    try:
        source = path if isinstance(path, io.BytesIO) else io.BytesIO(Path(os.fsdecode(path)).read_bytes())
        image = pillow.open(source)
        image.load()
        if color_mode != "grayscale" or image.mode not in ("L", "I;16", "I"):
            image = in_eight_bits(image).convert({"grayscale": "L", "rgb": "RGB", "rgba": "RGBA"}[color_mode])
    except faults() as error:
        raise DataError(f"{path!s} cannot be read as an image: {why(error)}.") from error
    if target_size is None or image.size == (target_size[1], target_size[0]):
        return image
    if 0 in image.size:
        raise DataError(f"{path!s} cannot be read as an image: it has no pixels.")
    size = (target_size[1], target_size[0])
    resampling = getattr(pillow.Resampling, interpolation.upper())
    if not keep_aspect_ratio:
        return image.resize(size, resampling)
    width, height = image.size
    crop = min(width, height * size[0] // size[1]) or 1, min(height, width * size[1] // size[0]) or 1
    left, top = (width - crop[0]) // 2, (height - crop[1]) // 2
    return image.resize(size, resampling, box=(left, top, left + crop[0], top + crop[1]))


@checked
def save_img(
    path: Any,
    x: Any,
    data_format: DataFormat = None,
    file_format: str | None = None,
    scale: bool = True,
    **kwargs: Any,
) -> None:
    """Write an array as an image; arguments as of `array_to_img`.

    Args:
        path: a file, whose suffix says the format, or a binary file object.
        file_format: the format where the suffix does not say it.
        kwargs: for Pillow's ``Image.save``.

    A JPEG has no transparency; the fourth channel is left out. Source: ``keras.utils.save_img``.
    """
    if file_format is None and isinstance(path, str | os.PathLike):
        file_format = Path(path).suffix[1:].lower()
    file_format = "jpeg" if (file_format or "").lower() == "jpg" else file_format
    image = array_to_img(x, data_format=data_format, scale=scale)
    if file_format == "jpeg" and image.mode == "RGBA":
        image = image.convert("RGB")
    image.save(path, format=file_format, **kwargs)
