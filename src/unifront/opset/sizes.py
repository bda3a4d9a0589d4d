"""Results whose size comes from values: what is not zero, what a mask picks, what differs.

In a graph the size is a symbol of its own (`bind_size`). XLA needs sizes before it runs: under JAX's jit give a
fixed ``size``, to which results are cut or filled up.
"""

from __future__ import annotations

from typing import Any, cast

from unifront.dtypes import bool_, int32
from unifront.errors import ShapeError
from unifront.ir.dims import Dim, DimExpr
from unifront.opset import comparison, creation, cumulative, index, reduce
from unifront.opset import elementwise as e
from unifront.opset.elementwise import TensorLike
from unifront.opset.rules import axis_in, is_whole, show, whole
from unifront.opset.shape import broadcast_to, expand_dims, flatten, reshape
from unifront.opset.slicing import REPEAT
from unifront.opset.tensor import bind, is_tensor, replayed, type_of


@replayed
def nonzero(x: TensorLike, *, size: int | None = None, fill_value: int = 0) -> tuple[Any, ...]:
    """Where ``x`` is not zero: a vector of positions, int32, for each axis, in order (NumPy nonzero).

    Args:
        size: None for as many as there are. An int cuts the positions to so many, or fills them up with
            ``fill_value`` (jax.numpy.nonzero).

    Raises `ShapeError` for a scalar.

    Example::

        uf.ops.nonzero(np.array([3, 0, 5]))  # (array([0, 2], dtype=int32),)
    """
    shape = type_of(x).shape
    if not shape:
        raise ShapeError("nonzero: a scalar has no axes; reshape it to (1,).")
    flat = flatten(e.cast(x, bool_))
    positions, inside = _positions(flat, size)
    found = []
    for dim in shape[:0:-1]:
        length = creation.full((), dim, int32, like=positions)
        found.append(e.remainder(positions, length))
        positions = e.floor_divide(positions, length)
    found.append(positions)
    if inside is not None:
        found = [e.where(inside, one, e.cast(fill_value, int32)) for one in found]
    return tuple(found[::-1])


@replayed
def boolean_mask(x: TensorLike, mask: TensorLike, size: int | None = None, fill_value: float = 0) -> Any:
    """The parts of ``x`` where ``mask`` holds, in order, along one axis in the place of the mask's (NumPy ``x[mask]``).

    Args:
        mask: booleans; its shape is that of the first axes of ``x``.
        size: None for as many as there are. An int cuts them to so many, or fills up with ``fill_value``.

    Raises `ShapeError` where the mask does not fit.
    """
    shape, marked = type_of(x).shape, type_of(mask)
    if marked.dtype != bool_ or not marked.rank or marked.shape != shape[: marked.rank]:
        raise ShapeError(f"boolean_mask: a mask of the type {marked} does not fit the shape {show(shape)}.")
    rows = reshape(x, (marked.size, *shape[marked.rank :]))
    positions, inside = _positions(flatten(mask), size)
    taken = index.take(rows, positions, 0)
    if inside is None:
        return taken
    kept = reshape(inside, (type_of(inside).shape[0], *(1,) * (len(shape) - marked.rank)))
    return e.where(kept, taken, e.cast(fill_value, type_of(x).dtype))


@replayed
def repeat(
    x: TensorLike, repeats: int | DimExpr | TensorLike, axis: int | None = None, *, size: int | None = None
) -> Any:
    """Each element along ``axis`` so many times over; None repeats the flattened ``x`` (NumPy repeat).

    Args:
        repeats: an int or size; or integers, one for each position of the axis: the result's length comes from them.
        size: the length of the result where ``repeats`` is a tensor, if it is to be fixed: what is more is cut, what
            is less is filled up with the last part (jax.numpy.repeat with ``total_repeat_length``).

    Raises `ShapeError` where there is not one number for each position, `ArgumentError` for a negative int.
    """
    if axis is None:
        x, axis = flatten(x), 0
    if not is_whole(repeats) and (is_tensor(repeats) or isinstance(repeats, list | tuple)):
        counts = index.whole_numbers("repeat", repeats)
        if type_of(counts).shape in ((), (1,)):  # one number for all positions
            counts = broadcast_to(counts, (type_of(x).shape[axis_in(axis, type_of(x).rank)],))
        return _repeat_each(x, counts, axis, size)
    if isinstance(repeats, DimExpr):
        shape, axis = type_of(x).shape, axis_in(axis, type_of(x).rank)
        apart = broadcast_to(expand_dims(x, axis + 1), (*shape[: axis + 1], repeats, *shape[axis + 1 :]))
        return reshape(apart, (*shape[:axis], shape[axis] * repeats, *shape[axis + 1 :]))
    times = whole(cast("int", repeats), "repeat: the number of repeats")  # not a tensor, and checked here
    return bind(REPEAT, x, repeats=times, axis=axis_in(axis, type_of(x).rank))


def _repeat_each(x: TensorLike, repeats: TensorLike, axis: int, size: int | None = None) -> Any:
    """`repeat` by a vector of numbers; the element of each place is found by comparing it with all ends."""
    rank = type_of(x).rank
    axis = axis_in(axis, rank)
    ends = cumulative.cumsum(e.cast(repeats, int32))
    if type_of(repeats).shape != (type_of(x).shape[axis],):
        raise ShapeError(
            f"repeat: {show(type_of(repeats).shape)} is not one number for each position of axis {axis} of "
            f"{show(type_of(x).shape)}."
        )
    places = _places(reduce.sum(e.cast(repeats, int32)), ends, size)
    before = comparison.less_equal(expand_dims(ends, 0), expand_dims(places, 1))
    last = creation.full((), type_of(x).shape[axis] - 1, int32, like=ends)
    return index.take(x, e.minimum(reduce.sum(e.cast(before, int32), 1), last), axis)


def _places(count: Any, like: Any, size: int | None) -> Any:
    """The positions 0, 1, … before ``count``, or before ``size``."""
    if size is not None:
        return creation.iota((whole(size, "size"),), 0, int32, like=like)
    bound = creation.bind_size(count)
    return creation.iota(type_of(bound).shape, 0, int32, like=bound)


def _positions(flat: Any, size: int | None) -> tuple[Any, Any]:
    """Where a boolean vector holds; with ``size``, so many positions and which of them are no filling."""
    count = reduce.sum(e.cast(flat, int32))
    order = index.argsort(
        e.cast(comparison.logical_not(flat), int32), 0
    )  # stable: the places that hold first
    places = _places(count, order, size)
    if size is None:
        return index.take(order, places, 0), None
    length: Dim = type_of(flat).shape[0]
    if length == 0:
        return places, comparison.less(places, count)
    last = creation.full((), length - 1, int32, like=order)
    return index.take(order, e.minimum(places, last), 0), comparison.less(places, e.minimum(count, size))
