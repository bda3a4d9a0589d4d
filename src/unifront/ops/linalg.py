"""Products of matrices: matmul, dense, einsum."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from unifront.errors import DTypeError, ShapeError
from unifront.ir.types import TensorType
from unifront.ops.elementwise import TensorLike, add, floating, promoted
from unifront.ops.rules import broadcast, need_float, need_rank, same_dtype, show
from unifront.ops.spec import OpSpec, Sample, register
from unifront.ops.tensor import bind


def _numbers(name: str, *types: TensorType) -> None:
    if same_dtype(*types).kind in "bk":
        raise DTypeError(f"{name} takes numbers, not {types[0].dtype}; cast them first.")


def _matmul_rule(x: TensorType, y: TensorType) -> TensorType:
    _numbers("matmul", x, y)
    if x.rank == 0 or y.rank == 0:
        raise ShapeError(f"matmul takes no scalars; the shapes are {show(x.shape)} and {show(y.shape)}.")
    inner = y.shape[-2] if y.rank > 1 else y.shape[0]
    if x.shape[-1] != inner:
        raise ShapeError(
            f"matmul: the last axis of {show(x.shape)} and the {'second last' if y.rank > 1 else 'only'} "
            f"axis of {show(y.shape)} have different lengths."
        )
    rows, columns = x.shape[-2:-1], y.shape[-1:] if y.rank > 1 else ()
    return TensorType(x.dtype, (*broadcast(x.shape[:-2], y.shape[:-2]), *rows, *columns))


def _matmul_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for x, y in (
        ((2, 3), (3, 4)), ((3,), (3,)), ((3,), (2, 3, 1)), ((2, 2, 3), (3,)), ((2, 1, 2, 3), (3, 3, 1)),
        ((4, 2, 3), (3, 2)), ((2, 0), (0, 3)), ((0, 2, 3), (3, 1)),
    ):  # fmt: skip
        yield Sample((rng.normal(size=x), rng.normal(size=y)))


MATMUL = register(OpSpec("matmul", _matmul_rule, np.matmul, _matmul_samples, "NumPy matmul; ONNX MatMul"))


def matmul(x: TensorLike, y: TensorLike) -> Any:
    """Matrix product: last axis of ``x`` by second last of ``y``; the other axes broadcast (NumPy matmul)."""
    return bind(MATMUL, *promoted(x, y))


def _dense_rule(x: TensorType, kernel: TensorType, bias: TensorType | None) -> TensorType:
    need_float(x, "dense: the input")
    same_dtype(*(type_ for type_ in (x, kernel, bias) if type_ is not None))
    need_rank(kernel, 2, "dense: the kernel")
    if x.rank == 0 or x.shape[-1] != kernel.shape[0]:
        raise ShapeError(
            f"dense: the last axis of the input {show(x.shape)} is not as long as the first of the kernel "
            f"{show(kernel.shape)}."
        )
    if bias is not None and bias.shape != kernel.shape[1:]:
        raise ShapeError(f"dense: the bias {show(bias.shape)} does not fit the kernel {show(kernel.shape)}.")
    return x.with_shape((*x.shape[:-1], kernel.shape[1]))


def _dense(x: np.ndarray, kernel: np.ndarray, bias: np.ndarray | None) -> np.ndarray:
    return x @ kernel if bias is None else x @ kernel + bias


def _dense_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, units, with_bias in (
        ((2, 3), 4, True), ((5, 1), 1, False), ((3,), 2, True), ((2, 3, 4), 3, True),
        ((2, 1, 2, 3), 2, False), ((0, 3), 2, True),
    ):  # fmt: skip
        bias = rng.normal(size=units) if with_bias else None
        yield Sample((rng.normal(size=shape), rng.normal(size=(shape[-1], units)), bias))


def _dense_written_out(x: Any, kernel: Any, bias: Any) -> Any:
    product = matmul(x, kernel)
    return product if bias is None else add(product, bias)


DENSE = register(
    OpSpec(
        "dense", _dense_rule, _dense, _dense_samples, "Keras Dense; ONNX Gemm, MatMul and Add",
        decomposition=_dense_written_out,
    )
)  # fmt: skip


def dense(x: TensorLike, kernel: TensorLike, bias: TensorLike | None = None) -> Any:
    """``x @ kernel + bias``: a fully connected layer.

    Args:
        x: ``[..., in]``.
        kernel: ``[in, units]``.
        bias: ``[units]`` or None.
    """
    operands = promoted(*(floating(o) for o in (x, kernel, bias) if o is not None))
    return bind(DENSE, *operands, *([None] if bias is None else []))
