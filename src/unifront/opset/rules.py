"""What type rules share: broadcasting, axes, and the words of their errors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any, TypeGuard

import numpy as np

from unifront.arguments import LARGEST, SIMPLE, Check, Wrong, entries, number
from unifront.dtypes import DType
from unifront.errors import ArgumentError, DTypeError, ShapeError
from unifront.ir.dims import Dim, DimExpr, at_least, at_most, minimum
from unifront.ir.types import Shape, TensorType


def broadcast(*shapes: Shape, unify: bool = False) -> Shape:
    """The shape to which all ``shapes`` broadcast (NumPy's rule; symbols match only themselves and 1).

    Args:
        unify: take sizes that are unknown to each other, and may be equal, to be so. The operation is then
            elementwise, for which `unifront.ir.emit` writes a check of the sizes that arrive.
    """
    rank = max((len(shape) for shape in shapes), default=0)
    padded = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
    result: list[Dim] = []
    for dims in zip(*padded, strict=True):
        wide = {dim for dim in dims if dim != 1}
        wide = {dim for dim in wide if not any(dim != other and stretches(dim, other) for other in wide)}
        if unify and len(wide) > 1 and (one := unified(wide)) is not None:
            wide = {one}
        if len(wide) > 1:
            raise ShapeError(f"The shapes {' and '.join(map(show, shapes))} do not broadcast.")
        result.append(wide.pop() if wide else 1)
    return tuple(result)


def unified(dims: set[Dim]) -> Dim | None:
    """The plainest of ``dims``, which are unknown to each other and may be equal; None if two of them never are.

    The operation is then one for which `unifront.ir.emit` writes a check of the sizes that arrive.
    """
    first, *others = dims
    bounds = ((at_least(first - other), at_most(first - other)) for other in others)
    if all((low is None or low <= 0) and (high is None or high >= 0) for low, high in bounds):
        return min(dims, key=_plainness)
    return None


def _plainness(dim: Dim) -> tuple[bool, int, str]:
    text = str(dim)
    return not isinstance(dim, int), len(text), text


def joined(shapes: Sequence[Shape], axis: int) -> Shape | None:
    """The shape of tensors one after the other along ``axis``; None if they differ elsewhere, whatever the sizes."""
    if len({len(shape) for shape in shapes}) > 1:
        return None
    result: list[Dim] = []
    for i, dims in enumerate(zip(*shapes, strict=True)):
        one = reduce(add, dims) if i == axis else unified({*dims})
        if one is None:
            return None
        result.append(one)
    return tuple(result)


def stretches(dim: Dim, wide: Dim) -> bool:
    """Whether an axis ``dim`` long broadcasts to one ``wide`` long, whatever the sizes: it is 1 long, or as long, or
    the first element of an axis that may be empty."""
    return dim in (1, wide) or (isinstance(wide, DimExpr) and dim == minimum(1, wide))


def show(shape: Shape) -> str:
    """A shape as errors print it."""
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def _dimension(value: Any, owner: Any) -> DimExpr:
    value = number(value)
    if not isinstance(value, DimExpr):
        raise Wrong("a named dimension")
    return value


SIMPLE[DimExpr] = Check(_dimension)


def is_whole(value: Any) -> TypeGuard[int]:
    """Whether ``value`` is an int, Python's or NumPy's, and no boolean."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def whole(value: int, what: str, least: int = 0) -> int:
    """``value`` as a Python int of at least ``least``; `ArgumentError` naming ``what`` for anything else."""
    if not is_whole(value) or value < least:
        raise ArgumentError(f"{what} is an int from {least} up, not {value!r}.")
    if value > LARGEST:
        raise ArgumentError(f"{what} is at most {LARGEST}, not {value!r}.")
    return int(value)


def listed(axis: int | Sequence[int]) -> Sequence[int]:
    """One axis, or several, as several."""
    return axis if isinstance(axis, Sequence | np.ndarray) and not isinstance(axis, str) else (axis,)


def axis_in(axis: int, rank: int, what: str = "axis") -> int:
    """``axis`` counted from the front; `ShapeError` if there is none such."""
    if not is_whole(axis) or not -rank <= axis < rank:
        raise ShapeError(f"{what} {axis!r} is out of range for a tensor of rank {rank}.")
    return int(axis) % rank


def axes_in(axis: int | Sequence[int] | None, rank: int) -> tuple[int, ...]:
    """Axes counted from the front, sorted, each once; None means all."""
    if axis is None:
        return tuple(range(rank))
    axes = [axis_in(one, rank) for one in listed(axis)]
    if len(set(axes)) < len(axes):
        raise ShapeError(f"The axes {axis} name one axis twice (rank {rank}).")
    return tuple(sorted(axes))


def same_dtype(*types: TensorType) -> DType:
    """The one dtype of ``types``."""
    found = list(dict.fromkeys(type_.dtype for type_ in types))
    if len(found) != 1:
        raise DTypeError(
            f"The operands have the dtypes {', '.join(dtype.name for dtype in found)}; cast them to one."
        )
    return found[0]


def need_float(type_: TensorType, what: str = "the operand") -> TensorType:
    """``type_``, which must be a float."""
    if not type_.dtype.is_float:
        raise DTypeError(f"{what} is {type_.dtype}; a float is needed.")
    if type_.dtype.is_packed:
        raise DTypeError(f"{what} is {type_.dtype}, which is for storing numbers; cast it first.")
    return type_


def need_order(type_: TensorType, what: str = "the operand") -> TensorType:
    """``type_``, which must be of a dtype whose numbers are smaller and larger than each other."""
    if type_.dtype.is_complex:
        raise DTypeError(
            f"{what} is {type_.dtype}, and complex numbers have no order; take their abs, real or imag."
        )
    return type_


def need_rank(type_: TensorType, rank: int, what: str = "the operand") -> TensorType:
    """``type_``, which must have ``rank`` dimensions."""
    if type_.rank != rank:
        raise ShapeError(f"{what} has the shape {show(type_.shape)}; {rank} dimensions are needed.")
    return type_


def dims_in(shape: Dim | Sequence[Dim], what: str = "shape") -> Shape:
    """A shape as a tuple of ints and symbolic dimensions, of which it may be an array, or a tensor of known sizes."""
    listed = entries(shape)
    given = listed if isinstance(listed, list | tuple) else (listed,)
    found: list[Dim] = []
    for dim in map(number, given):
        if isinstance(dim, DimExpr):
            found.append(dim)
        elif is_whole(dim) and dim <= LARGEST:
            found.append(int(dim))
        elif is_whole(dim):
            raise ShapeError(f"{what}: no axis is longer than {LARGEST}; {dim} was given.")
        else:
            raise ArgumentError(f"{what} is made of ints and named dimensions; given was {shape!r}.")
    return tuple(found)


def negative_size(layer: str, value: Any) -> str:
    """What rows say of a size that is negative when it arrives."""
    return f"{layer or 'graph'}: a size that is computed while the program runs is {value}; it is negative."
