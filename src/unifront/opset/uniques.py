"""The different elements of a tensor, or its different rows."""

from __future__ import annotations

import math
from typing import Any

from unifront.arguments import Count
from unifront.dtypes import bool_, int8, int32
from unifront.errors import ShapeError
from unifront.opset import comparison, creation, cumulative, index, reduce
from unifront.opset import elementwise as e
from unifront.opset.elementwise import TensorLike
from unifront.opset.rules import axis_in
from unifront.opset.shape import concatenate, moveaxis, reshape
from unifront.opset.sizes import boolean_mask
from unifront.opset.slicing import strided_slice
from unifront.opset.tensor import replayed, type_of


@replayed
def unique(
    x: TensorLike,
    sorted: bool = True,  # Keras's name
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    size: Count | None = None,
    fill_value: float | None = None,
) -> Any:
    """The different elements of ``x``, ascending (NumPy unique). Each NaN is an element of its own.

    Args:
        sorted: whether they must ascend; they do either way.
        return_index: give the place of the first of each too.
        return_inverse: give for each element of ``x`` too which of the different ones it is, in the shape of ``x``.
        return_counts: give how many there are of each too.
        axis: None looks at elements, an int at the parts along that axis, which are ordered by the first of their
            elements that differ.
        size: None for as many as there are. An int cuts them to so many, or fills up with ``fill_value`` (0 unless
            given), the places with that of the first, the counts with 0.

    Returns the different ones, or a tuple of these and what else was asked for, int32.
    """
    shape = type_of(x).shape
    place = None if axis is None else axis_in(axis, len(shape))
    moved = x if place is None else moveaxis(x, place, 0)
    rest = () if place is None else type_of(moved).shape[1:]
    rows = reshape(moved, (type_of(moved).shape[0] if place is not None else -1, math.prod(rest)))
    if type_of(rows).dtype == bool_:
        rows = e.cast(rows, int8)
    order = _order(rows)
    ordered = index.take(rows, order, 0)
    first = _first(ordered)
    count = type_of(order).shape[0]
    starts = boolean_mask(creation.iota((count,), 0, int32, like=order), first, size=size)
    found = e.cast(index.take(ordered, starts, 0), type_of(x).dtype)
    there = None if size is None else _there(starts, first)
    if there is not None:
        found = e.where(reshape(there, (-1, 1)), found, e.cast(fill_value or 0, type_of(x).dtype))
    found = reshape(found, (type_of(found).shape[0], *rest))
    results = [found if not place else moveaxis(found, 0, place)]
    if return_index:
        results.append(index.take(order, starts, 0))
    number = e.subtract(cumulative.cumsum(e.cast(first, int32), 0), 1)
    if return_inverse:
        inverse = index.take(number, index.argsort(order, 0), 0)
        results.append(inverse if place is not None else reshape(inverse, shape))
    if return_counts:
        behind = creation.full((1,), count, int32, like=order)
        if there is not None and size is not None:
            starts = e.where(there, starts, behind)
            behind = _start_of(number, size, behind)
        ends = concatenate([strided_slice(starts, [1], [None]), behind], 0)
        results.append(e.subtract(ends, starts))
    return results[0] if len(results) == 1 else tuple(results)


def _there(places: Any, first: Any) -> Any:
    """Which of so many places there is a different element for."""
    count = reduce.sum(e.cast(first, int32))
    return comparison.less(creation.iota(type_of(places).shape, 0, int32, like=places), count)


def _start_of(number: Any, size: int, length: Any) -> Any:
    """Where the first different element begins that ``size`` leaves out."""
    before = reduce.sum(e.cast(comparison.less(number, size), int32), 0, keepdims=True)
    return e.minimum(before, length)


def _order(rows: Any) -> Any:
    """The positions that order rows, those of equal ones as they stand: by stable sorting from the last column on."""
    count, width = type_of(rows).shape
    if not isinstance(width, int):
        raise ShapeError(
            f"unique: along an axis the others need known lengths; each part has {width} elements."
        )
    order = creation.iota((count,), 0, int32, like=rows)
    for column in range(width - 1, -1, -1):
        keys = reshape(strided_slice(rows, [0, column], [None, column + 1]), (count,))
        order = index.take(order, index.argsort(index.take(keys, order, 0), 0), 0)
    return order


def _first(ordered: Any) -> Any:
    """Whether each row differs from the one before it."""
    count, _ = type_of(ordered).shape
    start = comparison.equal(creation.iota((count,), 0, int32, like=ordered), 0)
    # Rolled by one, each row stands beside the one before it.
    before = concatenate([strided_slice(ordered, [-1], [None]), strided_slice(ordered, [0], [-1])], 0)
    return comparison.logical_or(start, reduce.any(comparison.not_equal(ordered, before), 1))
