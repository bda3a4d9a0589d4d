"""Products of matrices."""

from __future__ import annotations

from typing import Any

from unifront.onnx.writer import Ref, Row, Writer
from unifront.opset import linalg as a
from unifront.opset.spec import OpSpec


def _dense(w: Writer, x: Ref, kernel: Ref, bias: Ref | None) -> Any:
    if x.type.rank == 2 and bias is not None:
        return w.op("Gemm", x, kernel, bias)
    product = w.op("MatMul", x, kernel)
    return product if bias is None else w.op("Add", product, bias)


TABLE: dict[OpSpec, Row] = {
    a.MATMUL: lambda w, x, y: w.op("MatMul", x, y),
    a.DENSE: _dense,
    a.EINSUM: lambda w, *xs, equation: w.op("Einsum", *xs, equation=equation),
}
