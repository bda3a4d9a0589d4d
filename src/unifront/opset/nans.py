"""Reductions over the elements that are numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from unifront.opset import comparison, reduce
from unifront.opset import elementwise as e
from unifront.opset.casting import TensorLike, cast, floating
from unifront.opset.predicates import isnan
from unifront.opset.tensor import type_of

Axes = int | Sequence[int] | None


def _filled(x: TensorLike, value: float) -> Any:
    return e.where(comparison.not_equal(x, x), value, x) if type_of(x).dtype.kind in "fc" else x


def nansum(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Any:
    """`sum` of the elements of ``x`` over ``axis`` that are numbers (NumPy nansum)."""
    return reduce.sum(_filled(x, 0), axis, keepdims)


def nanprod(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Any:
    """`prod` of the elements of ``x`` over ``axis`` that are numbers (NumPy nanprod)."""
    return reduce.prod(_filled(x, 1), axis, keepdims)


def nanmax(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Any:
    """`max` of the elements of ``x`` over ``axis`` that are numbers; nan where there are none (NumPy nanmax)."""
    return _numbers(reduce.max, -math.inf, x, axis, keepdims)


def nanmin(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Any:
    """`min` of the elements of ``x`` over ``axis`` that are numbers; nan where there are none (NumPy nanmin)."""
    return _numbers(reduce.min, math.inf, x, axis, keepdims)


def _numbers(extremum: Any, lowest: float, x: TensorLike, axis: Axes, keepdims: bool) -> Any:
    if not type_of(x).dtype.is_float:
        return extremum(x, axis, keepdims)
    nothing = reduce.all(isnan(x), axis, keepdims)
    return e.where(nothing, math.nan, extremum(_filled(x, lowest), axis, keepdims))


def nanargmax(x: TensorLike, axis: int | None = None, keepdims: bool = False) -> Any:
    """`argmax` among the elements of ``x`` along ``axis`` that are numbers; -1 for none (Keras nanargmax)."""
    return _number(reduce.argmax, -math.inf, x, axis, keepdims)


def nanargmin(x: TensorLike, axis: int | None = None, keepdims: bool = False) -> Any:
    """`argmin` among the elements of ``x`` along ``axis`` that are numbers; -1 for none (Keras nanargmin)."""
    return _number(reduce.argmin, math.inf, x, axis, keepdims)


def _number(position: Any, worst: float, x: TensorLike, axis: int | None, keepdims: bool) -> Any:
    if not type_of(x).dtype.is_float:
        return position(x, axis, keepdims)
    unknown = isnan(x)
    numbers = cast(comparison.logical_not(unknown), "int32")
    best = position(_filled(x, worst), axis, keepdims)
    # Where no number is better than what nan was taken for, the first number is meant, and no nan before it.
    better = comparison.not_equal(_filled(x, worst), worst)
    found = e.where(reduce.any(better, axis, keepdims), best, reduce.argmax(numbers, axis, keepdims))
    return e.where(reduce.all(unknown, axis, keepdims), -1, found)


def nanmean(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Any:
    """`mean` of the elements of ``x`` over ``axis`` that are numbers; nan where there are none (NumPy nanmean)."""
    x = floating(x)
    return e.divide(nansum(x, axis, keepdims), _count(x, axis, keepdims))


def nanvar(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Any:
    """`var` of the elements of ``x`` over ``axis`` that are numbers; nan where there are none (NumPy nanvar)."""
    x = floating(x)
    off = e.where(isnan(x), 0.0, e.subtract(_filled(x, 0), nanmean(x, axis, keepdims=True)))
    return e.divide(reduce.sum(e.square(off), axis, keepdims), _count(x, axis, keepdims))


def nanstd(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Any:
    """`std` of the elements of ``x`` over ``axis`` that are numbers; nan where there are none (NumPy nanstd)."""
    return e.sqrt(nanvar(x, axis, keepdims))


def _count(x: Any, axis: Axes, keepdims: bool) -> Any:
    return reduce.sum(cast(comparison.logical_not(isnan(x)), type_of(x).dtype), axis, keepdims)
