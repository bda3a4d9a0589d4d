"""Pooling."""

from __future__ import annotations

from typing import Any

from unifront.onnx.rows.conv import padding_attributes
from unifront.onnx.writer import Ref, Row, Writer
from unifront.opset import pool as p
from unifront.opset.spec import OpSpec
from unifront.opset.windows import Padding


def _pooling(kind: str, **fixed: Any) -> Row:
    def row(
        w: Writer,
        x: Ref,
        pool_size: tuple[int, ...],
        strides: tuple[int, ...],
        padding: Padding,
        data_format: str,
    ) -> Any:
        attributes = {**fixed, **padding_attributes(padding)}
        return w.op(kind, x, kernel_shape=list(pool_size), strides=list(strides), **attributes)

    return row


TABLE: dict[OpSpec, Row] = {
    p.MAX_POOL: _pooling("MaxPool"),
    p.AVERAGE_POOL: _pooling("AveragePool", count_include_pad=0),
}
