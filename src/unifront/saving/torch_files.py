"""PyTorch's files of weights (``torch.save`` of a ``state_dict``), read without PyTorch and without running code.

Both forms are read: the zip of today (``NAME/data.pkl``, ``NAME/data/KEY``) and the one before PyTorch 1.6 (pickles
one after the other, then the storages). What describes the tensors is a pickle. It is not unpickled: its operations
are read by ``pickletools`` and those that build plain data are done here; the only names it may speak of are those in
`_KNOWN`. Source: ``torch/serialization.py``, ``torch/_utils.py`` (``_rebuild_tensor_v2``).
"""

from __future__ import annotations

import io
import math
import pickletools
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from unifront.errors import FileFormatError
from unifront.saving.archives import check_stored, opened
from unifront.saving.stored import Stored

_PICKLE_LIMIT = 64 * 2**20
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_RANK_LIMIT = 64
_HEADER = 30
"""The bytes before an entry of a zip, without its name and extra field, whose lengths are the last four of them."""
_DTYPES = {
    "DoubleStorage": np.dtype("float64"),
    "FloatStorage": np.dtype("float32"),
    "HalfStorage": np.dtype("float16"),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype("int64"),
    "IntStorage": np.dtype("int32"),
    "ShortStorage": np.dtype("int16"),
    "CharStorage": np.dtype("int8"),
    "ByteStorage": np.dtype("uint8"),
    "BoolStorage": np.dtype("bool"),
}


@dataclass(frozen=True)
class _Storage:
    """Where numbers are: those of ``key`` from ``start`` on."""

    key: str
    dtype: np.dtype
    count: int
    start: int = 0


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def stored(self, name: str, storage: Callable[[_Storage], np.ndarray]) -> Stored:
        """The tensor as what is read when it is wanted, by a function that reads a whole storage."""
        return Stored(name, self.shape, self.storage.dtype, partial(self._read, storage))

    def _read(self, storage: Callable[[_Storage], np.ndarray]) -> np.ndarray:
        numbers = storage(self.storage)[self.storage.start + self.offset :]
        step = self.storage.dtype.itemsize
        view = np.lib.stride_tricks.as_strided(
            numbers, self.shape, [step * stride for stride in self.strides], writeable=False
        )
        return np.array(view)


# ---------------------------------------------------------------- what a pickle may call


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    sizes = (offset, *shape, *strides)
    if not isinstance(storage, _Storage) or any(type(one) is not int or one < 0 for one in sizes):
        raise FileFormatError(f"a tensor in it is described by {str(sizes)[:80]}")
    if len(shape) != len(strides) or len(shape) > _RANK_LIMIT:
        raise FileFormatError(f"a tensor in it has {len(shape)} sizes and {len(strides)} strides")
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if math.prod(shape) and storage.start + last >= storage.count:
        raise FileFormatError("a tensor in it lies outside of its storage")
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _parameter(data: Any, *_: Any) -> Any:
    return data


def _dict(items: Any = ()) -> dict[Any, Any]:
    return dict(items)


_KNOWN: dict[str, Any] = {
    "collections OrderedDict": _dict,
    "torch Size": tuple,
    "torch._utils _rebuild_tensor": _tensor,
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_parameter": _parameter,
    **{f"torch {name}": dtype for name, dtype in _DTYPES.items()},
}
"""What a name in the pickle stands for."""


# ---------------------------------------------------------------- the pickle machine

_MARK = object()
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_PUSHES = frozenset(
    ("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "INT", "LONG", "BINFLOAT", "FLOAT", "BINUNICODE",
     "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES",
     "BINBYTES8")
)  # fmt: skip


def unpickled(file: BinaryIO, storages: dict[str, _Storage] | None = None) -> Any:
    """The plain data, and the tensors as `_Tensor`, that the pickle at ``file``'s place describes.

    The storages it names are put into ``storages``. Raises `FileFormatError` for a pickle that wants anything else.
    """
    stack: list[Any] = []
    memo: dict[Any, Any] = {}

    def marked() -> list[Any]:
        at = max(i for i, one in enumerate(stack) if one is _MARK)
        above = stack[at + 1 :]
        del stack[at:]
        return above

    for operation, argument, _ in pickletools.genops(file):
        match operation.name:
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                return stack.pop()
            case "MARK":
                stack.append(_MARK)
            case "POP":
                stack.pop()
            case "POP_MARK":
                marked()
            case name if name in _PUSHES:
                stack.append(argument)
            case name if name in _CONSTANTS:
                stack.append(_CONSTANTS[name])
            case name if name in _EMPTY:
                stack.append(_EMPTY[name]())
            case name if name in _TUPLES:
                count = _TUPLES[name]
                stack[-count:] = [tuple(stack[-count:])]
            case "TUPLE":
                stack.append(tuple(marked()))
            case "LIST":
                stack.append(marked())
            case "DICT":
                above = marked()
                stack.append(dict(zip(above[::2], above[1::2], strict=True)))
            case "APPEND":
                one = stack.pop()
                _of_kind(stack[-1], list).append(one)
            case "APPENDS":
                above = marked()
                _of_kind(stack[-1], list).extend(above)
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                _of_kind(stack[-1], dict)[key] = value
            case "SETITEMS":
                above = marked()
                _of_kind(stack[-1], dict).update(zip(above[::2], above[1::2], strict=True))
            case "BINPUT" | "LONG_BINPUT" | "PUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET" | "GET":
                stack.append(memo[argument])
            case "GLOBAL":
                stack.append(_known(argument))
            case "STACK_GLOBAL":
                attribute, module = stack.pop(), stack.pop()
                stack.append(_known(f"{module} {attribute}"))
            case "BINPERSID":
                storage = _storage(stack.pop())
                stack.append(storage)
                if storages is not None:
                    storages[storage.key] = storage
            case "REDUCE":
                arguments, function = _of_kind(stack.pop(), tuple), stack.pop()
                if not any(function is known for known in (_dict, tuple, _tensor, _parameter)):
                    raise FileFormatError("it calls what is no function")
                stack.append(function(*arguments))
            case "BUILD":  # attributes, such as a state dict's versions of modules
                stack.pop()
            case other:
                raise FileFormatError(f"its pickle has the operation {other}, which weights do not need")
    raise EOFError


def _of_kind(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise FileFormatError(f"its pickle takes a {type(value).__name__} for a {kind.__name__}")
    return value


def _known(name: Any) -> Any:
    if name not in _KNOWN:
        raise FileFormatError(
            f"it holds {str(name)[:80].replace(' ', '.')}, which is no weight. Save model.state_dict() alone"
        )
    return _KNOWN[name]


def _storage(told: Any) -> _Storage:
    """The storage that a persistent id names: ``("storage", dtype, key, location, count[, view])``."""
    kind, dtype, key, _, count, *view = told
    if kind != "storage" or not isinstance(dtype, np.dtype) or not isinstance(key, str):
        raise FileFormatError("it has numbers of a kind that is not known")
    start = view[0][1] if view and view[0] is not None else 0
    if any(type(one) is not int or one < 0 for one in (count, start)):
        raise FileFormatError("a storage in it has no sizes")
    return _Storage(key, dtype, count, start)


# ---------------------------------------------------------------- the files


def read_zip(path: Path) -> dict[str, Stored]:
    """The tensors in a file that ``torch.save`` wrote (1.6 and after), by name."""
    with opened(path) as archive:
        names = {info.filename for info in archive.infolist()}
        folder = next(name for name in names if name.endswith("/data.pkl")).removesuffix("data.pkl")
        for info in archive.infolist():
            check_stored(info, path.stat().st_size, "a file of PyTorch")
        if archive.getinfo(f"{folder}data.pkl").file_size > _PICKLE_LIMIT:
            raise FileFormatError(f"its description of tensors has more than {_PICKLE_LIMIT} bytes")
        if f"{folder}byteorder" in names and archive.read(f"{folder}byteorder") != b"little":
            raise FileFormatError("its numbers are big-endian")
        told = unpickled(io.BytesIO(archive.read(f"{folder}data.pkl")))
        at = {info.filename: info for info in archive.infolist()}

    def storage(one: _Storage) -> np.ndarray:
        info = at[f"{folder}data/{one.key}"]
        with path.open("rb") as file:  # an archive's directory would be read again for each
            file.seek(info.header_offset + _HEADER - 4)
            name, more = struct.unpack("<HH", file.read(4))
            file.seek(name + more, 1)
            raw = file.read(info.file_size)
        if zlib.crc32(raw) != info.CRC:
            raise FileFormatError(f"the storage {one.key[:80]!r} is not what was written")
        return _numbers(raw, one)

    return _named(told, storage)


def read_pickles(path: Path) -> dict[str, Stored]:
    """The tensors in a file of the form before PyTorch 1.6, by name."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if unpickled(file) != _MAGIC or unpickled(file) != _PROTOCOL:
            raise FileFormatError("it is a pickle, but not one of PyTorch's weights")
        about = unpickled(file)
        if not isinstance(about, dict) or about.get("little_endian") is not True:
            raise FileFormatError("its numbers are big-endian")
        storages: dict[str, _Storage] = {}
        told = unpickled(file, storages)
        keys = _of_kind(unpickled(file), list)
        at: dict[str, tuple[int, int]] = {}
        for key in keys:
            count = int.from_bytes(file.read(8), "little")
            place = file.tell()
            end = place + count * storages[key].dtype.itemsize
            if end > size:
                raise EOFError
            at[key] = (place, end - place)
            file.seek(end)

    def storage(one: _Storage) -> np.ndarray:
        place, length = at[one.key]
        with path.open("rb") as file:
            file.seek(place)
            return _numbers(file.read(length), one)

    return _named(told, storage)


def _numbers(raw: bytes, storage: _Storage) -> np.ndarray:
    if len(raw) != storage.count * storage.dtype.itemsize:
        raise FileFormatError(
            f"the storage {storage.key[:80]!r} has {len(raw)} bytes, for {storage.count} numbers"
        )
    return np.frombuffer(raw, storage.dtype)


_WRAPPERS = ("state_dict", "model", "model_state_dict", "model_state", "params", "weights")
_PREFIXES = ("module.", "_orig_mod.")
"""What DataParallel and ``torch.compile`` put before each name."""


def _tensors(told: Any) -> dict[str, _Tensor]:
    if isinstance(told, dict):
        wrapped = next((told[key] for key in _WRAPPERS if isinstance(told.get(key), dict)), None)
        found = told if wrapped is None else wrapped
        tensors = {name: one for name, one in found.items() if isinstance(one, _Tensor)}
        if tensors and all(isinstance(name, str) for name in tensors):
            return tensors
    raise FileFormatError("it holds no state_dict, that is tensors by name")


def _named(told: Any, storage: Callable[[_Storage], np.ndarray]) -> dict[str, Stored]:
    return {name: one.stored(name, storage) for name, one in unwrapped(_tensors(told)).items()}


def unwrapped(found: Mapping[str, Any]) -> dict[str, Any]:
    """``found`` without the prefixes that wrappers of modules put before all names."""
    for prefix in _PREFIXES:
        if found and all(name.startswith(prefix) for name in found):
            found = {name.removeprefix(prefix): one for name, one in found.items()}
    return dict(found)
