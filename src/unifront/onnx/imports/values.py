"""What a name of an ONNX model stands for while the model is read.

A tensor of the graph     `Traced`, as everywhere in unifront
a known array             ``numpy.ndarray``: numbers, booleans, or strings (dtype object); operations on known arrays
                          alone run at once, by the same functions, so that constants fold by themselves
sizes                     `Sizes`: integers that are dimensions (of ``Shape``), free ones too
a weight not yet used     `Weight`
numbers of few bits       `Narrow`: float8, float4, int4, int2 …, which live in the next dtype that backends compute in
a sequence                `Parts`; an optional that is empty, and an operand that is left out: None
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np

from unifront.dtypes import DType, dtype_of
from unifront.errors import ArgumentError, FileFormatError
from unifront.ir.dims import DimExpr
from unifront.opset.tensor import type_of
from unifront.weights import Variable

STRING = 8
"""``TensorProto.STRING``."""
ELEMENTS = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16",
    11: "float64", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128", 16: "bfloat16",
}  # fmt: skip
"""The elements of ``TensorProto.DataType`` that are dtypes of ours."""
NARROW = {
    17: ("float8_e4m3fn", "float32"), 18: ("float8_e4m3fnuz", "float32"), 19: ("float8_e5m2", "float32"),
    20: ("float8_e5m2fnuz", "float32"), 21: ("uint4", "uint8"), 22: ("int4", "int8"),
    23: ("float4_e2m1fn", "float32"), 24: ("float8_e8m0fnu", "float64"), 25: ("uint2", "uint8"), 26: ("int2", "int8"),
}  # fmt: skip
"""Those that are not, with their names in ``ml_dtypes``, and the dtype that carries their numbers exactly."""


@dataclass(frozen=True, eq=False)
class Narrow:
    """Numbers of a type of few bits, carried by a tensor or array of a wider one.

    Args:
        element: the number of the type in ``TensorProto.DataType``.
    """

    tensor: Any
    element: int

    @property
    def numpy(self) -> np.dtype:
        return np.dtype(getattr(ml_dtypes, NARROW[self.element][0]))


class Parts(tuple[Any, ...]):
    """A sequence, of known length. (A plain tuple, from a row, is its several results.)"""

    __slots__ = ()


@dataclass(frozen=True, eq=False)
class Sizes:
    """Integers of which some are dimensions that are not known yet: an array (dtype object) of ints and `DimExpr`."""

    array: np.ndarray


@dataclass(eq=False)
class Weight:
    """An initializer that is to be a weight, until the first operation that reads it says in which layout."""

    name: str
    array: np.ndarray
    trainable: bool
    made: dict[tuple[int, ...], Variable] = field(default_factory=dict)
    parts: dict[int, Variable] = field(default_factory=dict)


Value = Any
"""One of those above."""


class NotKnown(ArgumentError):
    """What decides what the graph is has to be known at import, and is not."""


class NeedsValue(NotKnown):
    """A value that decides what the graph is comes from inputs of the model; ``inputs`` are their names."""

    def __init__(self, text: str, inputs: Sequence[str]) -> None:
        super().__init__(text)
        self.inputs = tuple(inputs)


def sizes(values: np.ndarray) -> np.ndarray | Sizes:
    """An array of dimensions as what it is: known, where all are ints."""
    array = np.asarray(values, object)
    if any(isinstance(dim, DimExpr) for dim in array.flat):
        return Sizes(array)
    return array.astype(np.int64)


def carrier(element: int) -> DType:
    """The dtype in which tensors of this element type are in graphs; `FileFormatError` for one that is not known."""
    if element in ELEMENTS:
        return dtype_of(ELEMENTS[element])
    if element in NARROW:
        return dtype_of(NARROW[element][1])
    raise FileFormatError(f"the element type {element} of a tensor is not one of ONNX that unifront has")


def carried(array: np.ndarray, element: int) -> Value:
    """An array as it is read: numbers of few bits as `Narrow`, strings as an array of ``str``."""
    if element == STRING:
        return np.asarray(array, object)
    if element in NARROW:
        return Narrow(array.astype(carrier(element).numpy), element)
    return array


def element_of(dtype: DType) -> int:
    """The number in ``TensorProto.DataType`` of a dtype of ours."""
    return next(number for number, name in ELEMENTS.items() if name == dtype.name)


def is_strings(value: Value) -> bool:
    """Whether ``value`` is an array of strings."""
    return isinstance(value, np.ndarray) and value.dtype.kind in "OUS"


def element_in(value: Value) -> int | None:
    """The number in ``TensorProto.DataType`` of a value's elements; None for sequences and nothing."""
    if value is None or isinstance(value, Parts):
        return None
    if isinstance(value, Narrow):
        return value.element
    if is_strings(value):
        return STRING
    array = getattr(value, "array", value)
    return 7 if isinstance(value, Sizes) else element_of(type_of(array).dtype)
