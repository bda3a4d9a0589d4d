"""Image files in requests, for models that were trained on a folder of images: read as they were in training."""

from __future__ import annotations

import base64
import importlib
import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from unifront.errors import DataError
from unifront.serving.errors import Refused
from unifront.utils.image_folder import CHANNELS
from unifront.utils.images import faults, why

MAX_PIXELS = 50_000_000
"""Of one image, which a file of few bytes may have many of."""
MAX_SIDE = 2**13
MAX_BYTES = 2**28
"""Of all images of a request, as the numbers that the model takes: a file may be far smaller than its pixels."""
Reader = Callable[[bytes], np.ndarray]


def reader_of(notes: Mapping[str, Any]) -> Reader | None:
    """What makes the pixels of a file, as the training noted in the model's metadata; None for other models."""
    size = notes.get("size")
    sides = (
        isinstance(size, list) and len(size) == 2 and all(type(n) is int and 0 < n <= MAX_SIDE for n in size)
    )
    if notes.get("kind") != "images" or not sides:
        return None
    if notes.get("color") not in CHANNELS:
        return None
    from unifront.recipes.images import pixels_of  # wants the packages of recipes

    known = dict(notes)

    def read(content: bytes) -> np.ndarray:
        pillow: Any = importlib.import_module("PIL.Image")
        file: Any = io.BytesIO(content)
        try:
            with pillow.open(file) as image:
                width, height = image.size
            if width * height > MAX_PIXELS:
                raise Refused(413, f"An image has {width} × {height} pixels; {MAX_PIXELS:,} are allowed.")
            return pixels_of(known, file)
        except faults() as error:
            cause = error.__cause__ if isinstance(error, DataError) and error.__cause__ else error
            raise Refused(400, f"An image of {len(content)} bytes cannot be read: {why(cause)}.") from error

    return read


def is_encoded(value: Any) -> bool:
    """Whether ``value`` is bytes as TensorFlow Serving's JSON has them."""
    return isinstance(value, dict) and value.keys() == {"b64"}


def decoded(value: Mapping[str, Any]) -> bytes:
    """The bytes of ``{"b64": text}``. Raises `Refused`."""
    text = value["b64"]
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, TypeError) as error:
        raise Refused(400, f"The b64 of an instance is text in Base64: {error}.") from None
