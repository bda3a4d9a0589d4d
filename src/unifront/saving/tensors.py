"""Safetensors in memory: named arrays as bytes, and back from bytes that nobody vouches for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import safetensors.numpy

from unifront.errors import FileFormatError

LIMIT = 100_000
"""The most arrays in one file."""


def dump(arrays: Mapping[str, np.ndarray]) -> bytes:
    """``arrays`` as safetensors."""
    return safetensors.numpy.save({name: np.ascontiguousarray(array) for name, array in arrays.items()})


def parse(content: bytes) -> dict[str, np.ndarray]:
    """The arrays in ``content``. Sizes that do not add up to its length raise `SafetensorError`."""
    found: dict[str, np.ndarray] = safetensors.numpy.load(content)
    if len(found) > LIMIT:
        raise FileFormatError(f"it holds {len(found)} arrays, more than {LIMIT}")
    return found
