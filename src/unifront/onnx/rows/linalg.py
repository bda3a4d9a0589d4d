"""Products of matrices."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from unifront.dtypes import float16, int8, int32, int64
from unifront.ir.types import TensorType
from unifront.onnx.writer import Ref, Row, Writer
from unifront.opset import linalg as a
from unifront.opset.spec import OpSpec


def _matmul(w: Writer, x: Ref, y: Ref) -> Any:
    """A product with a known matrix in float16 is one of two matrices.

    ONNX Runtime (1.31, on a CPU) crashes on ``MatMul(Transpose(x, perm=[1, 0, 2]), matrix)`` in float16, which is
    a dense layer behind a recurrent one.
    """
    return _whole(w, (x, y), lambda *wide: _product(w, *wide))


def _whole(w: Writer, xs: Sequence[Ref], product: Callable[..., Any]) -> Any:
    """A product; of narrow integers, for which there is no MatMul, that of wider ones, whose lower bits it is."""
    dtype = xs[0].type.dtype
    if not dtype.is_integer or dtype.bits > 32 or dtype == int32:
        return product(*xs)
    wide = int64 if dtype.bits == 32 else int32
    found = product(*(w.cast(x, wide) for x in xs))
    return found if dtype == int8 else w.cast(found, dtype)


def _product(w: Writer, x: Ref, y: Ref) -> Any:
    """See `_matmul`."""
    if y.array is None or y.type.rank != 2 or x.type.rank < 3 or x.type.dtype != float16:
        return w.op("MatMul", x, y)
    *outer, size = x.type.shape
    rows = w.reshape(x, (math.prod(outer), size))
    product = replace(
        w.op("MatMul", rows, y), known_type=TensorType(float16, (math.prod(outer), y.type.shape[1]))
    )
    return w.reshape(product, (*outer, y.type.shape[1]))


def _dense(w: Writer, x: Ref, kernel: Ref, bias: Ref | None) -> Any:
    if x.type.rank == 2 and bias is not None:
        return w.op("Gemm", x, kernel, bias)
    product = _matmul(w, x, kernel)
    return product if bias is None else w.op("Add", product, bias)


TABLE: dict[OpSpec, Row] = {
    a.MATMUL: _matmul,
    a.DENSE: _dense,
    a.EINSUM: lambda w, *xs, equation: _whole(w, xs, lambda *wide: w.op("Einsum", *wide, equation=equation)),
}
