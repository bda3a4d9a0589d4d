"""Operations that give the same elements another shape: reshape, transpose, concatenate, split, their kin."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from unifront.errors import ArgumentError, ShapeError
from unifront.ir import facts
from unifront.ir.dims import Dim, DimExpr, at_most, divide_down, divide_exactly
from unifront.ir.types import Shape, TensorType
from unifront.opset.elementwise import TensorLike, promoted, where
from unifront.opset.rules import (
    axes_in,
    axis_in,
    broadcast,
    dims_in,
    is_whole,
    joined,
    listed,
    same_dtype,
    show,
    stretches,
)
from unifront.opset.spec import OpSpec, Sample, register
from unifront.opset.tensor import bind, is_tensor, replayed, to_numpy, type_of


def _solved(x: TensorType, shape: Shape) -> Shape:
    """``shape`` with its one -1 replaced by what is left of the elements of ``x``."""
    if shape.count(-1) > 1 or any(isinstance(dim, int) and dim < -1 for dim in shape):
        raise ShapeError(f"A shape has sizes and at most one -1; given was {show(shape)}.")
    if -1 not in shape:
        return shape
    rest = divide_down(x.size, math.prod(dim for dim in shape if dim != -1))
    if rest is None:
        raise ShapeError(
            f"The {x.size} elements of the shape {show(x.shape)} do not divide into {show(shape)}."
        )
    return tuple(rest if dim == -1 else dim for dim in shape)


def _may_divide(size: Dim, shape: Shape) -> bool:
    """Whether one size of ``shape`` is what is left of ``size`` elements, rounded down: that nothing is left over shows
    when the sizes arrive."""
    return any(
        isinstance(dim, DimExpr) and dim == divide_down(size, math.prod([*shape[:i], *shape[i + 1 :]]))
        for i, dim in enumerate(shape)
    )


def _reshape_rule(x: TensorType, shape: tuple[Dim, ...]) -> TensorType:
    if x.size != math.prod(shape) and not _may_divide(x.size, shape):
        raise ShapeError(
            f"The shape {show(x.shape)} has {x.size} elements and cannot become {show(shape)}, "
            f"which has {math.prod(shape)}."
        )
    return x.with_shape(shape)


def _reshape_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, new in (((), (1, 1)), ((1,), ()), ((6,), (2, 3)), ((2, 3, 4), (4, 6)), ((2, 0), (0, 5, 3))):
        yield Sample((rng.normal(size=shape),), {"shape": new})


RESHAPE = register(
    OpSpec(
        "reshape", _reshape_rule, np.reshape, _reshape_samples, "NumPy reshape; ONNX Reshape",
        attributes={"shape": tuple},
        facts=facts.moving(None, whole=True),
    )
)  # fmt: skip


@replayed
def reshape(x: TensorLike, newshape: Dim | Sequence[Dim]) -> Any:
    """The elements of ``x``, in order, in another shape (NumPy reshape).

    Args:
        newshape: ints and named dimensions (of ``x.shape``); one may be -1, which takes what is left.

    Raises `ShapeError` if the number of elements is another, or cannot be shown to be equal; where -1 stands for a part
    of a size that is not known yet, and it turns out that something is left over, when it runs.
    """
    return bind(RESHAPE, x, shape=_solved(type_of(x), dims_in(newshape, "newshape")))


@replayed
def flatten(x: TensorLike, start_axis: int = 0) -> Any:
    """``x`` with its axes from ``start_axis`` on joined into one; ``start_axis=1`` keeps the batch (ONNX Flatten)."""
    shape = type_of(x).shape
    kept = shape[:start_axis] if start_axis == 0 else shape[: axis_in(start_axis, len(shape), "start_axis")]
    return reshape(x, (*kept, math.prod(shape[len(kept) :])))


def _transpose_rule(x: TensorType, axes: tuple[int, ...]) -> TensorType:
    if sorted(axes) != list(range(x.rank)):
        raise ShapeError(f"axes {axes} is not an order of the {x.rank} axes of the shape {show(x.shape)}.")
    return x.with_shape(tuple(x.shape[axis] for axis in axes))


def _transpose_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, axes in (
        ((), ()),
        ((3,), (0,)),
        ((2, 3), (1, 0)),
        ((2, 1, 3), (2, 0, 1)),
        ((2, 0, 3), (1, 2, 0)),
    ):
        yield Sample((rng.normal(size=shape),), {"axes": axes})


TRANSPOSE = register(
    OpSpec(
        "transpose", _transpose_rule, np.transpose, _transpose_samples, "NumPy transpose; ONNX Transpose",
        attributes={"axes": tuple},
        facts=facts.moving(None),
    )
)  # fmt: skip


def transpose(x: TensorLike, axes: Sequence[int] | None = None) -> Any:
    """``x`` with its axes in the order ``axes``; None reverses them (NumPy transpose).

    Raises `ShapeError` unless ``axes`` names each axis once.
    """
    rank = type_of(x).rank
    order = range(rank)[::-1] if axes is None else (axis_in(axis, rank) for axis in axes)
    return bind(TRANSPOSE, x, axes=tuple(order))


def moveaxis(x: TensorLike, source: int | Sequence[int], destination: int | Sequence[int]) -> Any:
    """``x`` with each axis of ``source`` moved to its place in ``destination`` (NumPy moveaxis).

    Raises `ShapeError` unless the two name as many axes, each once.
    """
    rank = type_of(x).rank
    taken = [axis_in(axis, rank, "source") for axis in listed(source)]
    places = [axis_in(axis, rank, "destination") for axis in listed(destination)]
    if not len(taken) == len(set(taken)) == len(places) == len(set(places)):
        raise ShapeError(f"moveaxis: the axes {source} do not go to the places {destination} one by one.")
    axes = [axis for axis in range(rank) if axis not in taken]
    for place, axis in sorted(zip(places, taken, strict=True)):
        axes.insert(place, axis)
    return transpose(x, axes)


def swapaxes(x: TensorLike, axis1: int, axis2: int) -> Any:
    """``x`` with two axes exchanged (NumPy swapaxes)."""
    rank = type_of(x).rank
    axes = list(range(rank))
    first, second = axis_in(axis1, rank), axis_in(axis2, rank)
    axes[first], axes[second] = second, first
    return transpose(x, axes)


def _expanded(shape: Shape, axes: tuple[int, ...]) -> Shape:
    rest = iter(shape)
    return tuple(1 if axis in axes else next(rest) for axis in range(len(shape) + len(axes)))


def _expand_dims_rule(x: TensorType, axes: tuple[int, ...]) -> TensorType:
    return x.with_shape(_expanded(x.shape, axes_in(axes, x.rank + len(axes))))


def _squeeze_rule(x: TensorType, axes: tuple[int, ...]) -> TensorType:
    axes_in(axes, x.rank)
    # At most 1: an integer index into an axis of free length, which is not there if that is 0.
    wide = [
        axis for axis in axes if x.shape[axis] != 1 and (x.shape[axis] == 0 or at_most(x.shape[axis]) != 1)
    ]
    if wide:
        raise ShapeError(f"squeeze: axis {wide[0]} of the shape {show(x.shape)} is not 1 long.")
    return x.with_shape(tuple(dim for axis, dim in enumerate(x.shape) if axis not in axes))


def _expand_dims_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, axes in (((), (0,)), ((3,), (1,)), ((2, 3), (0, 3)), ((2, 0), (1,))):
        yield Sample((rng.normal(size=shape),), {"axes": axes})


def _squeeze_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, axes in (((1,), (0,)), ((3, 1), (1,)), ((1, 2, 1), (0, 2)), ((1, 0), (0,)), ((2, 3), ())):
        yield Sample((rng.normal(size=shape),), {"axes": axes})


EXPAND_DIMS = register(
    OpSpec(
        "expand_dims", _expand_dims_rule, lambda x, axes: np.expand_dims(x, axes), _expand_dims_samples,
        "NumPy expand_dims; ONNX Unsqueeze", attributes={"axes": tuple},
        facts=facts.moving(None),
    )
)  # fmt: skip
SQUEEZE = register(
    OpSpec(
        "squeeze", _squeeze_rule, lambda x, axes: np.squeeze(x, axes), _squeeze_samples,
        "NumPy squeeze; ONNX Squeeze", attributes={"axes": tuple},
        facts=facts.moving(facts.OVER_AXES),
    )
)  # fmt: skip


def expand_dims(x: TensorLike, axis: int | Sequence[int]) -> Any:
    """``x`` with new axes of length 1 at the places ``axis`` of the result (NumPy expand_dims).

    Raises `ShapeError` for a place that the result has not, or named twice.
    """
    return bind(EXPAND_DIMS, x, axes=axes_in(axis, type_of(x).rank + len(listed(axis))))


def squeeze(x: TensorLike, axis: int | Sequence[int] | None = None) -> Any:
    """``x`` without the axes ``axis``, which are 1 long; None takes all such (NumPy squeeze).

    Raises `ShapeError` for an axis of another length.
    """
    shape = type_of(x).shape
    ones = tuple(position for position, dim in enumerate(shape) if dim == 1)
    return bind(SQUEEZE, x, axes=ones if axis is None else axes_in(axis, len(shape)))


def _broadcast_to_rule(x: TensorType, shape: tuple[Dim, ...]) -> TensorType:
    fits = len(shape) >= x.rank and all(
        stretches(have, want) for have, want in zip(x.shape[::-1], shape[::-1], strict=False)
    )
    if not fits:
        raise ShapeError(f"The shape {show(x.shape)} does not broadcast to {show(shape)}.")
    return x.with_shape(broadcast(x.shape, shape))


def _broadcast_to_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, new in (
        ((), (2,)),
        ((3,), (2, 3)),
        ((2, 1), (2, 4)),
        ((1, 2, 1), (3, 2, 2)),
        ((1,), (0,)),
        ((2,), (2,)),
        ((2, 1, 2, 1, 2, 1), (2, 2, 2, 2, 2, 2)),
    ):
        yield Sample((rng.normal(size=shape),), {"shape": new})


BROADCAST_TO = register(
    OpSpec(
        "broadcast_to", _broadcast_to_rule, np.broadcast_to, _broadcast_to_samples,
        "NumPy broadcast_to; ONNX Expand", attributes={"shape": tuple},
        facts=facts.moving(None),
    )
)  # fmt: skip


@replayed
def broadcast_to(x: TensorLike, shape: Dim | Sequence[Dim]) -> Any:
    """``x`` repeated along its axes of length 1, and along new ones, to ``shape`` (NumPy broadcast_to).

    Raises `ShapeError` if that cannot be.
    """
    return bind(BROADCAST_TO, x, shape=dims_in(shape))


def _concatenate_rule(*types: TensorType, axis: int) -> TensorType:
    if not types:
        raise ShapeError("concatenate takes at least one tensor.")
    axis_in(axis, types[0].rank)
    shape = joined([type_.shape for type_ in types], axis)
    if shape is None:
        shapes = ", ".join(show(type_.shape) for type_ in types)
        raise ShapeError(f"concatenate: the shapes {shapes} differ outside axis {axis}.")
    return TensorType(same_dtype(*types), shape)


def _concatenate_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shapes, axis in (
        (((2,), (1,)), 0),
        (((2, 3), (2, 0), (2, 1)), 1),
        (((1, 3), (2, 3)), 0),
        (((2, 1),), 0),
    ):
        yield Sample(tuple(rng.normal(size=shape) for shape in shapes), {"axis": axis})


CONCATENATE = register(
    OpSpec(
        "concatenate", _concatenate_rule, lambda *xs, axis: np.concatenate(xs, axis), _concatenate_samples,
        "NumPy concatenate; ONNX Concat", attributes={"axis": int}, variadic=True,
        facts=facts.moving(facts.JOINED),
    )
)  # fmt: skip


def concatenate(xs: Sequence[TensorLike], axis: int = 0) -> Any:
    """The tensors ``xs`` one after the other along ``axis``, promoted to one dtype (NumPy concatenate).

    Raises `ShapeError` if there are none, or if they differ in rank or outside ``axis``.
    """
    tensors = promoted(*xs)
    if not tensors:
        raise ShapeError("concatenate takes at least one tensor.")
    return bind(CONCATENATE, *tensors, axis=axis_in(axis, type_of(tensors[0]).rank))


def _stack_rule(*types: TensorType, axis: int) -> TensorType:
    if len({type_.shape for type_ in types}) != 1:
        shapes = ", ".join(show(type_.shape) for type_ in types)
        raise ShapeError(f"stack takes tensors of one shape; given were {shapes or 'none'}.")
    shape = types[0].shape
    axis_in(axis, len(shape) + 1)
    return TensorType(same_dtype(*types), (*shape[:axis], len(types), *shape[axis:]))


def _stack_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, count, axis in (((), 2, 0), ((3,), 1, 1), ((2, 3), 3, 1), ((2, 0), 2, 2)):
        yield Sample(tuple(rng.normal(size=shape) for _ in range(count)), {"axis": axis})


STACK = register(
    OpSpec(
        "stack", _stack_rule, lambda *xs, axis: np.stack(xs, axis), _stack_samples, "NumPy stack",
        attributes={"axis": int}, variadic=True,
        facts=facts.moving(None),
    )
)  # fmt: skip


def stack(x: Sequence[TensorLike], axis: int = 0) -> Any:
    """The tensors ``x``, all of one shape, along a new axis, promoted to one dtype (NumPy stack).

    Args:
        axis: the place of the new axis in the result.

    Raises `ShapeError` if there are none, or if their shapes differ.
    """
    tensors = promoted(*x)
    if not tensors:
        raise ShapeError("stack takes at least one tensor.")
    return bind(STACK, *tensors, axis=axis_in(axis, type_of(tensors[0]).rank + 1))


def _split_rule(x: TensorType, sizes: tuple[Dim, ...], axis: int) -> tuple[TensorType, ...]:
    axis_in(axis, x.rank)
    total: Dim = 0
    for size in sizes:
        total = total + size
    if len(sizes) < 2 or total != x.shape[axis] or any(isinstance(size, int) and size < 0 for size in sizes):
        raise ShapeError(
            f"Axis {axis} of the shape {show(x.shape)} does not split into the sizes {show(sizes)}."
        )
    return tuple(x.with_shape((*x.shape[:axis], size, *x.shape[axis + 1 :])) for size in sizes)


def _split_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, sizes, axis in (
        ((3,), (1, 2), 0),
        ((2, 6), (2, 2, 2), 1),
        ((3, 2), (0, 3), 0),
        ((4, 0, 2), (1, 1), 2),
    ):
        yield Sample((rng.normal(size=shape),), {"sizes": sizes, "axis": axis})


SPLIT = register(
    OpSpec(
        "split", _split_rule,
        lambda x, sizes, axis: tuple(np.split(x, np.cumsum(sizes[:-1]), axis)),
        _split_samples, "NumPy split; ONNX Split", attributes={"sizes": tuple, "axis": int},
        facts=facts.moving(facts.ALONG_AXIS),
    )
)  # fmt: skip


@replayed
def split(x: TensorLike, indices_or_sections: int | Sequence[Dim] | TensorLike, axis: int = 0) -> list[Any]:
    """``x`` cut along ``axis``: into so many equal parts, or before each index given (NumPy split).

    Raises `ShapeError` where the parts would not be equal, or the indices do not ascend within the axis.
    """
    type_ = type_of(x)
    axis = axis_in(axis, type_.rank)
    length = type_.shape[axis]
    if is_tensor(indices_or_sections):
        indices_or_sections = to_numpy(indices_or_sections).tolist()
    if is_whole(indices_or_sections):
        part = divide_exactly(length, int(indices_or_sections))
        if part is None:
            raise ShapeError(
                f"Axis {axis} of the shape {show(type_.shape)} has no {indices_or_sections} equal parts."
            )
        sizes: Shape = (part,) * indices_or_sections
    elif not isinstance(indices_or_sections, list | tuple):
        raise ArgumentError(
            f"split: indices_or_sections is an int or a list of ints, not {indices_or_sections!r}."
        )
    else:
        cuts = (0, *dims_in(indices_or_sections, "indices"), length)
        sizes = tuple(after - before for before, after in pairwise(cuts))
    return [x] if len(sizes) == 1 else list(bind(SPLIT, x, sizes=sizes, axis=axis))


_MOST_PIECES = 2**16  # each is a result of its own: a graph from a file must not fill the memory with them


def _unstack_rule(x: TensorType, axis: int) -> tuple[TensorType, ...]:
    count = x.shape[axis_in(axis, x.rank)]
    if not isinstance(count, int) or not 2 <= count <= _MOST_PIECES:
        raise ShapeError(
            f"unstack needs a known length from 2 to {_MOST_PIECES} at axis {axis}; the shape is {show(x.shape)}."
        )
    return (x.with_shape((*x.shape[:axis], *x.shape[axis + 1 :])),) * count


def _unstack_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, axis in (((3,), 0), ((2, 3), 1), ((2, 0), 0)):
        yield Sample((rng.normal(size=shape),), {"axis": axis})


UNSTACK = register(
    OpSpec(
        "unstack", _unstack_rule, lambda x, axis: tuple(np.moveaxis(x, axis, 0)), _unstack_samples,
        "NumPy unstack", attributes={"axis": int},
        facts=facts.moving(None),
    )
)  # fmt: skip


@replayed
def unstack(x: TensorLike, num: int | None = None, axis: int = 0) -> tuple[Any, ...]:
    """The pieces of ``x`` along ``axis``, without that axis; its length must be known (NumPy unstack).

    Args:
        num: the length, which makes that of a free axis known; checked, of a free axis when data arrive.
    """
    shape = type_of(x).shape
    axis = axis_in(axis, len(shape))
    if num is not None and shape[axis] != num:
        if isinstance(shape[axis], int) or num < 1:
            raise ShapeError(f"unstack: axis {axis} of the shape {show(shape)} is not {num} long.")
        here = np.ones((num, *[1] * (len(shape) - axis - 1)), bool)
        x = where(here, x, x)  # an operation on elements checks sizes that should be equal
        shape = type_of(x).shape
    return (squeeze(x, axis),) if shape[axis] == 1 else tuple(bind(UNSTACK, x, axis=axis))
