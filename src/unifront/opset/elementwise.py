"""Arithmetic on each element, roundings, exponentials and choices."""

from __future__ import annotations

import builtins
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from unifront.dtypes import DType, bool_, int32
from unifront.errors import ArgumentError, DTypeError
from unifront.ir import facts
from unifront.ir.types import TensorType
from unifront.opset import flops
from unifront.opset.casting import CAST as CAST
from unifront.opset.casting import SHAPES
from unifront.opset.casting import TensorLike as TensorLike
from unifront.opset.casting import cast as cast
from unifront.opset.casting import floating as floating
from unifront.opset.casting import promoted as promoted
from unifront.opset.comparison import equal as equal
from unifront.opset.comparison import greater as greater
from unifront.opset.comparison import greater_equal as greater_equal
from unifront.opset.comparison import less as less
from unifront.opset.comparison import less_equal as less_equal
from unifront.opset.comparison import logical_and as logical_and
from unifront.opset.comparison import logical_not as logical_not
from unifront.opset.comparison import logical_or as logical_or
from unifront.opset.comparison import not_equal as not_equal
from unifront.opset.making import (
    COMMUTES,
    KEEPS,
    NOT_NEGATIVE,
    PAIRS,
    POSITIVE,
    QUOTIENT,
    SIGNED,
    WIDE,
    WIDE_KEPT,
    WIDE_POSITIVE,
    binary,
    unary,
)  # fmt: skip
from unifront.opset.rules import broadcast, need_order, same_dtype
from unifront.opset.rules import need_float as need_float
from unifront.opset.spec import OpSpec, Sample, register
from unifront.opset.tensor import bind, type_of


def _sigmoid(x: np.ndarray) -> np.ndarray:
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


def _erf(x: np.ndarray) -> np.ndarray:
    return np.vectorize(math.erf, otypes=[np.float64])(x).astype(x.dtype)


NEGATIVE, negative = unary(
    "negative", np.negative, "NumPy negative", keeps_integers=True, of_complex="kept", facts=SIGNED
)
ABS, _magnitude = unary(
    "abs", np.abs, "NumPy abs", keeps_integers=True, of_complex="real", facts=NOT_NEGATIVE
)


def abs(x: TensorLike) -> Any:
    """Elementwise absolute value of ``x`` (NumPy abs).

    Integers and booleans keep their dtype; complex numbers give floats. Raises `DTypeError` for a random key.
    """
    return cast(x, bool_) if type_of(x).dtype is bool_ else _magnitude(x)


SIGN, sign = unary("sign", np.sign, "NumPy sign", keeps_integers=True, facts=KEEPS)
SQUARE, _square = unary(
    "square", np.square, "NumPy square", keeps_integers=True, of_complex="kept", facts=NOT_NEGATIVE
)
EXP, exp = unary("exp", np.exp, "NumPy exp", facts=WIDE_POSITIVE)
EXPM1, expm1 = unary("expm1", np.expm1, "NumPy expm1", facts=WIDE)
LOG, log = unary(
    "log",
    np.log,
    "NumPy log",
    (0.1, 5.0),
    facts=facts.elementwise("float32", keeps_zeros=False, sign="any", commutes=False),
)
LOG1P, log1p = unary("log1p", np.log1p, "NumPy log1p", (-0.8, 5.0), facts=WIDE)
SQRT, sqrt = unary("sqrt", np.sqrt, "NumPy sqrt", (0.1, 5.0), facts=NOT_NEGATIVE)
RSQRT, rsqrt = unary("rsqrt", lambda x: 1 / np.sqrt(x), "1 / NumPy sqrt", (0.1, 5.0), facts=WIDE_POSITIVE)
RECIPROCAL, reciprocal = unary("reciprocal", lambda x: 1 / x, "NumPy reciprocal", (0.3, 3.0), facts=WIDE_KEPT)
ERF, erf = unary("erf", _erf, "ONNX Erf; C erf", facts=KEEPS)
SIN, sin = unary("sin", np.sin, "NumPy sin", facts=SIGNED)
COS, cos = unary(
    "cos", np.cos, "NumPy cos", facts=facts.elementwise("half", keeps_zeros=False, sign="any", commutes=False)
)
TAN, tan = unary(
    "tan",
    np.tan,
    "NumPy tan",
    (-1.2, 1.2),
    facts=facts.elementwise("float32", keeps_zeros=True, sign="any", commutes=False),
)
TANH, tanh = unary("tanh", np.tanh, "NumPy tanh", facts=KEEPS)
SIGMOID, sigmoid = unary("sigmoid", _sigmoid, "ONNX Sigmoid", (-6.0, 6.0), facts=POSITIVE)
FLOOR, _floor = unary(
    "floor", np.floor, "NumPy floor", keeps_integers=True, differentiable=False, facts=KEEPS
)
CEIL, _ceil = unary("ceil", np.ceil, "NumPy ceil", keeps_integers=True, differentiable=False, facts=KEEPS)
ROUND, _round = unary(
    "round",
    np.round,
    "NumPy round (half to even)",
    keeps_integers=True,
    differentiable=False,
    facts=KEEPS,
)
SOFTPLUS, softplus = unary(
    "softplus", lambda x: np.logaddexp(x, 0), "ONNX Softplus", (-6.0, 6.0), facts=WIDE_POSITIVE
)
ADD, add = binary("add", np.add, "NumPy add", booleans="or", of_complex=True, facts=COMMUTES)
SUBTRACT, subtract = binary("subtract", np.subtract, "NumPy subtract", of_complex=True, facts=SIGNED)
MULTIPLY, multiply = binary(
    "multiply", np.multiply, "NumPy multiply", booleans="and", of_complex=True, facts=COMMUTES
)
DIVIDE, divide = binary(
    "divide", np.true_divide, "NumPy true_divide", floats_only=True, second=(0.5, 2.0), facts=QUOTIENT
)
FLOOR_DIVIDE, floor_divide = binary(
    "floor_divide",
    np.floor_divide,
    "NumPy floor_divide",
    second=(0.5, 2.0),
    differentiable=False,
    facts=QUOTIENT,
)
REMAINDER, remainder = binary(
    "remainder",
    np.remainder,
    "NumPy remainder (sign of the divisor)",
    second=(3.0, 4.0),
    first=(0.2, 2.5),
    facts=QUOTIENT,
)
POWER, power = binary("power", np.power, "NumPy power", first=(0.3, 2.0), of_complex=True, facts=WIDE_KEPT)
MAXIMUM, maximum = binary("maximum", np.maximum, "NumPy maximum", booleans="or", facts=COMMUTES)
MINIMUM, minimum = binary("minimum", np.minimum, "NumPy minimum", booleans="and", facts=COMMUTES)


def square(x: TensorLike) -> Any:
    """Elementwise square of ``x`` (NumPy square).

    Integers keep their dtype, booleans become int32. Raises `DTypeError` for a random key.
    """
    return _square(cast(x, int32) if type_of(x).dtype == bool_ else x)


def floor(x: TensorLike) -> Any:
    """The largest whole number that is not above each element of ``x`` (NumPy floor).

    Integers and booleans become float32. Raises `DTypeError` for a random key.
    """
    return bind(FLOOR, floating(x))


def ceil(x: TensorLike) -> Any:
    """The smallest whole number that is not below each element of ``x`` (NumPy ceil).

    Integers and booleans become float32. Raises `DTypeError` for a random key.
    """
    return bind(CEIL, floating(x))


def trunc(x: TensorLike) -> Any:
    """``x`` without the digits behind the point (NumPy trunc). Integers and booleans stay as they are."""
    if not need_order(type_of(x)).dtype.is_float:
        return cast(x, type_of(x).dtype)
    return where(less(x, 0), bind(CEIL, x), bind(FLOOR, x))


def round(x: TensorLike, decimals: int = 0) -> Any:
    """``x`` rounded to ``decimals`` digits behind the point, halves to even (NumPy round).

    Args:
        decimals: how many; below zero to tens, hundreds …

    Integers keep their dtype, booleans become float32.
    """
    dtype = type_of(x).dtype
    if not decimals or dtype == bool_:
        return _round(x)
    if dtype.is_integer:
        return x if decimals > 0 else _round_integer(x, 10**-decimals, dtype)
    if not -300 <= decimals <= 300:
        raise ArgumentError(f"round: decimals is an int from -300 to 300, not {decimals}.")
    scale = 10.0 ** builtins.abs(decimals)
    if decimals > 0:
        return divide(_round(multiply(x, scale)), scale)
    return multiply(_round(divide(x, scale)), scale)


def _round_integer(x: TensorLike, step: int, dtype: DType) -> Any:
    if step > np.iinfo(dtype.numpy).max:
        return multiply(x, 0)
    below = floor_divide(x, step)
    rest = subtract(x, multiply(below, step))
    beyond = subtract(step, rest)  # compared with the rest: twice the rest might not fit
    odd = not_equal(remainder(below, 2), 0)
    up = logical_or(less(beyond, rest), logical_and(equal(beyond, rest), odd))
    return multiply(add(below, cast(up, dtype)), step)


def logaddexp(x1: TensorLike, x2: TensorLike) -> Any:
    """``log(exp(x1) + exp(x2))`` of each element, without overflow (NumPy logaddexp).

    The two broadcast, and are promoted to a float dtype. Raises `ShapeError` if they do not broadcast.
    """
    x1, x2 = promoted(x1, x2)
    x1, x2 = floating(x1), floating(x2)
    apart = where(equal(x1, x2), 0.0, subtract(x1, x2))  # of two equal infinities the difference is nan
    return add(maximum(x1, x2), softplus(negative(abs(apart))))


def _where_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for a, b in PAIRS:
        yield Sample((rng.random(a) < 0.5, rng.normal(size=b), rng.normal(size=a)))


def _where_rule(condition: TensorType, x: TensorType, y: TensorType) -> TensorType:
    if condition.dtype != bool_:
        raise DTypeError(f"where takes a boolean condition, not {condition.dtype}.")
    return TensorType(same_dtype(x, y), broadcast(condition.shape, x.shape, y.shape, unify=True))


WHERE = register(
    OpSpec("where", _where_rule, np.where, _where_samples, "NumPy where; ONNX Where", facts=KEEPS)
)


def where(condition: TensorLike, x1: TensorLike | None = None, x2: TensorLike | None = None) -> Any:
    """Elements of ``x1`` where ``condition`` holds, else of ``x2`` (NumPy where); of a condition alone, `nonzero`.

    The three broadcast; ``x1`` and ``x2`` are promoted to one dtype, numbers in ``condition`` count as true unless
    they are zero. Raises `ShapeError` if they do not broadcast, `ArgumentError` if one of ``x1`` and ``x2`` is
    given without the other.
    """
    if x1 is None or x2 is None:
        if x1 is not x2:
            raise ArgumentError("where takes both x1 and x2, or neither.")
        from unifront.opset.sizes import nonzero  # a family above this one

        return nonzero(condition)
    x1, x2 = promoted(x1, x2)
    return bind(WHERE, cast(condition, "bool"), x1, x2)


def _clip_rule(x: TensorType, minimum: float, maximum: float) -> TensorType:
    if x.dtype.kind in "bk":
        raise DTypeError(f"clip takes numbers, not {x.dtype}; cast it first.")
    if x.dtype.is_integer and not (isinstance(minimum, int) and isinstance(maximum, int)):
        raise DTypeError(f"clip: the bounds {minimum} and {maximum} of {x.dtype} are ints; cast x first.")
    return need_order(x)


CLIP = register(
    OpSpec(
        "clip",
        rule=_clip_rule,
        reference=lambda x, minimum, maximum: np.clip(x, minimum, maximum),
        samples=lambda rng: (
            Sample((rng.normal(size=s),), {"minimum": -0.5, "maximum": 0.75}) for s in SHAPES
        ),
        source="NumPy clip; ONNX Clip",
        attributes={"minimum": (float, int), "maximum": (float, int)},
        facts=facts.elementwise(
            "half",
            keeps_zeros=lambda a: a["minimum"] <= 0 <= a["maximum"],
            sign=lambda a: "not negative" if a["minimum"] >= 0 else "any",
            commutes=False,
        ),
    )
)


def clip(x: TensorLike, x_min: TensorLike | None, x_max: TensorLike | None) -> Any:
    """``x`` limited to ``[x_min, x_max]`` (NumPy clip). The gradient outside is zero.

    Args:
        x_min, x_max: numbers, or tensors that broadcast against ``x``; None for no limit.

    Integers stay integers between ints, and become float32 between floats; booleans become int32. Raises
    `ArgumentError` if both are numbers and ``x_min`` is above ``x_max``, `DTypeError` for keys.
    """
    if type_of(x).dtype == bool_:
        x = cast(x, int32)
    if not (isinstance(x_min, int | float) and isinstance(x_max, int | float)):
        x = x if x_min is None else maximum(x, x_min)
        return x if x_max is None else minimum(x, x_max)
    if x_min > x_max:
        raise ArgumentError(f"clip: x_min, {x_min}, is above x_max, {x_max}.")
    if isinstance(x_min, float) or isinstance(x_max, float):
        x = floating(x)
    kind = int if type_of(x).dtype.is_integer else float
    return bind(CLIP, x, minimum=kind(x_min), maximum=kind(x_max))


STOP_GRADIENT = register(
    OpSpec(
        "stop_gradient",
        rule=lambda x: x,
        reference=lambda x: x,
        samples=lambda rng: (Sample((rng.normal(size=shape),), wrt=()) for shape in SHAPES),
        source="Keras ops.stop_gradient: the identity, with gradient zero",
        differentiable=False,
        facts=replace(KEEPS, fresh=False),
        flops=flops.none,
    )
)


def stop_gradient(variable: TensorLike) -> Any:
    """``variable`` itself, through which no gradient flows (Keras ops.stop_gradient)."""
    return bind(STOP_GRADIENT, variable)


absolute, mod, true_divide = abs, remainder, divide
