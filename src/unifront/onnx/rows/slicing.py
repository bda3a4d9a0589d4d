"""Parts and repetitions along axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from unifront.ir.dims import Dim
from unifront.ir.types import Shape
from unifront.onnx.writer import Ref, Row, Writer
from unifront.opset import slicing as s
from unifront.opset.spec import OpSpec

END, START = np.iinfo(np.int64).max, np.iinfo(np.int64).min


def _slice(w: Writer, x: Ref, starts: Shape, stops: tuple[Dim | None, ...], strides: tuple[int, ...]) -> Any:
    bounds = enumerate(zip(starts, stops, strides, strict=True))
    cut = [(axis, *bound) for axis, bound in bounds if bound != (0, None, 1)]
    if not cut:
        return x
    axes, firsts, lasts, steps = zip(*cut, strict=True)
    ends = w.sizes([END if last is None else last for last in lasts])
    return w.op("Slice", x, w.sizes(firsts), ends, np.array(axes), np.array(steps))


def _flip(w: Writer, x: Ref, axes: tuple[int, ...]) -> Any:
    if not axes:
        return x
    back = np.full(len(axes), -1)
    return w.op("Slice", x, back, np.full(len(axes), START), np.array(axes), back)


def _pad(w: Writer, x: Ref, widths: s.Widths, mode: str, value: float) -> Any:
    if mode == "symmetric":
        for axis, pair in enumerate(widths):
            x = _mirrored(w, x, axis, *pair)
        return x
    if not any(side for pair in widths for side in pair):
        return x
    sides = np.array([before for before, _ in widths] + [after for _, after in widths])
    return w.op("Pad", x, sides, w.number(value, x) if mode == "constant" else None, mode=mode)


def _mirrored(w: Writer, x: Ref, axis: int, before: int, after: int) -> Ref:
    """``x`` between its own ends, each in reverse order."""
    parts = [x]
    if before:
        ends = np.array([before - 1]), np.array([START])
        parts.insert(0, w.op("Slice", x, *ends, np.array([axis]), np.array([-1])))
    if after:
        ends = np.array([-1]), np.array([-after - 1])
        parts.append(w.op("Slice", x, *ends, np.array([axis]), np.array([-1])))
    return w.concat(parts, axis) if len(parts) > 1 else x


def _repeat(w: Writer, x: Ref, repeats: int, axis: int) -> Any:
    shape = x.type.shape
    length = shape[axis]
    if isinstance(length, int):
        return w.take(x, np.repeat(np.arange(length), repeats), axis)
    column = w.expand_dims(x, (axis + 1,))
    rows = w.expand(column, (*shape[: axis + 1], repeats, *shape[axis + 1 :]))
    return w.reshape(rows, (*shape[:axis], length * repeats, *shape[axis + 1 :]))


TABLE: dict[OpSpec, Row] = {
    s.SLICE: _slice,
    s.PAD: _pad,
    s.FLIP: _flip,
    s.REPEAT: _repeat,
    s.TILE: lambda w, x, repeats: w.op("Tile", x, w.sizes(repeats)) if repeats else x,
}
