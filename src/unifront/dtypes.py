"""Data types and the one promotion table.

A dtype is a frozen object; ``uf.float32`` is the same object everywhere. The promotion lattice is
JAX's (https://docs.jax.dev/en/latest/type_promotion.html), which is also the one Keras 3 uses: it
never widens a float because an integer stands beside it, and a Python scalar has no width of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import ml_dtypes
import numpy as np

from unifront.errors import DTypeError, UnknownName


@dataclass(frozen=True, eq=False)  # there is one object of each, which comparing relies on
class DType:
    """An element type: ``name``, ``kind`` (``b``, ``i``, ``u``, ``f`` or ``k`` for random keys), ``bits``."""

    name: str
    kind: str
    bits: int

    @property
    def numpy(self) -> np.dtype:
        """The NumPy dtype; keys have none."""
        if self.kind == "k":
            raise DTypeError("A random key has no NumPy dtype; make one with uf.random_key(seed).")
        return np.dtype(ml_dtypes.bfloat16) if self.name == "bfloat16" else np.dtype(self.name)

    @property
    def is_float(self) -> bool:
        return self.kind == "f"

    @property
    def is_integer(self) -> bool:
        return self.kind in "iu"

    def __reduce__(self) -> tuple[Callable[[str], DType], tuple[str]]:
        return dtype_of, (self.name,)  # copies and pickles are the object itself

    def __repr__(self) -> str:
        return self.name


bool_ = DType("bool", "b", 8)
int8, int16, int32, int64 = (DType(f"int{n}", "i", n) for n in (8, 16, 32, 64))
uint8, uint16, uint32, uint64 = (DType(f"uint{n}", "u", n) for n in (8, 16, 32, 64))
float16, float32, float64 = (DType(f"float{n}", "f", n) for n in (16, 32, 64))
bfloat16 = DType("bfloat16", "f", 16)
key = DType("key", "k", 64)

ALL = (
    bool_, int8, int16, int32, int64, uint8, uint16, uint32, uint64,
    float16, bfloat16, float32, float64, key,
)  # fmt: skip
BY_NAME = {dtype.name: dtype for dtype in ALL}
DTypeLike = DType | str | type | np.dtype

# The lattice: each dtype and the dtypes directly above it. "i*" and "f*" are Python's int and float.
_ABOVE = {
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
    "f*": ("bfloat16", "float16"),
    "bfloat16": ("float32",),
    "float16": ("float32",),
    "float32": ("float64",),
    "float64": (),
}


@cache
def _upper(name: str) -> frozenset[str]:
    return frozenset({name}).union(*(_upper(above) for above in _ABOVE[name]))


@cache
def _join(names: frozenset[str]) -> str:
    common = frozenset.intersection(*(_upper(name) for name in names))
    return next(name for name in common if common == _upper(name))


def dtype_of(value: DTypeLike) -> DType:
    """The `DType` meant by a name, a NumPy dtype or a `DType`; `UnknownName` for anything else."""
    if isinstance(value, DType):
        return value
    if isinstance(value, str):
        if value not in BY_NAME:
            raise UnknownName("dtype", value, BY_NAME)
        return BY_NAME[value]
    try:
        name = np.dtype(value).name if value is not None else "None"  # which NumPy takes for float64
    except (TypeError, ValueError):
        raise UnknownName("dtype", value, BY_NAME) from None
    if name not in BY_NAME:
        raise UnknownName("dtype", name, BY_NAME)
    return BY_NAME[name]


def promote(*values: DType | int | float | bool) -> DType:
    """The dtype in which ``values`` meet. Python scalars count as weak: ``promote(float16, 2.5)`` is float16.

    Only Python scalars give the defaults: bool, int32, float32.
    """
    names = set()
    for value in values:
        if isinstance(value, DType):
            if value.kind == "k":
                raise DTypeError("A random key takes no part in arithmetic.")
            names.add(value.name)
        else:
            names.add("bool" if isinstance(value, bool) else "i*" if isinstance(value, int) else "f*")
    name = _join(frozenset(names))
    return BY_NAME[{"i*": "int32", "f*": "float32"}.get(name, name)]


def to_float(dtype: DType) -> DType:
    """``dtype`` itself if it is a float, else float32 (what a mean or an exponential of integers has)."""
    return dtype if dtype.is_float else float32


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
