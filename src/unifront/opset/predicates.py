"""Questions about each number, and what they make easy."""

from __future__ import annotations

import math
from typing import Any

from unifront.opset import comparison, reduce
from unifront.opset import elementwise as e
from unifront.opset.casting import TensorLike, floating, promoted
from unifront.opset.complex_numbers import imag
from unifront.opset.tensor import type_of


def isnan(x: TensorLike) -> Any:
    """Whether each element of ``x`` is not a number (NumPy isnan)."""
    return comparison.not_equal(x, x)


def isposinf(x: TensorLike) -> Any:
    """Whether each element of ``x`` is positive infinity (NumPy isposinf)."""
    return comparison.equal(floating(x), math.inf)


def isneginf(x: TensorLike) -> Any:
    """Whether each element of ``x`` is negative infinity (NumPy isneginf)."""
    return comparison.equal(floating(x), -math.inf)


def isinf(x: TensorLike) -> Any:
    """Whether each element of ``x`` is infinite (NumPy isinf)."""
    return comparison.equal(e.abs(floating(x)), math.inf)


def isfinite(x: TensorLike) -> Any:
    """Whether each element of ``x`` is a number, and not infinite (NumPy isfinite)."""
    return comparison.less(e.abs(floating(x)), math.inf)


def isreal(x: TensorLike) -> Any:
    """Whether each element of ``x`` has no imaginary part (NumPy isreal)."""
    if type_of(x).dtype.is_complex:
        return comparison.equal(imag(x), 0)
    return comparison.logical_or(True, comparison.not_equal(x, x))


def signbit(x: TensorLike) -> Any:
    """Whether each element of ``x`` is negative, or negative zero (NumPy signbit); of nan it is false."""
    x = floating(x)
    return comparison.less(e.where(comparison.equal(x, 0), e.reciprocal(x), x), 0)


def isclose(
    x1: TensorLike, x2: TensorLike, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Any:
    """Whether ``abs(x1 - x2) <= atol + rtol * abs(x2)``, for each element (NumPy isclose).

    Args:
        rtol, atol: the relative and the absolute bound.
        equal_nan: count two nan as close.

    The two broadcast; infinities are close to themselves only.
    """
    x1, x2 = promoted(x1, x2)
    x1, x2 = floating(x1), floating(x2)
    off = e.abs(e.subtract(x1, x2))
    near = comparison.less_equal(off, e.add(e.multiply(e.abs(x2), rtol), atol))
    found = comparison.logical_or(comparison.logical_and(near, isfinite(x2)), comparison.equal(x1, x2))
    return comparison.logical_or(found, comparison.logical_and(isnan(x1), isnan(x2))) if equal_nan else found


def allclose(
    x1: TensorLike, x2: TensorLike, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Any:
    """Whether all of ``x1`` and ``x2`` are close, see `isclose` (NumPy allclose)."""
    return reduce.all(isclose(x1, x2, rtol, atol, equal_nan))
