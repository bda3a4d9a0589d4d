"""Data types and the one promotion table.

A dtype is a frozen object; ``uf.float32`` is the same object everywhere. The promotion lattice is
JAX's (https://docs.jax.dev/en/latest/type_promotion.html), which is also the one Keras 3 uses: it
never widens a float because an integer stands beside it, and a Python scalar has no width of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np

from unifront.errors import DTypeError, UnknownName

_FROM_ML_DTYPES = ("bfloat16", "float8_e4m3fn", "float8_e5m2", "int4", "uint4")


@dataclass(frozen=True, eq=False)  # there is one object of each, which comparing relies on
class DType:
    """An element type: ``name``, ``kind`` (``b``, ``i``, ``u``, ``f``, ``c`` or ``k`` for random keys), ``bits``.

    It is equal to its name.
    """

    name: str
    kind: str
    bits: int

    @property
    def numpy(self) -> np.dtype:
        """The NumPy dtype; keys have none."""
        if self.kind == "k":
            raise DTypeError("A random key has no NumPy dtype; make one with uf.random_key(seed).")
        return np.dtype(getattr(ml_dtypes, self.name) if self.name in _FROM_ML_DTYPES else self.name)

    @property
    def dtype(self) -> np.dtype:
        """The NumPy dtype; NumPy asks for it where it is given one of these for a dtype."""
        return self.numpy

    @property
    def is_float(self) -> bool:
        return self.kind == "f"

    @property
    def is_complex(self) -> bool:
        return self.kind == "c"

    @property
    def is_integer(self) -> bool:
        return self.kind in "iu"

    @property
    def is_packed(self) -> bool:
        """Whether it is one of `PACKED`."""
        return self.bits < 8 or (self.is_float and self.bits == 8)

    @property
    def parts(self) -> DType:
        """Of a complex dtype, that of its real and imaginary parts; of another itself."""
        return BY_NAME[f"float{self.bits // 2}"] if self.is_complex else self

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, str) and other == self.name)

    def __hash__(self) -> int:
        return hash(self.name)  # a name is equal, and so finds the same

    def __reduce__(self) -> tuple[Callable[[str], DType], tuple[str]]:
        return dtype_of, (self.name,)  # copies and pickles are the object itself

    def __repr__(self) -> str:
        return self.name


bool_ = DType("bool", "b", 8)
int8, int16, int32, int64 = (DType(f"int{n}", "i", n) for n in (8, 16, 32, 64))
uint8, uint16, uint32, uint64 = (DType(f"uint{n}", "u", n) for n in (8, 16, 32, 64))
float16, float32, float64 = (DType(f"float{n}", "f", n) for n in (16, 32, 64))
bfloat16 = DType("bfloat16", "f", 16)
complex64, complex128 = (DType(f"complex{n}", "c", n) for n in (64, 128))
float8_e4m3fn, float8_e5m2 = (DType(f"float8_{name}", "f", 8) for name in ("e4m3fn", "e5m2"))
int4, uint4 = DType("int4", "i", 4), DType("uint4", "u", 4)
key = DType("key", "k", 64)

ALL = (
    bool_, int8, int16, int32, int64, uint8, uint16, uint32, uint64,
    float16, bfloat16, float32, float64, key,
)  # fmt: skip
"""Those that operations in general know."""
COMPLEX = (complex64, complex128)
PACKED = (float8_e4m3fn, float8_e5m2, int4, uint4)
"""Those for storing numbers, which are cast before anything is computed with them."""
BY_NAME = {dtype.name: dtype for dtype in (*ALL, *COMPLEX, *PACKED)}
DTypeLike = DType | str | type | np.dtype

# The lattice: each dtype and the dtypes directly above it. "i*", "f*" and "c*" are Python's int, float and complex.
_ABOVE = {
    **{dtype.name: () for dtype in PACKED},
    "bool": ("i*",),
    "i*": ("uint8", "int8"),
    "uint8": ("uint16", "int16"),
    "uint16": ("uint32", "int32"),
    "uint32": ("uint64", "int64"),
    "uint64": ("f*",),
    "int8": ("int16",),
    "int16": ("int32",),
    "int32": ("int64",),
    "int64": ("f*",),
    "f*": ("bfloat16", "float16", "c*"),
    "bfloat16": ("float32",),
    "float16": ("float32",),
    "float32": ("float64", "complex64"),
    "float64": ("complex128",),
    "c*": ("complex64",),
    "complex64": ("complex128",),
    "complex128": (),
}


_WEAK = {bool: "bool", int: "i*", float: "f*", complex: "c*"}


@cache
def _upper(name: str) -> frozenset[str]:
    return frozenset({name}).union(*(_upper(above) for above in _ABOVE[name]))


@cache
def _join(names: frozenset[str]) -> str:
    common = frozenset.intersection(*(_upper(name) for name in names))
    return next(name for name in common if common == _upper(name))


def dtype_of(value: DTypeLike) -> DType:
    """The `DType` meant by a name, a `DType`, or a dtype of NumPy or a framework; `UnknownName` for anything else."""
    if isinstance(value, DType):
        return value
    if isinstance(value, str):
        if value == "int":  # as Keras calls its default
            return int32
        if value not in BY_NAME:
            raise UnknownName("dtype", value, BY_NAME)
        return BY_NAME[value]
    try:
        name = np.dtype(value).name if value is not None else "None"  # which NumPy takes for float64
    except (TypeError, ValueError):
        name = _frameworks_name(value)
        if name not in BY_NAME:
            raise UnknownName("dtype", value, BY_NAME) from None
    if name not in BY_NAME:
        raise UnknownName("dtype", name, BY_NAME)
    return BY_NAME[name]


def _frameworks_name(value: Any) -> str:
    """What a framework's dtype is called: ``torch.float32`` and ``tf.float32`` say it, each in its way."""
    named = getattr(value, "name", None)
    return named if isinstance(named, str) else str(value).rpartition(".")[2]


def promote(*values: DType | complex) -> DType:
    """The dtype in which ``values`` meet. Python scalars count as weak: ``promote(float16, 2.5)`` is float16.

    Only Python scalars give the defaults: bool, int32, float32, complex64. Raises `DTypeError` for
    random keys, and for float8 and int4 beside anything but themselves.
    """
    names = set()
    for value in values:
        if isinstance(value, DType):
            if value.kind == "k":
                raise DTypeError("A random key takes no part in arithmetic.")
            names.add(value.name)
            if value.is_packed and any(other is not value for other in values):
                met = sorted({str(other) for other in values if other is not value})
                raise DTypeError(
                    f"{value} and {', '.join(met)} meet, but {value} is for storing numbers: cast it first."
                )
        else:
            names.add(next(weak for kind, weak in _WEAK.items() if isinstance(value, kind)))
    name = _join(frozenset(names))
    return BY_NAME[{"i*": "int32", "f*": "float32", "c*": "complex64"}.get(name, name)]


def to_float(dtype: DType) -> DType:
    """``dtype`` itself if it is a float or complex, else float32 (what a mean or an exponential of integers has)."""
    return dtype if dtype.is_float or dtype.is_complex else float32


_default_float = [float32]


def floatx() -> DType:
    """The float dtype of inputs and weights whose dtype nobody says (float32 at first)."""
    return _default_float[-1]


def set_floatx(dtype: DTypeLike) -> None:
    """Make ``dtype`` (float16, bfloat16, float32 or float64) the one that `floatx` gives, as in Keras."""
    chosen = dtype_of(dtype)
    if not chosen.is_float:
        raise DTypeError(f"floatx is a float dtype, not {chosen}.")
    _default_float[:] = [chosen]
    for listener in _listeners:
        listener()


_listeners: list[Callable[[], None]] = []


def when_floatx_changes(listener: Callable[[], None]) -> None:
    """Call ``listener`` after every change of `floatx`."""
    _listeners.append(listener)
