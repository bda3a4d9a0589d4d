"""The same elements in another shape."""

from __future__ import annotations

from typing import Any

import numpy as np

from unifront.ir.types import Shape
from unifront.onnx.writer import Ref, Row, Writer
from unifront.opset import shape as s
from unifront.opset.spec import OpSpec


def _reshape(w: Writer, x: Ref, shape: Shape) -> Any:
    # What only joins the axes behind the first is ONNX's Flatten, whatever the sizes.
    if x.array is None and len(shape) == 2 and x.type.rank > 1 and shape[0] == x.type.shape[0]:
        return w.op("Flatten", x)
    return w.reshape(x, shape)


def _squeeze(w: Writer, x: Ref, axes: tuple[int, ...]) -> Any:
    return w.op("Squeeze", x, np.array(axes, np.int64)) if axes else x


def _concatenate(w: Writer, *xs: Ref, axis: int) -> Any:
    return w.concat(xs, axis)


def _stack(w: Writer, *xs: Ref, axis: int) -> Any:
    return w.concat([w.expand_dims(x, (axis,)) for x in xs], axis)


def _split(w: Writer, x: Ref, sizes: Shape, axis: int) -> Any:
    return w.op("Split", x, w.sizes(sizes), axis=axis, outputs=len(sizes))


def _unstack(w: Writer, x: Ref, axis: int) -> Any:
    count = x.type.shape[axis]
    assert isinstance(count, int)
    parts = _split(w, x, (1,) * count, axis)
    return tuple(w.op("Squeeze", part, np.array([axis])) for part in parts)


TABLE: dict[OpSpec, Row] = {
    s.RESHAPE: _reshape,
    s.TRANSPOSE: lambda w, x, axes: w.transpose(x, axes),
    s.EXPAND_DIMS: lambda w, x, axes: w.expand_dims(x, axes),
    s.SQUEEZE: _squeeze,
    s.BROADCAST_TO: lambda w, x, shape: w.expand(x, shape),
    s.CONCATENATE: _concatenate,
    s.STACK: _stack,
    s.SPLIT: _split,
    s.UNSTACK: _unstack,
}
