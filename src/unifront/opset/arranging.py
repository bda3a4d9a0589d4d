"""Tensors put in another order, one beside the other, and cut apart."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from unifront.dtypes import int32
from unifront.errors import ArgumentError, ShapeError
from unifront.ir.dims import Dim, DimExpr, maximum, minimum
from unifront.opset import comparison, creation, index
from unifront.opset import elementwise as e
from unifront.opset.elementwise import TensorLike
from unifront.opset.rules import axis_in, dims_in, is_whole, listed, show, whole
from unifront.opset.shape import concatenate, expand_dims, reshape, split, swapaxes
from unifront.opset.slicing import flip, strided_slice
from unifront.opset.tensor import is_tensor, replayed, to_numpy, type_of


def ravel(x: TensorLike) -> Any:
    """The elements of ``x`` in order, along one axis (NumPy ravel)."""
    return reshape(x, (-1,))


def _need_rank(name: str, x: TensorLike, rank: int) -> None:
    shape = type_of(x).shape
    if len(shape) < rank:
        raise ShapeError(f"{name} takes at least {rank} dimensions; given was the shape {show(shape)}.")


def fliplr(x: TensorLike) -> Any:
    """``x`` with the order along axis 1 reversed (NumPy fliplr)."""
    _need_rank("fliplr", x, 2)
    return flip(x, 1)


def flipud(x: TensorLike) -> Any:
    """``x`` with the order along axis 0 reversed (NumPy flipud)."""
    _need_rank("flipud", x, 1)
    return flip(x, 0)


def rot90(array: TensorLike, k: int = 1, axes: Sequence[int] = (0, 1)) -> Any:
    """``array`` turned ``k`` times by 90 degrees in the plane of two axes, from the first to the second (NumPy rot90).

    Raises `ShapeError` for fewer than two dimensions, `ArgumentError` unless ``axes`` are two different ones.
    """
    _need_rank("rot90", array, 2)
    rank = type_of(array).rank
    places = [axis_in(axis, rank) for axis in listed(axes)]
    if len(set(places)) != 2 or len(places) != 2:
        raise ArgumentError(f"rot90: axes are two different axes, not {axes!r}.")
    if not is_whole(k):
        raise ArgumentError(f"rot90: k is an int, not {k!r}.")
    first, second = places
    turns = int(k) % 4
    if turns == 0:
        return array
    if turns == 2:
        return flip(array, (first, second))
    return (
        swapaxes(flip(array, second), first, second)
        if turns == 1
        else flip(swapaxes(array, first, second), second)
    )


@replayed
def roll(x: TensorLike, shift: int | Sequence[int], axis: int | Sequence[int] | None = None) -> Any:
    """``x`` with its elements moved ``shift`` places on; what leaves at the end comes in at the start (NumPy roll).

    Args:
        shift: an int, or one for each axis; negative ones move back.
        axis: one axis or several; None moves the elements in order, whatever their axis.

    Raises `ShapeError` for an axis that is not there, `ArgumentError` where there is not one shift for each axis.
    """
    if axis is None:
        flat = reshape(x, (-1,))
        for one in listed(shift):
            flat = roll(flat, one, 0)
        return reshape(flat, type_of(x).shape)
    axes, shifts = list(listed(axis)), list(listed(shift))
    axes, shifts = (
        axes * (len(shifts) if len(axes) == 1 else 1),
        shifts * (len(axes) if len(shifts) == 1 else 1),
    )
    if len(axes) != len(shifts) or not all(is_whole(one) for one in shifts):
        raise ArgumentError(
            f"roll: shift is an int, or one for each of the axes {axis}; given was {shift!r}."
        )
    for one, by in zip(axes, shifts, strict=True):
        x = _rolled(x, int(by), axis_in(one, type_of(x).rank))
    return x


def _rolled(x: Any, shift: int, axis: int) -> Any:
    length = type_of(x).shape[axis]
    if not isinstance(length, int):
        places = e.subtract(creation.iota((length,), 0, int32, like=x), shift)
        return index.take(x, e.remainder(places, creation.full((), length, int32, like=x)), axis)
    cut = shift % length if length else 0
    if not cut:
        return x
    before: list[Any] = [None] * axis
    last = strided_slice(x, [*before, length - cut], [*before, None])
    return concatenate([last, strided_slice(x, [*before, 0], [*before, length - cut])], axis)


def _at_least(rank: int, x: TensorLike) -> Any:
    """``x`` with axes of length 1 until it has ``rank``, as NumPy's atleast_1d, _2d and _3d add them."""
    places = {(0, 1): (0,), (0, 2): (0, 1), (1, 2): (0,), (0, 3): (0, 1, 2), (1, 3): (0, 2), (2, 3): (2,)}
    new = places.get((type_of(x).rank, rank))
    return x if new is None else expand_dims(x, new)


def hstack(xs: Sequence[TensorLike]) -> Any:
    """The tensors ``xs`` one beside the other along axis 1, vectors along axis 0 (NumPy hstack)."""
    tensors = [_at_least(1, x) for x in xs]
    return concatenate(tensors, 0 if tensors and type_of(tensors[0]).rank == 1 else 1)


def vstack(xs: Sequence[TensorLike]) -> Any:
    """The tensors ``xs`` one below the other along axis 0; vectors are rows (NumPy vstack)."""
    return concatenate([_at_least(2, x) for x in xs], 0)


def dstack(xs: Sequence[TensorLike]) -> Any:
    """The tensors ``xs`` one behind the other along axis 2, which vectors and matrices get (NumPy dstack)."""
    return concatenate([_at_least(3, x) for x in xs], 2)


@replayed
def append(x1: TensorLike, x2: TensorLike, axis: int | None = None) -> Any:
    """``x2`` behind ``x1`` along ``axis``; None joins the two flattened (NumPy append)."""
    if axis is None:
        return concatenate([reshape(x1, (-1,)), reshape(x2, (-1,))], 0)
    return concatenate([x1, x2], axis)


def hsplit(x: TensorLike, indices_or_sections: int | Sequence[Dim] | TensorLike) -> list[Any]:
    """`split` along axis 1, of a vector along axis 0 (NumPy hsplit)."""
    _need_rank("hsplit", x, 1)
    return split(x, indices_or_sections, 0 if type_of(x).rank == 1 else 1)


def vsplit(x: TensorLike, indices_or_sections: int | Sequence[Dim] | TensorLike) -> list[Any]:
    """`split` along axis 0 (NumPy vsplit)."""
    _need_rank("vsplit", x, 2)
    return split(x, indices_or_sections, 0)


def dsplit(x: TensorLike, indices_or_sections: int | Sequence[Dim] | TensorLike) -> list[Any]:
    """`split` along axis 2 (NumPy dsplit)."""
    _need_rank("dsplit", x, 3)
    return split(x, indices_or_sections, 2)


@replayed
def array_split(
    x: TensorLike, indices_or_sections: int | Sequence[Dim] | TensorLike, axis: int = 0
) -> list[Any]:
    """`split`, where the parts need not be equal: the first ones are one longer (NumPy array_split).

    Raises `ArgumentError` unless there is at least one part.
    """
    if not is_whole(indices_or_sections):
        return split(x, indices_or_sections, axis)
    parts = whole(indices_or_sections, "array_split: the number of parts", 1)
    place = axis_in(axis, type_of(x).rank)
    length = type_of(x).shape[place]
    if isinstance(length, int):
        small, more = divmod(length, parts)
        ends = [small * i + min(i, more) for i in range(1, parts)]
        return split(x, ends, place)
    small_, rest = length // parts, length % parts
    cuts: list[Dim] = [small_ * i + minimum(i, rest) for i in range(parts + 1)]
    before: list[Any] = [None] * place
    return [strided_slice(x, [*before, a], [*before, b]) for a, b in pairwise(cuts)]


@replayed
def unravel_index(indices: TensorLike, shape: Dim | Sequence[Dim]) -> tuple[Any, ...]:
    """For places among the elements in order, the places along each axis of ``shape`` (NumPy unravel_index).

    Args:
        indices: integers; negative ones count from the end.
        shape: of the tensor that they are places of.
    """
    sizes = dims_in(tuple(to_numpy(shape).tolist()) if is_tensor(shape) else shape)
    positions = index.whole_numbers("unravel_index", indices)
    dtype = type_of(positions).dtype

    def constant(value: Dim) -> Any:
        return creation.full((), value, dtype, like=positions if isinstance(value, DimExpr) else None)

    total: Dim = 1
    for dim in sizes:
        total = total * dim
    positions = e.where(comparison.less(positions, 0), e.add(positions, constant(total)), positions)
    found = []
    for dim in sizes[::-1]:
        length = constant(maximum(dim, 1) if isinstance(dim, DimExpr) else max(dim, 1))
        found.append(e.remainder(positions, length))
        positions = e.floor_divide(positions, length)
    return tuple(found[::-1])
