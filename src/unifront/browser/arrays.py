"""Arrays as JavaScript takes them: which there are, how ``model.json`` describes them, and files of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from unifront.errors import DTypeError
from unifront.ir.types import TensorType

DTYPES = ("float32", "float64", "int32", "int64", "int8", "uint8", "bool")
"""Of which JavaScript has arrays."""
ALIGNED = 8
"""Bytes at which each array of a file begins, as arrays of wide numbers have to."""


def described(name: str, type_: TensorType) -> dict[str, Any]:
    """What ``model.json`` says of an array; free sizes are None."""
    if type_.dtype.name not in DTYPES:
        raise DTypeError(f"{name!r} is {type_}; a browser takes and shows {', '.join(DTYPES)}.")
    shape = [dim if isinstance(dim, int) else None for dim in type_.shape]
    return {"name": name, "dtype": type_.dtype.name, "shape": shape}


def write_arrays(path: Path, arrays: Iterable[np.ndarray]) -> None:
    """Write arrays one after the other, in the byte order of browsers."""
    with path.open("wb") as file:
        for array in arrays:
            file.write(array.astype(array.dtype.newbyteorder("<"), order="C").tobytes())
            file.write(bytes(-file.tell() % ALIGNED))
