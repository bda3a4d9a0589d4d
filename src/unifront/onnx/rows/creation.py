"""Tensors made from nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from unifront.dtypes import dtype_of, int64
from unifront.ir.dims import Dim, DimExpr
from unifront.ir.types import Shape, TensorType
from unifront.onnx.writer import Ref, Row, Writer
from unifront.opset import creation as c
from unifront.opset.spec import OpSpec


def _scalar(w: Writer, dim: Dim) -> Any:
    """A size as a scalar of int64."""
    return np.array(dim) if isinstance(dim, int) else w.op("Squeeze", w.size(dim), np.array([0]))


def _fill(w: Writer, like: Ref, shape: Shape, value: Any, dtype: str) -> Any:
    if isinstance(value, DimExpr):
        number = w.cast(_scalar(w, value), dtype)
    else:
        number = w.known(np.asarray(value, dtype_of(dtype).numpy))
    return w.op("Expand", number, w.sizes(shape)) if shape else number


def _iota(w: Writer, like: Ref, shape: Shape, axis: int, dtype: str) -> Any:
    positions = w.op("Range", np.array(0), _scalar(w, shape[axis]), np.array(1))
    positions = replace(positions, known_type=TensorType(int64, (shape[axis],)))
    column = w.expand_dims(w.cast(positions, dtype), range(1, len(shape) - axis))
    return w.expand(column, shape)


def _bind_size(w: Writer, value: Ref, size: DimExpr, layer: str) -> Any:
    return w.bind(size, w.reshape(w.cast(value, int64), (1,)))


TABLE: dict[OpSpec, Row] = {c.FILL: _fill, c.IOTA: _iota, c.BIND_SIZE: _bind_size}
