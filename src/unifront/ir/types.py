"""Tensor types: a dtype and a shape of dimensions. Written ``float32[batch, 8, 8, 1]``."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from unifront.dtypes import BY_NAME, DType, DTypeLike, dtype_of
from unifront.errors import ParseError
from unifront.ir.dims import Dim, DimExpr, parse_dim

Shape = tuple[Dim, ...]
_TYPE = re.compile(r"\s*([a-z0-9_]+)\[(.*)\]\s*\Z", re.S)


@dataclass(frozen=True)
class TensorType:
    """The dtype and shape of a value."""

    dtype: DType
    shape: Shape = ()

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def is_static(self) -> bool:
        """True when no dimension is symbolic."""
        return all(isinstance(dim, int) for dim in self.shape)

    @property
    def size(self) -> Dim:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes that the elements of a static type take; one of fewer than eight bits takes a byte, as in NumPy."""
        return self.size * max(self.dtype.bits // 8, 1)  # type: ignore[return-value]  # a static size is an int

    def admits(self, shape: Sequence[Any]) -> bool:
        """Whether ``shape`` has the rank and the sizes of this type; a symbol stands for any size."""
        known = (own == size for own, size in zip(self.shape, shape, strict=False) if isinstance(own, int))
        return len(shape) == self.rank and all(known)

    def with_shape(self, shape: Shape) -> TensorType:
        return TensorType(self.dtype, tuple(shape))

    def with_dtype(self, dtype: DTypeLike) -> TensorType:
        return TensorType(dtype_of(dtype), self.shape)

    def __str__(self) -> str:
        return f"{self.dtype.name}[{', '.join(str(dim) for dim in self.shape)}]"

    __repr__ = __str__


def parse_type(text: str) -> TensorType:
    """The type written as ``text``, the inverse of ``str``."""
    match = _TYPE.match(text)
    if not match or match.group(1) not in BY_NAME:
        raise ParseError(f"{text[:80]!r} is not a tensor type such as float32[batch, 8].")
    name, dims = match.groups()
    shape = tuple(map(parse_dim, _split(dims))) if dims.strip() else ()
    if any(isinstance(dim, int) and dim < 0 for dim in shape):
        raise ParseError(f"{text[:80]!r} has a negative size.")
    return TensorType(BY_NAME[name], shape)


def _split(dims: str) -> list[str]:
    """The parts between commas that stand in no parentheses."""
    parts, depth, start = [], 0, 0
    for place, sign in enumerate(dims):
        depth += (sign == "(") - (sign == ")")
        if sign == "," and depth == 0:
            parts.append(dims[start:place])
            start = place + 1
    return [*parts, dims[start:]]


def symbols_of(*types: TensorType) -> frozenset[str]:
    """The names of all symbolic dimensions in ``types``."""
    dims = (dim for type_ in types for dim in type_.shape if isinstance(dim, DimExpr))
    return frozenset().union(*(dim.symbols() for dim in dims))
