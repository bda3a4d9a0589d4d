"""Matrix products."""

from __future__ import annotations

from typing import Any

from unifront import ops
from unifront.onnx.imports.node import Node, Row, rank
from unifront.opset.tensor import type_of


def _matmul(node: Node, x: Any, y: Any) -> Any:
    x, y = node.weight(x), node.weight(y)
    dtype = type_of(x).dtype
    if dtype.is_integer:
        return ops.cast(integer_product(x, y), dtype)
    return ops.matmul(x, y)


def integer_product(x: Any, y: Any) -> Any:
    """The product of integer matrices, exactly, in the dtype that ONNX gives it: int32, or that of wider operands."""
    wide = max(type_of(x).dtype.bits, type_of(y).dtype.bits, 32)
    kind = f"{'u' if type_of(x).dtype.kind == type_of(y).dtype.kind == 'u' else ''}int{wide}"
    return ops.matmul(ops.cast(x, kind), ops.cast(y, kind))


def gemm(node: Node, x: Any, kernel: Any, bias: Any = None) -> Any:
    """``alpha * x · kernel + beta * bias``: a dense layer, where the factors are 1."""
    if node["transA"]:
        x = ops.transpose(node.weight(x), (1, 0))
    kernel = node.weight(kernel, (1, 0) if node["transB"] else None)
    x, alpha, beta = node.weight(x), node["alpha"], node["beta"]
    dtype = type_of(x).dtype
    if dtype.is_integer:
        product = ops.cast(integer_product(x, kernel), dtype)
        if alpha != 1:
            product = ops.cast(ops.multiply(ops.cast(product, "float64"), alpha), dtype)
        if bias is None:
            return product
        bias = node.weight(bias)
        return ops.add(
            product, bias if beta == 1 else ops.cast(ops.multiply(ops.cast(bias, "float64"), beta), dtype)
        )
    bias = None if bias is None else node.weight(bias)
    if bias is not None and rank(bias) == 2 and type_of(bias).shape == (1, *type_of(kernel).shape[1:]):
        bias = ops.reshape(bias, type_of(kernel).shape[1:])
    if bias is not None and node.version < 7 and not node["broadcast"] and rank(bias) != 2:
        node.fail("the bias does not have the shape of the result")
    if alpha == 1 and (bias is None or (beta == 1 and type_of(bias).shape == type_of(kernel).shape[1:])):
        return ops.dense(x, kernel, bias)
    product = ops.matmul(x, kernel)
    product = product if alpha == 1 else ops.multiply(product, alpha)
    if bias is None or beta == 0:
        return product
    return ops.add(product, bias if beta == 1 else ops.multiply(bias, beta))


def _einsum(node: Node, *xs: Any) -> Any:
    equation = "".join(node["equation"].split())
    return ops.einsum(equation, *xs)


def _det(node: Node, x: Any) -> Any:
    return ops.det(x)


TABLE = {
    "MatMul": Row(_matmul, weights=(0, 1)),
    "Gemm": Row(gemm, weights=(0, 1, 2)),
    "Einsum": Row(_einsum),
    "Det": Row(_det),
}
