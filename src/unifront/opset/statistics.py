"""Quantiles, averages, correlations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from unifront.dtypes import DType, float32, float64, int32
from unifront.errors import ArgumentError, DTypeError, ShapeError
from unifront.ir.dims import DimExpr
from unifront.opset import comparison, index, linalg, reduce
from unifront.opset import elementwise as e
from unifront.opset.arrays import host_array
from unifront.opset.casting import TensorLike, cast, floating, promoted
from unifront.opset.conv import conv
from unifront.opset.creation import full
from unifront.opset.padding import pad
from unifront.opset.predicates import isnan
from unifront.opset.rules import axes_in, show
from unifront.opset.shape import expand_dims, flatten, moveaxis, reshape, squeeze, transpose
from unifront.opset.slicing import flip
from unifront.opset.tensor import is_tensor, replayed, type_of

Axes = int | Sequence[int] | None
METHODS = ("linear", "lower", "higher", "midpoint", "nearest")


@replayed
def average(x: TensorLike, axis: Axes = None, weights: TensorLike | None = None) -> Any:
    """The mean of ``x`` over ``axis``, in which each element counts as ``weights`` say (NumPy average).

    Args:
        axis: an int, several, or None for all.
        weights: of the shape of ``x``, or of its one axis.

    Integers become float32. Raises `ShapeError` for weights that do not fit.
    """
    if weights is None:
        return reduce.mean(x, axis)
    x, weights = promoted(x, weights)
    x, weights = floating(x), floating(weights)
    shape, given = type_of(x).shape, type_of(weights).shape
    if given != shape:
        axes = axes_in(axis, len(shape))
        if len(given) != 1 or len(axes) != 1 or given[0] != shape[axes[0]]:
            raise ShapeError(
                f"average: weights of shape {show(given)} fit neither x, {show(shape)}, nor its axis {axis}."
            )
        weights = reshape(weights, (-1, *(1,) * (len(shape) - 1 - axes[0])))
        return e.divide(reduce.sum(e.multiply(x, weights), axis), reduce.sum(weights))
    return e.divide(reduce.sum(e.multiply(x, weights), axis), reduce.sum(weights, axis))


def quantile(
    x: TensorLike, q: TensorLike, axis: Axes = None, method: str = "linear", keepdims: bool = False
) -> Any:
    """Below which number the share ``q`` of ``x`` over ``axis`` is (NumPy quantile).

    Args:
        q: shares in [0, 1], one or a vector of them; the axis of a vector is the first of the result.
        axis: an int, several, or None for all.
        method: what there is between two elements: ``"linear"``, ``"lower"``, ``"higher"``, ``"midpoint"`` or
            ``"nearest"``.
        keepdims: keep the axes, 1 long.

    Integers become float32; with nan among the elements it is nan. Raises `ArgumentError` for other shares and
    methods.
    """
    return _quantile("quantile", x, q, axis, method, keepdims, False)


def nanquantile(
    x: TensorLike, q: TensorLike, axis: Axes = None, method: str = "linear", keepdims: bool = False
) -> Any:
    """`quantile` of the elements that are numbers; nan where there are none (NumPy nanquantile)."""
    return _quantile("nanquantile", x, q, axis, method, keepdims, True)


def percentile(
    x: TensorLike, q: TensorLike, axis: Axes = None, method: str = "linear", keepdims: bool = False
) -> Any:
    """`quantile` with ``q`` in percent (NumPy percentile)."""
    return _quantile("percentile", x, _hundredth(q), axis, method, keepdims, False)


def nanpercentile(
    x: TensorLike, q: TensorLike, axis: Axes = None, method: str = "linear", keepdims: bool = False
) -> Any:
    """`nanquantile` with ``q`` in percent (NumPy nanpercentile)."""
    return _quantile("nanpercentile", x, _hundredth(q), axis, method, keepdims, True)


def median(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Any:
    """The number in the middle of ``x`` over ``axis``, or the mean of the two there (NumPy median).

    Args:
        axis: an int, several, or None for all.
        keepdims: keep the axes, 1 long.

    Integers become float32; with nan among the elements it is nan.
    """
    return _quantile("median", x, 0.5, axis, "linear", keepdims, False)


def nanmedian(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Any:
    """`median` of the elements that are numbers; nan where there are none (NumPy nanmedian)."""
    return _quantile("nanmedian", x, 0.5, axis, "linear", keepdims, True)


def _hundredth(q: Any) -> Any:
    return np.divide(_shares(q), 100) if _is_known(q) else e.divide(q, 100)


def _is_known(q: Any) -> bool:
    return not is_tensor(q) or isinstance(q, np.ndarray | np.generic)


def _shares(q: Any) -> np.ndarray:
    host_array(q)  # says what is wrong with what are no numbers
    if np.iscomplexobj(q):
        raise DTypeError("A share is a real number, not a complex one.")
    return np.asarray(q, np.float64)


@replayed
def _quantile(
    name: str, x: TensorLike, q: TensorLike, axis: Axes, method: str, keepdims: bool, numbers_only: bool
) -> Any:
    if method not in METHODS:
        raise ArgumentError(f"{name}: method is one of {', '.join(METHODS)}; not {method!r}.")
    x = floating(x)
    dtype, rank = type_of(x).dtype, type_of(x).rank
    axes = axes_in(axis, rank)
    others = tuple(one for one in range(rank) if one not in axes)
    shape = type_of(x).shape
    rows = (
        reshape(transpose(x, (*others, *axes)), (*[shape[one] for one in others], -1))
        if rank
        else reshape(x, (1,))
    )
    if numbers_only and type_of(rows).shape[-1] == 0:  # nothing but nan is nan too
        rows = full((*type_of(rows).shape[:-1], 1), math.nan, dtype, like=rows)
    unknown = isnan(rows)
    if numbers_only:
        rows = e.where(unknown, math.inf, rows)
        count = reduce.sum(cast(comparison.logical_not(unknown), int32), -1, keepdims=True)
        bad = comparison.equal(count, 0)
    else:
        length = type_of(rows).shape[-1]
        every = comparison.logical_or(unknown, True)
        free = isinstance(length, DimExpr)
        count = reduce.sum(cast(every, int32), -1, keepdims=True) if free else length
        bad = reduce.any(unknown, -1, keepdims=True)
    if isinstance(count, int) and not count:
        raise ShapeError(f"{name}: the shape {show(shape)} has no elements over the axes {axes}.")
    ordered = index.sort(rows, -1)
    host, position, scalar = _positions(name, q, count, dtype)
    between = _between_known if host else _between_traced
    found = e.where(bad, math.nan, between(ordered, position, method, dtype))
    found = squeeze(found, -1) if scalar else moveaxis(found, -1, 0)
    for one in axes if keepdims else ():
        found = expand_dims(found, one if scalar else one + 1)
    return found


def _positions(name: str, q: Any, count: Any, dtype: DType) -> tuple[bool, Any, bool]:
    """Where ``q`` lies among ``count`` ordered elements, in NumPy where both are known; is it there, is ``q`` one."""
    if not _is_known(q):
        if type_of(q).rank > 1:
            raise ArgumentError(
                f"{name}: q is a share or a vector of them, not of shape {show(type_of(q).shape)}."
            )
        scalar = type_of(q).rank == 0
        shares: Any = reshape(q, (-1,))
    else:
        array = _shares(q)
        if array.ndim > 1 or not np.all((array >= 0) & (array <= 1)):
            raise ArgumentError(f"{name}: q is a share or a vector of them, from none to all; not {q!r}.")
        scalar, shares = array.ndim == 0, array.reshape(-1)
        if isinstance(count, int):
            return True, shares * (count - 1), scalar
    wide = dtype if dtype == float64 else float32
    last = e.maximum(e.subtract(cast(count, wide), 1), 0)
    return False, e.multiply(last, cast(shares, wide)), scalar


def _between_known(ordered: Any, position: np.ndarray, method: str, dtype: DType) -> Any:
    places = [f(position).astype(np.int32) for f in (np.floor, np.ceil, np.round)]
    weight = (position - np.floor(position)).astype(dtype.numpy)
    return _between([index.take(ordered, one, -1) for one in places], weight, method)


def _between_traced(ordered: Any, position: Any, method: str, dtype: DType) -> Any:
    shape = type_of(position).shape
    position = reshape(position, (*(1,) * (type_of(ordered).rank - len(shape)), *shape))
    places = [cast(f(position), int32) for f in (e.floor, e.ceil, e.round)]
    weight = cast(e.subtract(position, e.floor(position)), dtype)
    return _between([index.take_along_axis(ordered, one, -1) for one in places], weight, method)


def _between(elements: Sequence[Any], weight: Any, method: str) -> Any:
    """What there is at places that are not whole, of the elements below, above and nearest."""
    below, above, nearest = elements
    if method == "midpoint":
        return e.multiply(e.add(below, above), 0.5)
    if method != "linear":
        return {"lower": below, "higher": above, "nearest": nearest}[method]
    apart = e.where(comparison.equal(below, above), 0.0, e.subtract(above, below))  # infinities may be equal
    return e.add(below, e.multiply(apart, weight))


@replayed
def corrcoef(x: TensorLike) -> Any:
    """The correlations of the rows of ``x`` with each other (NumPy corrcoef).

    Args:
        x: ``[variables, observations]``, or one variable. Integers become float32.
    """
    x = floating(x)
    if type_of(x).rank > 2:
        raise ShapeError(f"corrcoef: x has one dimension or two, not the shape {show(type_of(x).shape)}.")
    rows = x if type_of(x).rank == 2 else expand_dims(x, 0)
    off = e.subtract(rows, reduce.mean(rows, -1, keepdims=True))
    size = e.sqrt(reduce.sum(e.square(off), -1, keepdims=True))
    off = e.divide(off, size)
    found = e.clip(linalg.matmul(off, transpose(off, (1, 0))), -1.0, 1.0)
    return found if type_of(x).rank == 2 else reshape(found, ())


@replayed
def correlate(x1: TensorLike, x2: TensorLike, mode: str = "valid") -> Any:
    """Sums of products of ``x2`` with the parts of ``x1`` that it is slid along (NumPy correlate).

    Args:
        x1, x2: of one dimension, with known sizes; integers become float32.
        mode: ``"valid"``, where the two overlap in full; ``"same"``, as long as the longer one; ``"full"``, wherever
            they overlap.
    """
    if mode not in ("valid", "same", "full"):
        raise ArgumentError(f"correlate: mode is 'valid', 'same' or 'full', not {mode!r}.")
    x1, x2 = promoted(x1, x2)
    x1, x2 = floating(x1), floating(x2)
    n, m = (_length(x) for x in (x1, x2))
    if n < m:
        return flip(correlate(x2, x1, mode), 0)
    before = {"valid": 0, "same": m // 2, "full": m - 1}[mode]
    after = {"valid": 0, "same": (m - 1) // 2, "full": m - 1}[mode]
    signal = reshape(pad(x1, ((before, after),)), (1, -1, 1))
    return flatten(conv(signal, reshape(x2, (m, 1, 1)), data_format="channels_last"))


def _length(x: Any) -> int:
    (size,) = type_of(x).shape if type_of(x).rank == 1 else (None,)
    if not isinstance(size, int) or not size:
        raise ShapeError(f"correlate takes vectors of known sizes, not the shape {show(type_of(x).shape)}.")
    return size
