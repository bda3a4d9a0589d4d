"""Elements by position, sorting."""

from __future__ import annotations

from typing import Any

import numpy as np

from unifront.dtypes import dtype_of
from unifront.onnx.writer import Ref, Row, Writer
from unifront.opset import index as i
from unifront.opset.rules import broadcast
from unifront.opset.spec import OpSpec


def _take_along_axis(w: Writer, x: Ref, indices: Ref, axis: int) -> Any:
    """GatherElements takes no part in broadcasting, so that both are spread first."""
    shapes = [(*ref.type.shape[:axis], 1, *ref.type.shape[axis + 1 :]) for ref in (x, indices)]
    common = broadcast(*shapes)
    spread = [w.expand(r, (*common[:axis], r.type.shape[axis], *common[axis + 1 :])) for r in (x, indices)]
    return w.op("GatherElements", *spread, axis=axis)


def _one_hot(w: Writer, indices: Ref, num_classes: int, axis: int, dtype: str) -> Any:
    """Not ONNX's OneHot, which counts negative classes from the end."""
    classes = np.arange(num_classes, dtype=indices.type.dtype.numpy)
    column = classes.reshape(-1, *(1,) * (indices.type.rank - axis))
    equal = w.op("Equal", w.expand_dims(indices, (axis,)), column)
    return equal if dtype == "bool" else w.cast(equal, dtype_of(dtype))


def _sorted(result: int) -> Row:
    """Values (0) or positions (1) in ascending order; ONNX's TopK leaves equal ones in their order."""

    def row(w: Writer, x: Ref, axis: int) -> Any:
        size = w.sizes(x.type.shape[axis : axis + 1])
        found = w.op("TopK", x, size, axis=axis, largest=0, sorted=1, outputs=2)
        return w.cast(found[1], "int32") if result else found[0]

    return row


def _top_k(w: Writer, x: Ref, k: int) -> Any:
    values, positions = w.op("TopK", x, np.array([k]), axis=-1, largest=1, sorted=1, outputs=2)
    return values, w.cast(positions, "int32")


TABLE: dict[OpSpec, Row] = {
    i.TAKE: lambda w, x, indices, axis: w.op("Gather", x, indices, axis=axis),
    i.TAKE_ALONG_AXIS: _take_along_axis,
    i.EMBEDDING: lambda w, indices, table: w.op("Gather", table, indices, axis=0),
    i.ONE_HOT: _one_hot,
    i.SORT: _sorted(0),
    i.ARGSORT: _sorted(1),
    i.TOP_K: _top_k,
}
