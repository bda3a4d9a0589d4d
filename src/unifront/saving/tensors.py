"""Safetensors in memory: named arrays as bytes, and back from bytes that nobody vouches for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import safetensors
import safetensors.numpy

from unifront import dtypes
from unifront.errors import ArgumentError, FileFormatError

_NAMES = {
    "BOOL": "bool", "I8": "int8", "I16": "int16", "I32": "int32", "I64": "int64",
    "U8": "uint8", "U16": "uint16", "U32": "uint32", "U64": "uint64",
    "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64",
}  # fmt: skip
HEADER_LIMIT = 8 * 2**20
"""The most bytes of a header: what it declares takes twenty times its length once it is read."""


def dump(arrays: Mapping[str, np.ndarray]) -> bytes:
    """``arrays`` as safetensors. Raises `ArgumentError` for more than are read again."""
    content = safetensors.numpy.save({name: np.array(array, order="C") for name, array in arrays.items()})
    if _header(content) > HEADER_LIMIT:
        raise ArgumentError(
            f"{len(arrays)} weights are too many for a file; their names and types take too much."
        )
    return content


def _header(content: bytes) -> int:
    """The length of the header, as it is said to be."""
    return int.from_bytes(content[:8], "little")


def parse(content: bytes) -> dict[str, np.ndarray]:
    """The arrays in ``content``.

    Raises `FileFormatError` for what weights do not have, `SafetensorError` for sizes that do not add up to the
    length of ``content``.
    """
    if _header(content) > HEADER_LIMIT:
        raise FileFormatError(f"it has a header of {_header(content)} bytes; at most {HEADER_LIMIT} are read")
    found: dict[str, np.ndarray] = {}
    for name, part in safetensors.deserialize(content):  # type: ignore[no-untyped-call]  # it has no types
        if part["dtype"] not in _NAMES:
            raise FileFormatError(f"{name[:200]!r} has the dtype {part['dtype']}, which weights do not have")
        dtype = dtypes.dtype_of(_NAMES[part["dtype"]]).numpy
        array = np.frombuffer(part["data"], dtype.newbyteorder("<")).reshape(part["shape"])
        found[name] = array.astype(dtype, copy=False)
    return found
