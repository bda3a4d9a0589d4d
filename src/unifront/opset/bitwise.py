"""Operations on the bits of integers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from unifront.dtypes import bool_
from unifront.errors import DTypeError
from unifront.ir import facts
from unifront.ir.facts import Facts
from unifront.ir.types import TensorType
from unifront.opset import comparison
from unifront.opset.casting import TensorLike, promoted
from unifront.opset.making import PAIRS, SIGNED, named
from unifront.opset.rules import broadcast, same_dtype
from unifront.opset.spec import OpSpec, Sample, register
from unifront.opset.tensor import bind, type_of

Function = Callable[..., Any]
_COMMUTES = facts.elementwise("half", keeps_zeros=True, sign="any", commutes=True)


def _bits(
    name: str, reference: Function, source: str, facts: Facts, of_booleans: Function | None = None
) -> tuple[OpSpec, Function]:
    """An operation on two broadcast integers of one dtype, and its public function, which promotes."""

    def rule(x: TensorType, y: TensorType) -> TensorType:
        dtype = same_dtype(x, y)
        if not dtype.is_integer:
            raise DTypeError(f"{name} takes integers, not {dtype}.")
        return TensorType(dtype, broadcast(x.shape, y.shape, unify=True))

    def samples(rng: np.random.Generator) -> Iterator[Sample]:
        low, high = (0, 8) if "shift" in name else (-100, 100)
        for dtype in ("int32", "uint8", "int64"):
            for a, b in PAIRS:
                first = rng.integers(-100, 100, a)
                second = rng.integers(low, high, b)
                yield Sample((np.asarray(first).astype(dtype), np.asarray(second).astype(dtype)))

    spec = register(OpSpec(name, rule, reference, samples, source, differentiable=False, facts=facts))

    def function(x: TensorLike, y: TensorLike) -> Any:
        x, y = promoted(x, y)
        if of_booleans is not None and type_of(x).dtype == bool_:
            return of_booleans(x, y)
        return bind(spec, x, y)

    function = named(function, name)
    booleans = "" if of_booleans is None else " Of booleans it is the logical one."
    function.__doc__ = f"""Elementwise {name.replace("_", " ")} of the integers ``x`` and ``y`` ({source}).

    The two broadcast, and are promoted to one dtype.{booleans} Raises `ShapeError` if they do not broadcast,
    `DTypeError` for floats.
    """
    return spec, function


BITWISE_AND, bitwise_and = _bits(
    "bitwise_and", np.bitwise_and, "NumPy bitwise_and", _COMMUTES, comparison.logical_and
)
BITWISE_OR, bitwise_or = _bits(
    "bitwise_or", np.bitwise_or, "NumPy bitwise_or", _COMMUTES, comparison.logical_or
)
BITWISE_XOR, bitwise_xor = _bits(
    "bitwise_xor",
    np.bitwise_xor,
    "NumPy bitwise_xor",
    _COMMUTES,
    comparison.logical_xor,
)
LEFT_SHIFT, bitwise_left_shift = _bits(
    "bitwise_left_shift",
    np.left_shift,
    "NumPy left_shift, by 0 to bits - 1",
    SIGNED,
)
RIGHT_SHIFT, bitwise_right_shift = _bits(
    "bitwise_right_shift", np.right_shift, "NumPy right_shift, by 0 to bits - 1; signs stay", SIGNED
)
left_shift, right_shift = bitwise_left_shift, bitwise_right_shift


def bitwise_not(x: TensorLike) -> Any:
    """The integers ``x`` with every bit turned over, and booleans negated (NumPy bitwise_not).

    Raises `DTypeError` for floats.
    """
    dtype = type_of(x).dtype
    if dtype == bool_:
        return comparison.logical_not(x)
    if not dtype.is_integer:
        raise DTypeError(f"bitwise_not takes integers, not {dtype}.")
    return bitwise_xor(x, -1 if dtype.kind == "i" else int(np.iinfo(dtype.numpy).max))


bitwise_invert = bitwise_not
