"""Safetensors (https://huggingface.co/docs/safetensors): named arrays, written and read one after the other.

A file is eight bytes with the length of a JSON header, the header, and the arrays' bytes without gaps. Nothing
but one array at a time is in memory twice; and what a header declares is checked before anything is allocated.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

import numpy as np

from unifront.dtypes import BY_NAME, DType
from unifront.errors import ArgumentError, FileFormatError
from unifront.files import parts_of
from unifront.ir.types import TensorType

_CODES = {
    "BOOL": "bool", "I8": "int8", "I16": "int16", "I32": "int32", "I64": "int64",
    "U8": "uint8", "U16": "uint16", "U32": "uint32", "U64": "uint64",
    "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "C64": "complex64",
}  # fmt: skip
_CODE_OF = {name: code for code, name in _CODES.items()}
HEADER_LIMIT = 8 * 2**20
"""The most bytes of a header."""
_ENTRY_LIMIT, _RANK_LIMIT, _SIZE_LIMIT = 4096, 64, 2**62
_CHUNK = 2**20
_METADATA = "__metadata__"
# Every repetition is possessive, so that no header is read more than once. An object holds no objects.
_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_ENTRY = re.compile(rf'\s*+({_STRING})\s*+:\s*+(\{{(?:[^"{{}}]++|{_STRING})*+\}})\s*+([,}}])', re.S)
_EMPTY = re.compile(r"\{\s*+\}\s*+\Z")


class Stored(Protocol):
    """What is written: a `Variable`, or what is like one. Its value is asked for when its turn comes."""

    @property
    def type(self) -> TensorType: ...

    def numpy(self) -> np.ndarray: ...


@dataclass(frozen=True)
class Place:
    """Where in the data the array of a name is, and what it is."""

    dtype: DType
    shape: tuple[int, ...]
    start: int
    end: int

    def __str__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"

    def fits(self, type_: TensorType) -> bool:
        """Whether the array is of ``type_``."""
        return (self.dtype, self.shape) == (type_.dtype, type_.shape)


class Contents:
    """Arrays to be written: ``size`` bytes in all, which `write` puts into a file.

    Raises `ArgumentError` for more than are read again.
    """

    def __init__(self, arrays: Mapping[str, Stored], metadata: Mapping[str, str] | None = None) -> None:
        # Wide elements first: then each array begins at a multiple of its element's size.
        self.arrays = dict(sorted(arrays.items(), key=lambda item: (-item[1].type.dtype.bits, item[0])))
        header: dict[str, Any] = {_METADATA: dict(metadata)} if metadata else {}
        end = 0
        for name, array in self.arrays.items():
            start, end = end, end + array.type.nbytes
            dtype = array.type.dtype.name
            if dtype not in _CODE_OF:
                raise ArgumentError(
                    f"The weight {name!r} is {dtype}, which files of weights do not hold; cast it."
                )
            shape, code = list(array.type.shape), _CODE_OF[dtype]
            header[name] = {"dtype": code, "shape": shape, "data_offsets": [start, end]}
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        if len(text) > HEADER_LIMIT:
            raise ArgumentError(
                f"{len(arrays)} weights are too many for a file; their names and types take too much."
            )
        if _METADATA in arrays:
            raise ArgumentError(f"A weight called {_METADATA!r} cannot be saved; give it another name.")
        self.header = len(text).to_bytes(8, "little") + text
        self.size = len(self.header) + end

    def write(self, file: BinaryIO) -> None:
        """Write it all, one array after the other."""
        file.write(self.header)
        for array in self.arrays.values():
            for part in parts_of(array.numpy()):
                file.write(part)


def places(file: BinaryIO, size: int, metadata: dict[str, str] | None = None) -> dict[str, Place]:
    """What the header says of the arrays in ``file``, which has ``size`` bytes and is read up to the data.

    What it says of the file itself is put into ``metadata``.

    Raises `FileFormatError` for what is no such header, for dtypes that weights do not have, for sizes that do not
    """
    length = int.from_bytes(file.read(8), "little")
    if length > HEADER_LIMIT:
        raise FileFormatError(f"it has a header of {length} bytes; at most {HEADER_LIMIT} are read")
    if size < 8 + length:
        raise FileFormatError(f"it ends before its header, which is said to have {length} bytes")
    text = file.read(length).decode("utf-8")
    found: dict[str, Place] = {}
    at = 1 if text.startswith("{") else len(text)
    closed = bool(_EMPTY.match(text))
    while not closed:
        match = _ENTRY.match(text, at)
        if not match:
            raise FileFormatError(
                f"its header is not that of safetensors, at byte {at}: {text[at : at + 60]!r}"
            )
        at, name = match.end(), json.loads(match[1])
        if name in found:
            raise FileFormatError(f"{name[:200]!r} is in it twice")
        if name != _METADATA:
            found[name] = _place(name, match[2])
        elif metadata is not None:
            metadata.update(_texts(match[2]))
        closed = match[3] == "}"
        if closed and text[at:].strip():
            raise FileFormatError("text follows the end of its header")
    end = 0
    for name, place in sorted(found.items(), key=lambda item: (item[1].start, item[1].end)):
        if place.start != end:
            raise FileFormatError(f"{name[:200]!r} does not begin where the array before it ends")
        end = place.end
    if end != size - 8 - length:
        raise FileFormatError(f"its arrays have {end} bytes; there are {size - 8 - length}")
    return found


def _place(name: str, text: str) -> Place:
    if len(text) > _ENTRY_LIMIT:
        raise FileFormatError(f"what is said of {name[:200]!r} is too long")
    said = json.loads(text)
    code, shape, ends = (said.pop(key, None) for key in ("dtype", "shape", "data_offsets"))
    if said or not _sizes(shape) or not _sizes(ends) or len(ends) != 2:
        raise FileFormatError(f"{name[:200]!r} has not dtype, shape and data_offsets, but {text[:100]}")
    if code not in _CODES:
        raise FileFormatError(f"{name[:200]!r} has the dtype {str(code)[:80]}, which weights do not have")
    if len(shape) > _RANK_LIMIT or math.prod(filter(None, shape)) > _SIZE_LIMIT:
        raise FileFormatError(f"{name[:200]!r} has too many dimensions or too large ones: {text[:100]}")
    dtype = BY_NAME[_CODES[code]]
    if ends[1] - ends[0] != TensorType(dtype, tuple(shape)).nbytes:
        raise FileFormatError(f"{name[:200]!r} is {dtype}{shape}, which {ends[1] - ends[0]} bytes are not")
    return Place(dtype, tuple(shape), *ends)


def _texts(text: str) -> dict[str, str]:
    said = json.loads(text)
    if any(not isinstance(one, str) for one in said.values()):
        raise FileFormatError(f"what it says of itself is not text, but {text[:100]}")
    return dict(said)


def _sizes(given: Any) -> bool:
    return isinstance(given, list) and all(type(size) is int and 0 <= size <= _SIZE_LIMIT for size in given)


def arrays(file: BinaryIO, found: Mapping[str, Place]) -> dict[str, np.ndarray]:
    """The arrays that `places` found, from a ``file`` that is at the beginning of the data."""
    read: dict[str, np.ndarray] = {}
    for name, place in sorted(found.items(), key=lambda item: (item[1].start, item[1].end)):
        array = np.empty(place.shape, place.dtype.numpy.newbyteorder("<"))
        room = array.reshape(-1).view(np.uint8).data
        for at in range(0, len(room), _CHUNK):
            _fill(file, room[at : at + _CHUNK])
        read[name] = array.astype(place.dtype.numpy, copy=False)
    return read


def _fill(file: BinaryIO, room: memoryview) -> None:
    while room:
        count = file.readinto(room)  # type: ignore[attr-defined]  # every binary file has it
        if not count:
            raise EOFError
        room = room[count:]
