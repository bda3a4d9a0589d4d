"""Safetensors in memory: named arrays as bytes, and back from bytes that nobody vouches for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import safetensors
import safetensors.numpy

from unifront import dtypes
from unifront.errors import FileFormatError

_NAMES = {
    "BOOL": "bool", "I8": "int8", "I16": "int16", "I32": "int32", "I64": "int64",
    "U8": "uint8", "U16": "uint16", "U32": "uint32", "U64": "uint64",
    "F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64",
}  # fmt: skip


def dump(arrays: Mapping[str, np.ndarray]) -> bytes:
    """``arrays`` as safetensors."""
    return safetensors.numpy.save({name: np.array(array, order="C") for name, array in arrays.items()})


def parse(content: bytes) -> dict[str, np.ndarray]:
    """The arrays in ``content``. Sizes that do not add up to its length raise `SafetensorError`."""
    found: dict[str, np.ndarray] = {}
    for name, part in safetensors.deserialize(content):  # type: ignore[no-untyped-call]
        if part["dtype"] not in _NAMES:
            raise FileFormatError(f"{name[:200]!r} has the dtype {part['dtype']}, which weights do not have")
        dtype = dtypes.dtype_of(_NAMES[part["dtype"]]).numpy
        found[name] = (
            np.frombuffer(bytes(part["data"]), dtype.newbyteorder("<")).reshape(part["shape"]).astype(dtype)
        )
    return found
