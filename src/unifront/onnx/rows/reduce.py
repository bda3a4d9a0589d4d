"""Reductions and running sums."""

from __future__ import annotations

from typing import Any

import numpy as np

from unifront.dtypes import bool_
from unifront.onnx.writer import Ref, Row, Writer
from unifront.opset import cumulative as c
from unifront.opset import reduce as r
from unifront.opset.spec import OpSpec

Axes = tuple[int, ...]


def _axes(axes: Axes) -> np.ndarray:
    return np.array(axes, np.int64)


def _reduction(kind: str) -> Row:
    def row(w: Writer, x: Ref, axes: Axes, keepdims: bool) -> Any:
        if not axes:
            return x
        if w.opset < 18 and kind != "ReduceSum":
            return w.op(kind, x, axes=list(axes), keepdims=int(keepdims))
        return w.op(kind, x, _axes(axes), keepdims=int(keepdims))

    return row


def _global(kind: str, pooling: str) -> Row:
    """As `_reduction`; over the spatial axes of images, the global pooling that it is."""
    plain = _reduction(kind)

    def row(w: Writer, x: Ref, axes: Axes, keepdims: bool) -> Any:
        if axes == (2, 3) and x.type.rank == 4 and x.type.dtype.is_float and x.type.dtype.bits < 64:
            pooled = w.op(pooling, x)
            return pooled if keepdims else w.op("Flatten", pooled)
        return plain(w, x, axes, keepdims)

    return row


def _mean(w: Writer, x: Ref, axes: Axes, keepdims: bool) -> Any:
    if 0 in [x.type.shape[axis] for axis in axes]:  # runtimes differ about the mean of nothing: 0 / 0 says it
        total = w.op("ReduceSum", x, _axes(axes), keepdims=int(keepdims))
        return w.op("Div", total, w.number(0, x))
    return _global("ReduceMean", "GlobalAveragePool")(w, x, axes, keepdims)


def _logsumexp(w: Writer, x: Ref, axes: Axes, keepdims: bool) -> Any:
    if 0 in [x.type.shape[axis] for axis in axes]:
        return w.op("Log", w.op("ReduceSum", x, _axes(axes), keepdims=int(keepdims)))
    return _reduction("ReduceLogSumExp")(w, x, axes, keepdims)


def _any(w: Writer, x: Ref, axes: Axes, keepdims: bool) -> Any:
    if not axes:
        return x
    return w.cast(w.op("ReduceSum", w.cast(x, "int32"), _axes(axes), keepdims=int(keepdims)), "bool")


def _all(w: Writer, x: Ref, axes: Axes, keepdims: bool) -> Any:
    return w.op("Not", _any(w, w.op("Not", x), axes, keepdims)) if axes else x


def _extremum(row: Row, of_booleans: Row) -> Row:
    return lambda w, x, **attributes: (of_booleans if x.type.dtype == bool_ else row)(w, x, **attributes)


def _position(kind: str) -> Row:
    def row(w: Writer, x: Ref, axis: int, keepdims: bool) -> Any:
        x = w.cast(x, "int32") if x.type.dtype == bool_ else x
        return w.cast(w.op(kind, x, axis=axis, keepdims=int(keepdims)), "int32")

    return row


def _cumsum(w: Writer, x: Ref, axis: int, reverse: bool, exclusive: bool) -> Any:
    return w.op("CumSum", x, np.array(axis), reverse=int(reverse), exclusive=int(exclusive))


TABLE: dict[OpSpec, Row] = {
    r.SUM: _reduction("ReduceSum"),
    r.PROD: _reduction("ReduceProd"),
    r.MEAN: _mean,
    r.MAX: _extremum(_global("ReduceMax", "GlobalMaxPool"), _any),
    r.MIN: _extremum(_reduction("ReduceMin"), _all),
    r.LOGSUMEXP: _logsumexp,
    r.ANY: _any,
    r.ALL: _all,
    r.ARGMAX: _position("ArgMax"),
    r.ARGMIN: _position("ArgMin"),
    c.CUMSUM: _cumsum,
}
UNSUPPORTED: dict[OpSpec, str] = {
    c.CUMPROD: "ONNX has CumProd from the opset 26 on, for which runtimes have no kernel"
}
