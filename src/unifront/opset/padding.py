"""`pad`: more elements before and after, along each axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unifront.arguments import LARGEST
from unifront.dtypes import int32
from unifront.errors import ArgumentError, ShapeError
from unifront.ir.dims import DimExpr
from unifront.opset import creation, index, reduce
from unifront.opset import elementwise as e
from unifront.opset.elementwise import TensorLike
from unifront.opset.rules import show
from unifront.opset.shape import broadcast_to, concatenate
from unifront.opset.slicing import MODES, PAD
from unifront.opset.tensor import bind, replayed, type_of

SUMMARIES: dict[str, Callable[..., Any]] = {"maximum": reduce.max, "minimum": reduce.min, "mean": reduce.mean}
"""Modes that add one number of each row."""


@replayed
def pad(
    x: TensorLike,
    pad_width: int | Sequence[int] | Sequence[Sequence[int]],
    mode: str = "constant",
    constant_values: float | None = None,
) -> Any:
    """``x`` with more elements before and after along its axes (NumPy pad).

    Args:
        pad_width: one size, one pair for all axes, or a pair for each axis.
        mode: ``"constant"``; the mirror image without (``"reflect"``) or with (``"symmetric"``) the edge; the edge
            again (``"edge"``); from the other end (``"wrap"``, ``"circular"``); the ``"maximum"``, ``"minimum"`` or
            ``"mean"`` of the row; or whatever (``"empty"``: zeros).
        constant_values: what to add in mode ``"constant"``, 0 unless given.

    Raises `ArgumentError` for widths that do not fit the axes, another mode, or ``constant_values`` in another mode,
    `ShapeError` for negative widths or where there is too little to mirror.
    """
    type_ = type_of(x)
    widths = _widths(pad_width, type_.rank, type_.shape)
    if constant_values is not None and mode != "constant":
        raise ArgumentError(
            f"pad: Argument `constant_values` can only be provided when `mode == 'constant'`; the mode is {mode!r}."
        )
    if mode in SUMMARIES or mode in ("edge", "wrap", "circular"):
        if any(side < 0 for pair in widths for side in pair):
            raise ShapeError(
                f"pad: the widths {widths} are not two sizes for each axis of {show(type_.shape)}."
            )
        for axis, pair in enumerate(widths):
            if any(pair):
                x = _summarized(x, axis, pair, mode) if mode in SUMMARIES else _repeated(x, axis, pair, mode)
        return x
    if mode not in (*MODES, "empty"):
        known = ", ".join((*MODES, "edge", "wrap", "circular", *SUMMARIES, "empty"))
        raise ArgumentError(f"pad: the mode is one of {known}, not {mode!r}.")
    number = constant_values or 0
    value = int(number) if not type_.dtype.is_float else float(number)
    return bind(PAD, x, widths=widths, mode="constant" if mode == "empty" else mode, value=value)


def _widths(pad_width: Any, rank: int, shape: tuple[Any, ...]) -> tuple[tuple[int, int], ...]:
    try:
        given = np.asarray(pad_width)
        pairs = np.broadcast_to(given, (rank, 2)).tolist()
    except ValueError:
        given = np.asarray(None)
    if (given.dtype.kind not in "iu" and given.size) or (given.size and given.max() > LARGEST):
        raise ArgumentError(
            f"pad: pad_width is an int, a pair, or a pair for each of the {rank} axes of the shape "
            f"{show(shape)}, not {pad_width!r}."
        )
    return tuple((before, after) for before, after in pairs)


def _repeated(x: Any, axis: int, pair: tuple[int, int], mode: str) -> Any:
    """The edge again, or what stands at the other end."""
    length = type_of(x).shape[axis]
    if length == 0:
        raise ShapeError(
            f"pad: axis {axis} of the shape {show(type_of(x).shape)} has nothing to add in mode {mode!r}."
        )
    free = isinstance(length, DimExpr)
    places = e.subtract(creation.iota((length + sum(pair),), 0, int32, like=x if free else None), pair[0])
    if mode == "edge":
        last = creation.full((), length - 1, int32, like=x if free else None)
        return index.take(x, e.maximum(e.minimum(places, last), 0), axis)
    return index.take(
        x, e.remainder(places, creation.full((), length, int32, like=x if free else None)), axis
    )


def _summarized(x: Any, axis: int, pair: tuple[int, int], mode: str) -> Any:
    """The largest, smallest or mean element of each row; integers stay so."""
    shape, dtype = type_of(x).shape, type_of(x).dtype
    found = SUMMARIES[mode](x, axis, keepdims=True)
    found = e.cast(e.round(found) if dtype.is_integer and mode == "mean" else found, dtype)
    sides = [broadcast_to(found, (*shape[:axis], side, *shape[axis + 1 :])) for side in pair]
    return concatenate([sides[0], x, sides[1]], axis)
