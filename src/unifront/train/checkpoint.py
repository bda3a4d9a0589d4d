"""A checkpoint of training: one safetensors file that holds every value, and in its metadata the rest as JSON.

It is written beside its place and renamed, so that a process killed at any moment leaves the one before or the one
after. Its values carry a checksum (CRC-32): what was damaged since is refused rather than trained on.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unifront import safetensors
from unifront.dtypes import dtype_of
from unifront.errors import FileFormatError
from unifront.files import BROKEN, existing, parts_of, reason, writing
from unifront.ir.types import TensorType

FORMAT, VERSION = "unifront training", 1
_STATE, _SUM = "unifront", "crc32"


@dataclass(frozen=True)
class Checkpoint:
    """Everything that training goes on from.

    Args:
        values: of weights, slots and whatever else a step carries, by name.
        state: the rest, as JSON.
    """

    values: Mapping[str, np.ndarray]
    state: Mapping[str, Any]

    def write(self, path: Path) -> None:
        """Write it to ``path``. Raises `FileWriteError` for what the operating system refuses."""
        state = json.dumps({"format": FORMAT, "version": VERSION, **self.state}, allow_nan=False)
        arrays = {name: _Array(value) for name, value in self.values.items()}
        total = _checksum(state, (self.values[name] for name in sorted(self.values)))
        contents = safetensors.Contents(arrays, {_STATE: state, _SUM: str(total)})
        with writing(path) as file:
            contents.write(file)


@dataclass(frozen=True)
class _Array:
    """An array as what is written wants it."""

    value: np.ndarray

    @property
    def type(self) -> TensorType:
        return TensorType(dtype_of(self.value.dtype), self.value.shape)

    def numpy(self) -> np.ndarray:
        return self.value


def read(path: Path) -> Checkpoint:
    """The checkpoint at ``path``; nothing in it is run, and nothing is allocated that is not in the file.

    Raises `FileFormatError` naming file and reason for one that is broken, damaged, hostile or from a newer version.
    """
    path = existing(path)
    try:
        metadata: dict[str, str] = {}
        with path.open("rb") as file:
            places = safetensors.places(file, path.stat().st_size, metadata)
            values = safetensors.arrays(file, places)
        text = metadata.get(_STATE, "null")
        state = json.loads(text)
        if not isinstance(state, dict) or state.get("format") != FORMAT:
            raise FileFormatError("it holds no state of training")
        if state.get("version") != VERSION:
            raise FileFormatError(
                f"it has version {str(state.get('version'))[:80]}; this unifront reads version {VERSION}. "
                "Update unifront"
            )
        if metadata.get(_SUM) != str(_checksum(text, (values[name] for name in sorted(values)))):
            raise FileFormatError(
                "its checksum is not that of what it holds: it was damaged since it was written"
            )
    except BROKEN as error:
        raise FileFormatError(
            f"{path} is not a valid checkpoint: {reason(error)}. Remove it to train from the beginning."
        ) from error
    return Checkpoint(values, state)


def _checksum(text: str, arrays: Iterable[np.ndarray]) -> int:
    total = zlib.crc32(text.encode())
    for array in arrays:
        for part in parts_of(array):
            total = zlib.crc32(part, total)
    return total
