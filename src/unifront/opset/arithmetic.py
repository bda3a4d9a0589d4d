"""Arithmetic made of other operations."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes

from unifront.dtypes import DType
from unifront.errors import DTypeError
from unifront.opset import comparison, control, reduce
from unifront.opset import elementwise as e
from unifront.opset.casting import TensorLike, cast, floating, promoted
from unifront.opset.predicates import isnan
from unifront.opset.tensor import bind, type_of


def fabs(x: TensorLike) -> Any:
    """`abs` of ``x`` as a float (NumPy fabs)."""
    return e.abs(floating(x))


def cbrt(x: TensorLike) -> Any:
    """The cube root of each element of ``x``, negative where it is (NumPy cbrt). Integers become float32."""
    x = floating(x)
    return e.multiply(e.sign(x), e.power(e.abs(x), 1 / 3))


def exp2(x: TensorLike) -> Any:
    """``2**x`` of each element (NumPy exp2). Integers and booleans become float32."""
    return e.power(2.0, floating(x))


def log2(x: TensorLike) -> Any:
    """The logarithm of ``x`` to base 2 (NumPy log2). Integers and booleans become float32."""
    return e.divide(e.log(floating(x)), math.log(2))


def log10(x: TensorLike) -> Any:
    """The logarithm of ``x`` to base 10 (NumPy log10). Integers and booleans become float32."""
    return e.divide(e.log(floating(x)), math.log(10))


def logaddexp2(x1: TensorLike, x2: TensorLike) -> Any:
    """``log2(2**x1 + 2**x2)`` of each element, without overflow (NumPy logaddexp2).

    The two broadcast, and are promoted to a float dtype. Raises `ShapeError` if they do not broadcast.
    """
    x1, x2 = promoted(x1, x2)
    x1, x2 = floating(x1), floating(x2)
    apart = e.abs(e.where(comparison.equal(x1, x2), 0.0, e.subtract(x1, x2)))
    return e.add(e.maximum(x1, x2), e.divide(e.log1p(exp2(e.negative(apart))), math.log(2)))


def fmod(x1: TensorLike, x2: TensorLike) -> Any:
    """The rest of dividing ``x1`` by ``x2``, with the sign of ``x1`` (NumPy fmod; ONNX Mod with fmod).

    The two broadcast, and are promoted to one dtype. Raises `ShapeError` if they do not broadcast.
    """
    x1, x2 = promoted(x1, x2)
    if type_of(x1).dtype.kind == "u":
        return e.remainder(x1, x2)
    rest = e.remainder(e.abs(x1), e.abs(x2))
    return e.where(comparison.less(x1, 0), e.negative(rest), rest)


def divide_no_nan(x1: TensorLike, x2: TensorLike) -> Any:
    """``x1 / x2``, and zero where ``x2`` is zero; so is its gradient (Keras divide_no_nan).

    The two broadcast, and are promoted to a float dtype. Raises `ShapeError` if they do not broadcast.
    """
    x1, x2 = promoted(x1, x2)
    x1, x2 = floating(x1), floating(x2)
    undefined = comparison.equal(x2, 0)
    return e.where(undefined, 0.0, e.divide(x1, e.where(undefined, 1.0, x2)))


def fmax(x1: TensorLike, x2: TensorLike) -> Any:
    """The larger of ``x1`` and ``x2``; of nan and a number the number (NumPy fmax)."""
    x1, x2 = promoted(x1, x2)
    if not type_of(x1).dtype.is_float:
        return e.maximum(x1, x2)
    return e.where(isnan(x1), x2, e.where(isnan(x2), x1, e.maximum(x1, x2)))


def fmin(x1: TensorLike, x2: TensorLike) -> Any:
    """The smaller of ``x1`` and ``x2``; of nan and a number the number (NumPy fmin)."""
    x1, x2 = promoted(x1, x2)
    if not type_of(x1).dtype.is_float:
        return e.minimum(x1, x2)
    return e.where(isnan(x1), x2, e.where(isnan(x2), x1, e.minimum(x1, x2)))


def heaviside(x1: TensorLike, x2: TensorLike) -> Any:
    """Zero where ``x1`` is negative, one where it is positive, ``x2`` where it is zero (NumPy heaviside).

    The two broadcast, and are promoted to a float dtype. Raises `ShapeError` if they do not broadcast.
    """
    x1, x2 = promoted(x1, x2)
    x1, x2 = floating(x1), floating(x2)
    step = cast(comparison.greater(x1, 0), type_of(x1).dtype)
    return e.where(isnan(x1), x1, e.where(comparison.equal(x1, 0), x2, step))


def nan_to_num(
    x: TensorLike, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Any:
    """``x`` with numbers in place of what is none (NumPy nan_to_num).

    Args:
        nan: in place of nan.
        posinf, neginf: in place of the infinities; None: the largest and the smallest number of the dtype.

    Integers and booleans stay as they are; of complex numbers it is done to both parts.
    """
    dtype = type_of(x).dtype
    if dtype.is_complex:
        from unifront.opset.complex_numbers import COMPLEX, PARTS  # a family above this one

        return bind(COMPLEX, *(nan_to_num(part, nan, posinf, neginf) for part in bind(PARTS, x)))
    if not dtype.is_float:
        return cast(x, dtype)
    largest = float(ml_dtypes.finfo(dtype.numpy).max)
    x = e.where(isnan(x), nan, x)
    x = e.where(comparison.equal(x, math.inf), largest if posinf is None else posinf, x)
    return e.where(comparison.equal(x, -math.inf), -largest if neginf is None else neginf, x)


def ldexp(x1: TensorLike, x2: TensorLike) -> Any:
    """``x1 * 2**x2`` of each element, exactly (NumPy ldexp).

    Args:
        x1: numbers; integers become float32.
        x2: integers. The two broadcast.

    Raises `DTypeError` if ``x2`` is no integer, `ShapeError` if they do not broadcast.
    """
    if not type_of(x2).dtype.is_integer:
        raise DTypeError(f"ldexp: x2 is an integer, not {type_of(x2).dtype}.")
    x = floating(x1)
    dtype = type_of(x).dtype
    most = int(ml_dtypes.finfo(dtype.numpy).maxexp) - 2
    # Three factors, each of which is a number of the dtype wherever the product is one.
    exponent = e.clip(cast(x2, "int32"), -3 * most, 3 * most)
    first = e.floor_divide(exponent, 3)
    second = e.floor_divide(e.subtract(exponent, first), 2)
    third = e.subtract(e.subtract(exponent, first), second)
    for part in (first, second, third):
        x = e.multiply(x, e.power(2.0, cast(part, dtype)))
    return x


def nextafter(x1: TensorLike, x2: TensorLike) -> Any:
    """The number of the dtype that follows ``x1`` on the way to ``x2`` (NumPy nextafter).

    The two broadcast, and are promoted to a float dtype. Where a backend takes subnormal numbers for zero, so does
    this. The source is Rump, Zimmermann, Boldo and Melquiond 2009, "Computing predecessor and successor in rounding
    to nearest".
    """
    x1, x2 = promoted(x1, x2)
    x1, x2 = floating(x1), floating(x2)
    return e.stop_gradient(_next(x1, x2, type_of(x1).dtype))


def _next(x: Any, toward: Any, dtype: DType) -> Any:
    limits = ml_dtypes.finfo(dtype.numpy)
    unit, tiny, least = float(limits.eps) / 2, float(limits.tiny), float(limits.smallest_subnormal)
    up = cast(comparison.greater(toward, x), dtype)
    way = e.subtract(e.multiply(up, 2), 1)
    size = e.abs(x)
    fraction = unit * (1 + 2 * unit)  # of a number: more than half the way to the next, less than twice it
    plain = e.add(x, e.multiply(way, e.multiply(size, fraction)))
    scale = 1 / unit  # keeps that from being subnormal
    scaled = e.multiply(x, scale)
    small = e.multiply(e.add(scaled, e.multiply(way, e.multiply(e.abs(scaled), fraction))), unit)
    outward = comparison.greater_equal(e.multiply(way, x), 0)
    subnormal = comparison.less(size, e.where(outward, 2 * tiny, 2 * tiny * (1 + 2 * unit)))
    found = e.where(comparison.less(size, tiny / unit), small, plain)
    found = e.where(subnormal, e.add(x, e.multiply(way, least)), found)
    found = e.where(comparison.equal(size, math.inf), e.multiply(way, -float(limits.max)), found)
    found = e.where(comparison.equal(x, toward), toward, found)
    return e.where(comparison.logical_or(isnan(x), isnan(toward)), math.nan, found)


def gcd(x1: TensorLike, x2: TensorLike) -> Any:
    """The greatest common divisor of each pair of integers, by Euclid's algorithm (NumPy gcd).

    The two broadcast, and are promoted to one dtype. Raises `DTypeError` for floats, `ShapeError` if they do not
    broadcast.
    """
    x1, x2 = _integers("gcd", x1, x2)

    def step(a: Any, b: Any) -> tuple[Any, Any]:
        done = comparison.equal(b, 0)
        rest = e.remainder(a, e.where(done, 1, b))
        return e.where(done, a, b), e.where(done, 0, rest)

    a = e.add(e.abs(x1), e.multiply(x2, 0))
    b = e.add(e.abs(x2), e.multiply(x1, 0))
    return control.while_loop(lambda a, b: reduce.any(comparison.not_equal(b, 0)), step, (a, b))[0]


def lcm(x1: TensorLike, x2: TensorLike) -> Any:
    """The least common multiple of each pair of integers, zero where one is zero (NumPy lcm).

    The two broadcast, and are promoted to one dtype. Raises `DTypeError` for floats, `ShapeError` if they do not
    broadcast.
    """
    x1, x2 = _integers("lcm", x1, x2)
    divisor = gcd(x1, x2)
    divisor = e.where(comparison.equal(divisor, 0), 1, divisor)
    return e.multiply(e.floor_divide(e.abs(x1), divisor), e.abs(x2))


def _integers(name: str, x1: TensorLike, x2: TensorLike) -> tuple[Any, Any]:
    x1, x2 = promoted(x1, x2)
    if not type_of(x1).dtype.is_integer:
        raise DTypeError(f"{name} takes integers, not {type_of(x1).dtype}.")
    return x1, x2
