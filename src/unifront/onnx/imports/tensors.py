"""Tensors and attributes of an ONNX file as arrays and Python values; the file is taken as hostile."""

from __future__ import annotations

import math
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from unifront.errors import FileFormatError
from unifront.onnx.imports.naming import shown, shown_shape
from unifront.onnx.imports.values import ELEMENTS, NARROW, STRING

_WIDTHS = {**dict.fromkeys((21, 22, 23), 4), **dict.fromkeys((25, 26), 2)}
"""Bits of the elements of which several are in a byte."""
_FLAGS = os.O_RDONLY
for _flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"):  # no link; no waiting for whoever writes into a pipe
    _FLAGS |= getattr(os, _flag, 0)
_KINDS = onnx.AttributeProto
_GREATEST = 2**40
DENSE = 2**24
"""Elements that a sparse tensor may be made to at most."""


class Tensors:
    """Reads tensors.

    Args:
        folder: where the files of external data are; None: there may be none.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = None if folder is None else folder.resolve()

    def array(self, proto: Any) -> np.ndarray:
        """The array of a ``TensorProto``, of strings as ``str`` objects; `FileFormatError` for what does not fit."""
        dims = tuple(proto.dims)
        what = f"the tensor {shown(proto.name)}"
        if any(dim < 0 for dim in dims) or math.prod(dims) > _GREATEST:
            raise FileFormatError(f"{what} has the shape {shown_shape(dims)}")
        if proto.data_type == STRING:
            return self._strings(proto, dims, what)
        if proto.data_type not in ELEMENTS and proto.data_type not in NARROW:
            raise FileFormatError(
                f"{what} has elements of the type {proto.data_type}, which is none of ONNX's"
            )
        if proto.HasField("segment"):
            raise FileFormatError(f"{what} is a segment of one")
        if proto.data_location == onnx.TensorProto.EXTERNAL:
            whole = onnx.TensorProto()
            whole.dims.extend(dims)
            whole.data_type = proto.data_type
            whole.raw_data = self._external(proto, _bytes(proto.data_type, dims), what)
            proto = whole
        try:
            array = onnx.numpy_helper.to_array(proto)
        except (ValueError, TypeError, IndexError, OverflowError) as error:
            raise FileFormatError(
                f"{what} does not hold what its shape {shown_shape(dims)} says: {error}"
            ) from error
        if array.shape != dims:
            raise FileFormatError(f"{what} does not hold what its shape {shown_shape(dims)} says")
        return array

    @staticmethod
    def _strings(proto: Any, dims: tuple[int, ...], what: str) -> np.ndarray:
        if len(proto.string_data) != math.prod(dims):
            raise FileFormatError(f"{what} has {len(proto.string_data)} strings, not {math.prod(dims)}")
        array = np.empty(len(proto.string_data), object)
        array[:] = [text.decode("utf-8", "replace") for text in proto.string_data]
        return array.reshape(dims)

    def _external(self, proto: Any, size: int, what: str) -> bytes:
        """The bytes of a tensor in a file beside the model."""
        told = {entry.key: entry.value for entry in proto.external_data}
        location = told.get("location", "")
        if self._folder is None:
            raise FileFormatError(f"{what} is in the file {shown(location)}, but the model is in no folder")
        try:
            offset, length = (
                int(told.get(key, default)) for key, default in (("offset", 0), ("length", size))
            )
        except ValueError:
            raise FileFormatError(f"{what}: offset and length of its data are no numbers") from None
        if length != size or offset < 0:
            raise FileFormatError(f"{what} has {size} bytes; {length} from {offset} on are given")
        if not location or "\0" in location or os.path.isabs(location):
            raise FileFormatError(f"{what}: {shown(location)} is no file beside the model")
        path = self._folder / location
        if ".." in Path(location).parts or path.resolve() != path:
            raise FileFormatError(f"{what}: {shown(location)} leaves the model's folder, or is a link")
        try:
            descriptor = os.open(path, _FLAGS)
        except OSError as error:
            raise FileFormatError(f"{what}: {shown(location)} cannot be read: {error.strerror}") from error
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or offset + length > found.st_size:
                raise FileFormatError(f"{what}: {shown(location)} has no {length} bytes from {offset} on")
            file.seek(offset)
            return file.read(length)

    def dense(self, sparse: Any) -> np.ndarray:
        """A ``SparseTensorProto`` written out."""
        values, places = self.array(sparse.values), self.array(sparse.indices)
        dims = tuple(sparse.dims)
        if any(dim < 0 for dim in dims) or math.prod(dims) > DENSE:
            raise FileFormatError(
                f"the sparse tensor {shown(sparse.values.name)} has the shape {shown_shape(dims)}"
            )
        flat = np.zeros(math.prod(dims), values.dtype)
        rows = places if places.ndim == 1 else np.ravel_multi_index(tuple(places.T), dims)
        if rows.size != values.size or (rows.size and (rows.min() < 0 or rows.max() >= flat.size)):
            raise FileFormatError(
                f"the sparse tensor {shown(sparse.values.name)} has values outside {shown_shape(dims)}"
            )
        flat[rows] = values.reshape(-1)
        return flat.reshape(dims)

    def attribute(self, proto: Any, label: str) -> Any:
        """The value of an ``AttributeProto``: numbers, ``str``, tuples of them, arrays, protos of graphs and types."""
        match proto.type:
            case _KINDS.FLOAT:
                return proto.f
            case _KINDS.INT:
                return proto.i
            case _KINDS.STRING:
                return proto.s.decode("utf-8", "replace")
            case _KINDS.FLOATS:
                return tuple(proto.floats)
            case _KINDS.INTS:
                return tuple(proto.ints)
            case _KINDS.STRINGS:
                return tuple(text.decode("utf-8", "replace") for text in proto.strings)
            case _KINDS.TENSOR:
                return proto.t
            case _KINDS.SPARSE_TENSOR:
                return self.dense(proto.sparse_tensor)
            case _KINDS.GRAPH:
                return proto.g
            case _KINDS.TYPE_PROTO:
                return proto.tp
        raise FileFormatError(f"{label}: its attribute {shown(proto.name)} is of a type that no operator has")


def _bytes(element: int, dims: tuple[int, ...]) -> int:
    """How many bytes the data of a tensor are."""
    count = math.prod(dims)
    if element in _WIDTHS:
        return -(-count * _WIDTHS[element] // 8)
    return count * (np.dtype(_numpy(element)).itemsize)


def _numpy(element: int) -> Any:
    from onnx.helper import tensor_dtype_to_np_dtype

    return tensor_dtype_to_np_dtype(element)
