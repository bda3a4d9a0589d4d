"""Parts and repetitions of a tensor along its axes: slice, indexing with [], pad, flip, repeat, tile."""

from __future__ import annotations

import builtins
import operator
from collections.abc import Iterator, Sequence
from types import EllipsisType
from typing import Any

import ml_dtypes
import numpy as np

from unifront.dtypes import bool_
from unifront.errors import ArgumentError, ShapeError
from unifront.ir import facts
from unifront.ir.dims import Dim, DimExpr, ceil_divide, maximum, minimum
from unifront.ir.facts import Facts
from unifront.ir.types import TensorType
from unifront.opset.arrays import plain_array
from unifront.opset.elementwise import TensorLike
from unifront.opset.rules import axes_in, axis_in, dims_in, show
from unifront.opset.shape import expand_dims, squeeze
from unifront.opset.spec import OpSpec, Sample, register
from unifront.opset.tensor import bind, is_tensor, replayed, type_of

Bound = Dim | None


def _extent(dim: Dim, start: Dim, stop: Bound, stride: int) -> Dim:
    """How many positions ``start:stop:stride`` takes of an axis; a negative int counts from its end."""
    if stride < 1:
        raise ShapeError(f"A slice has a positive stride, not {stride}.")
    return ceil_divide(maximum(0, _inside(dim, stop) - _inside(dim, start)), stride)


def _inside(dim: Dim, bound: Bound) -> Dim:
    """Where ``bound`` is on an axis that may be shorter: as Python cuts slices."""
    if bound is None:
        return dim
    return maximum(dim + bound, 0) if isinstance(bound, int) and bound < 0 else minimum(bound, dim)


def _slice_rule(
    x: TensorType, starts: tuple[Dim, ...], stops: tuple[Bound, ...], strides: tuple[int, ...]
) -> TensorType:
    if not len(starts) == len(stops) == len(strides) == x.rank:
        raise ShapeError(
            f"slice takes one start, stop and stride for each axis of the shape {show(x.shape)}."
        )
    return x.with_shape(tuple(map(_extent, x.shape, starts, stops, strides)))


def _slice(
    x: np.ndarray, starts: tuple[int, ...], stops: tuple[int | None, ...], strides: tuple[int, ...]
) -> np.ndarray:
    return x[tuple(map(builtins.slice, starts, stops, strides))]


def _slice_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, starts, stops, strides in (
        ((5,), (1,), (4,), (2,)), ((2, 3), (0, -2), (None, None), (1, 1)),
        ((4, 2, 3), (3, 0, 1), (None, -1, 3), (1, 1, 2)),
        ((3,), (1,), (1,), (1,)), ((0, 2), (0, 1), (None, 2), (1, 1)), ((), (), (), ()),
    ):  # fmt: skip
        yield Sample((rng.normal(size=shape),), {"starts": starts, "stops": stops, "strides": strides})


SLICE = register(
    OpSpec(
        "slice", _slice_rule, _slice, _slice_samples, "NumPy basic slicing; ONNX Slice",
        {"starts": tuple, "stops": tuple, "strides": tuple},
        facts=facts.moving(facts.per_axis("starts", "stops", "strides")),
    )
)  # fmt: skip


def _bounds(dim: Dim, start: Bound, stop: Bound, stride: int) -> tuple[Dim, Bound]:
    """Start and stop as the operation keeps them: cut to a known length as Python does; None is the end."""
    if isinstance(dim, int) and not isinstance(start, DimExpr) and not isinstance(stop, DimExpr):
        first, last, _ = builtins.slice(start, stop, stride).indices(dim)
        return first if first < last else last, None if last == dim else last
    start, stop = (maximum(bound, 0) if isinstance(bound, DimExpr) else bound for bound in (start, stop))
    return 0 if start is None else start, None if stop == dim else stop


@replayed
def strided_slice(
    x: TensorLike, starts: Sequence[Bound], stops: Sequence[Bound], strides: Sequence[int] | None = None
) -> Any:
    """The part ``start:stop:stride`` of each of the first axes of ``x`` (NumPy basic slicing).

    Args:
        starts, stops: ints (negative ones count from the end), named dimensions, or None for an open end.
        strides: positive ints, 1 unless given.

    Bounds beyond an end are cut to it, on an axis of free length when that is known; so the first 10 of ``time``
    positions are ``min(10, time)``. A named dimension that is negative counts as 0.
    """
    shape = type_of(x).shape
    steps = (1,) * len(starts) if strides is None else tuple(map(operator.index, strides))
    if not len(starts) == len(stops) == len(steps) <= len(shape) or any(step < 1 for step in steps):
        raise ArgumentError(
            f"strided_slice takes a start, a stop and a positive stride for each of at most {len(shape)} axes; "
            f"given were {list(starts)}, {list(stops)} and {list(steps)}."
        )
    found = [_bounds(dim, a, b, s) for dim, a, b, s in zip(shape, starts, stops, steps, strict=False)]
    found += [(0, None)] * (len(shape) - len(found))
    firsts, lasts = zip(*found, strict=True) if found else ((), ())
    steps += (1,) * (len(shape) - len(steps))
    if builtins.all(bound == (0, None) for bound in found) and set(steps) <= {1}:
        return x
    return bind(SLICE, x, starts=firsts, stops=lasts, strides=steps)


Index = int | builtins.slice | EllipsisType | None | DimExpr
Key = Index | TensorLike | Sequence[int]


@replayed
def get_item(x: TensorLike, key: Key | tuple[Key, ...]) -> Any:
    """``x[key]`` as in NumPy: for ints, slices, None and Ellipsis, for integer tensors, or for one boolean mask.

    Integer tensors broadcast, with ints beside them too. The axes of what they give stand where theirs were if these
    were side by side, in front if not (NumPy advanced indexing).
    """
    shape = type_of(x).shape
    items: list[Any] = list(key) if isinstance(key, tuple) else [key]
    if len(items) == 1 and is_tensor(items[0]) and type_of(items[0]).dtype == bool_:
        from unifront.opset.sizes import boolean_mask

        return boolean_mask(x, items[0])
    items = [_plain(item) for item in items]
    dots = [i for i, item in enumerate(items) if item is Ellipsis]
    taken = [item for item in items if item is not None and item is not Ellipsis]
    if len(taken) > len(shape) or len(dots) > 1:
        raise ShapeError(f"The index {key!r} does not fit the shape {show(shape)}.")
    if not dots:
        items.append(Ellipsis)
    at = dots[0] if dots else len(items) - 1
    items[at : at + 1] = [builtins.slice(None)] * (len(shape) - len(taken))
    if any(_is_array(item) for item in items):
        from unifront.opset.advanced import take_at

        return take_at(x, items)
    axes = [item for item in items if item is not None]
    flipped = [
        axis for axis, item in enumerate(axes) if isinstance(item, builtins.slice) and (item.step or 1) < 0
    ]
    if flipped:
        x = flip(x, flipped)
    spans = [_span(item, dim, axis) for axis, (item, dim) in enumerate(zip(axes, shape, strict=True))]
    x = strided_slice(x, *map(list, zip(*spans, strict=True))) if spans else x
    numbers = [axis for axis, item in enumerate(axes) if not isinstance(item, builtins.slice)]
    x = squeeze(x, numbers) if numbers else x
    shown = [item for item in items if item is None or isinstance(item, builtins.slice)]
    new = [place for place, item in enumerate(shown) if item is None]
    return expand_dims(x, new) if new else x


def _plain(item: Any) -> Any:
    """One entry of an index: a NumPy scalar as an int, a list as an array; `ArgumentError` for what is no index."""
    if isinstance(item, Index) and not isinstance(item, bool):
        return item
    if isinstance(item, np.integer):
        return int(item)
    if isinstance(item, list):
        item = plain_array(item)
    if is_tensor(item) and type_of(item).dtype.is_integer:
        return item
    raise ArgumentError(
        f"A tensor is indexed with ints, slices, None, Ellipsis and integer tensors, not {type(item).__name__}; one "
        "boolean mask by itself picks elements, and where chooses between two tensors."
    )


def _is_array(item: Any) -> bool:
    return not isinstance(item, Index)


def _span(item: Any, dim: Dim, axis: int) -> tuple[Bound, Bound, int]:
    """Start, stop and positive stride of one axis; of the flipped axis if the given stride is negative."""
    if not isinstance(item, builtins.slice):
        if isinstance(dim, int) and isinstance(item, int) and not -dim <= item < dim:
            raise ShapeError(f"Index {item} is out of range for axis {axis} of length {dim}.")
        return item, None if isinstance(item, int) and item == -1 else item + 1, 1
    stride = 1 if item.step is None else operator.index(item.step)
    if stride > 0:
        return item.start, item.stop, stride
    if stride == 0:
        raise ArgumentError(f"The stride of a slice is not 0 (axis {axis}).")
    if item.start is None and item.stop is None:
        return None, None, -stride
    if not isinstance(dim, int):
        raise ShapeError(
            f"A slice with a negative stride and ends needs a known length; axis {axis} has {dim}."
        )
    first, last, _ = item.indices(dim)
    return dim - 1 - first, dim - 1 - last, -stride


MODES = ("constant", "reflect", "symmetric")
Widths = tuple[tuple[int, int], ...]


def _pad_rule(x: TensorType, widths: Widths, mode: str, value: float) -> TensorType:
    if len(widths) != x.rank or any(side < 0 for pair in widths for side in pair):
        raise ShapeError(
            f"pad: the widths {widths} are not two sizes for each axis of the shape {show(x.shape)}."
        )
    if mode not in MODES:
        raise ArgumentError(f"pad: the mode is one of {', '.join(MODES)}, not {mode!r}.")
    if x.dtype.is_integer:
        limits = ml_dtypes.iinfo(x.dtype.numpy)
        if not limits.min <= value <= limits.max:
            raise ArgumentError(f"pad: the value {value} does not fit {x.dtype}.")
    for axis, (dim, pair) in enumerate(zip(x.shape, widths, strict=True)):
        most = dim - 1 if mode == "reflect" else dim
        if mode != "constant" and isinstance(most, int) and builtins.max(pair) > builtins.max(most, 0):
            raise ShapeError(
                f"pad: mode {mode!r} adds at most {most} to axis {axis} of length {dim}, not {pair}."
            )
    return x.with_shape(
        tuple(before + dim + after for dim, (before, after) in zip(x.shape, widths, strict=True))
    )


def _pad(x: np.ndarray, widths: Widths, mode: str, value: float) -> np.ndarray:
    extra = {"constant_values": value} if mode == "constant" else {}
    return np.pad(x, widths, mode, **extra) if widths else x  # type: ignore[call-overload]  # mode is a Literal there


def _pad_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, widths, mode, value in (
        ((3,), ((1, 2),), "constant", 0.0), ((2, 3), ((0, 0), (1, 0)), "constant", -1.5),
        ((2, 0), ((1, 0), (0, 2)), "constant", 0.0), ((2, 4), ((1, 1), (0, 3)), "reflect", 0.0),
        ((2, 3, 1), ((0, 2), (1, 1), (0, 1)), "symmetric", 0.0), ((), (), "constant", 0.0),
    ):  # fmt: skip
        yield Sample((rng.normal(size=shape),), {"widths": widths, "mode": mode, "value": value})


_PAD_FACTS = Facts(
    elementwise=False,
    follows=facts.per_axis("widths"),
    commutes=False,
    keeps_zeros=lambda a: a["mode"] != "constant" or a["value"] == 0,
    sign=lambda a: "kept" if a["mode"] != "constant" or a["value"] >= 0 else "any",
    precision="half",
    channel_axes=0,
    pads_with=None,
    fresh=False,
    whole=False,
)
PAD = register(
    OpSpec(
        "pad", _pad_rule, _pad, _pad_samples, "NumPy pad; ONNX Pad",
        {"widths": tuple, "mode": str, "value": (float, int)}, facts=_PAD_FACTS,
    )
)  # fmt: skip


def _flip_rule(x: TensorType, axes: tuple[int, ...]) -> TensorType:
    axes_in(axes, x.rank)
    return x


def _flip_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, axes in (((3,), (0,)), ((2, 3), (0, 1)), ((2, 1, 3), (2,)), ((0, 2), (0,)), ((2,), ())):
        yield Sample((rng.normal(size=shape),), {"axes": axes})


FLIP = register(
    OpSpec(
        "flip",
        _flip_rule,
        lambda x, axes: np.flip(x, axes),
        _flip_samples,
        "NumPy flip",
        {"axes": tuple},
        facts=facts.moving(facts.ALONG_AXES),
    )
)


def flip(x: TensorLike, axis: int | Sequence[int] | None = None) -> Any:
    """``x`` with the order along ``axis`` (an int, several, or None for all) reversed (NumPy flip)."""
    return bind(FLIP, x, axes=axes_in(axis, type_of(x).rank))


def _repeat_rule(x: TensorType, repeats: int, axis: int) -> TensorType:
    axis_in(axis, x.rank)
    if repeats < 0:
        raise ArgumentError(f"repeat: the number of repeats is not negative; given was {repeats}.")
    return x.with_shape((*x.shape[:axis], x.shape[axis] * repeats, *x.shape[axis + 1 :]))


def _repeat_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, repeats, axis in (
        ((3,), 2, 0),
        ((2, 3), 3, 1),
        ((2, 1, 2), 2, 1),
        ((0, 2), 2, 0),
        ((2,), 0, 0),
    ):
        yield Sample((rng.normal(size=shape),), {"repeats": repeats, "axis": axis})


REPEAT = register(
    OpSpec(
        "repeat", _repeat_rule, lambda x, repeats, axis: np.repeat(x, repeats, axis), _repeat_samples,
        "NumPy repeat", {"repeats": int, "axis": int},
        facts=facts.moving(None),
    )
)  # fmt: skip


def _tile_rule(x: TensorType, repeats: tuple[Dim, ...]) -> TensorType:
    if len(repeats) != x.rank or any(isinstance(count, int) and count < 0 for count in repeats):
        raise ShapeError(
            f"tile: {show(repeats)} is not one number of repeats for each axis of {show(x.shape)}."
        )
    return x.with_shape(tuple(dim * count for dim, count in zip(x.shape, repeats, strict=True)))


def _tile_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, repeats in (
        ((3,), (2,)),
        ((2, 3), (1, 3)),
        ((2, 1, 2), (2, 2, 1)),
        ((2, 0), (2, 2)),
        ((), ()),
    ):
        yield Sample((rng.normal(size=shape),), {"repeats": repeats})


TILE = register(
    OpSpec(
        "tile", _tile_rule, lambda x, repeats: np.tile(x, repeats), _tile_samples, "NumPy tile; ONNX Tile",
        {"repeats": tuple},
        facts=facts.moving(None),
    )
)  # fmt: skip


def tile(x: TensorLike, repeats: Dim | Sequence[Dim]) -> Any:
    """``x`` laid side by side, so many times along each axis; what is missing counts as 1 (NumPy tile)."""
    counts = dims_in(repeats, "repeats")
    rank = type_of(x).rank
    if len(counts) > rank:
        x = expand_dims(x, tuple(range(len(counts) - rank)))
    return bind(TILE, x, repeats=(1,) * (rank - len(counts)) + counts)
