"""Integers as ONNX Runtime computes with them (``com.microsoft``): products, sums and pools of quantized operands.

What is not a product of integers is computed in float32, between a dequantization and a quantization, as the operators
are defined. Source: ONNX Runtime, docs/ContribOperators.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from unifront import ops
from unifront.onnx.imports import quantized as standard
from unifront.onnx.imports.contrib import channels_first
from unifront.onnx.imports.contrib_attention import ATTENTION, projected_attention
from unifront.onnx.imports.linalg import integer_product
from unifront.onnx.imports.node import NEEDED, Node, Row, axes_of, axis_of, rank
from unifront.onnx.imports.pool import average_pool
from unifront.onnx.imports.values import Value, element_in
from unifront.opset.tensor import type_of

# ---------------------------------------------------------------- one tensor


def _number(parameter: Any) -> Any:
    """A scale or zero point that is one for all."""
    return ops.reshape(parameter, ())


def _real(x: Any, scale: Any, zero: Any = None) -> Any:
    """The numbers that integers stand for."""
    whole = ops.cast(x, "int32")
    if zero is not None:
        whole = ops.subtract(whole, ops.cast(_number(zero), "int32"))
    return ops.multiply(ops.cast(whole, "float32"), _number(scale))


def _whole(y: Any, scale: Any, zero: Any, like: Any) -> Value:
    """Numbers as integers of the type of ``zero``, or of ``like`` where that is left out."""
    element = element_in(like if zero is None else zero)
    assert element is not None
    shift = None if zero is None else _number(zero)
    return standard.quantized(ops.divide(y, _number(scale)), shift, element)


def _first(node: Node, x: Any) -> tuple[Any, Callable[[Any], Any]]:
    return channels_first(x, bool(node["channels_last"]))


def _elementwise(function: Callable[[Node, Any], Any]) -> Callable[..., Value]:
    """A row of a function of one operand, with its scale and zero point and those of the result."""

    def row(node: Node, x: Any, x_scale: Any, x_zero: Any, y_scale: Any, y_zero: Any = None) -> Value:
        return _whole(function(node, _real(x, x_scale, x_zero)), y_scale, y_zero, x)

    return row


def _two(function: Callable[[Any, Any], Any]) -> Callable[..., Value]:
    """A row of a function of two operands."""

    def row(
        node: Node, a: Any, a_scale: Any, a_zero: Any, b: Any, b_scale: Any, b_zero: Any, y_scale: Any,
        y_zero: Any = None,
    ) -> Value:  # fmt: skip
        return _whole(function(_real(a, a_scale, a_zero), _real(b, b_scale, b_zero)), y_scale, y_zero, a)

    return row


def _softmax(node: Node, x: Any) -> Any:
    axis = axis_of(node, node["axis"], rank(x))
    if node["opset"] >= 13 or axis == rank(x) - 1:
        return ops.softmax(x, axis)
    shape = type_of(x).shape
    flat = ops.reshape(x, (*shape[:axis], -1))  # over all axes from that one on
    return ops.reshape(ops.softmax(flat, -1), shape)


def _average(node: Node, x: Any) -> Any:
    first, back = _first(node, x)
    return back(average_pool(node.standard(dilations=None), first))


def _global_average(node: Node, x: Any) -> Any:
    first, back = _first(node, x)
    return back(ops.mean(first, tuple(range(2, rank(first))), True))


def _reduced(node: Node, x: Any) -> Any:
    axes = axes_of(node, node["axes"], rank(x)) if node["axes"] else tuple(range(rank(x)))
    return ops.mean(x, axes, bool(node["keepdims"]))


def _chosen(
    node: Node, condition: Any, x: Any, x_scale: Any, x_zero: Any, y: Any, y_scale: Any, y_zero: Any, scale: Any,
    zero: Any,
) -> Value:  # fmt: skip
    return _whole(ops.where(condition, _real(x, x_scale, x_zero), _real(y, y_scale, y_zero)), scale, zero, x)


def _joined(node: Node, scale: Any, zero: Any, *parts: Any) -> Value:
    if not parts or len(parts) % 3:
        node.fail(f"{len(parts)} operands, which are not tensors, scales and zero points")
    real = [_real(*parts[i : i + 3]) for i in range(0, len(parts), 3)]
    axis = axis_of(node, node["axis"], rank(real[0]))
    return _whole(ops.concatenate(real, axis), scale, zero, parts[0])


# ---------------------------------------------------------------- products


def _shifted(x: Any, zero: Any) -> Any:
    """Integers less a zero point, which may be one for each column."""
    whole = ops.cast(x, "int32")
    return whole if zero is None else ops.subtract(whole, ops.cast(_columns(zero), "int32"))


def _columns(parameter: Any) -> Any:
    return _number(parameter) if type_of(parameter).size == 1 else parameter


def _scaled(product: Any, *scales: Any) -> Any:
    """A product of integers as the number it stands for; a scale may be one for each column."""
    factor = _columns(scales[0])
    for scale in scales[1:]:
        factor = ops.multiply(factor, _columns(scale))
    return ops.multiply(ops.cast(product, "float32"), factor)


def _to_float(
    node: Node, a: Any, b: Any, a_scale: Any, b_scale: Any, a_zero: Any = None, b_zero: Any = None, bias: Any = None
) -> Any:  # fmt: skip
    y = _scaled(integer_product(_shifted(a, a_zero), _shifted(b, b_zero)), a_scale, b_scale)
    return y if bias is None else ops.add(y, node.weight(bias))


def _dynamic(node: Node, a: Any, b: Any, b_scale: Any, b_zero: Any = None, bias: Any = None) -> Any:
    """The first operand is quantized by its own range, to unsigned integers (ONNX DynamicQuantizeLinear)."""
    low, high = ops.minimum(ops.min(a), 0.0), ops.maximum(ops.max(a), 0.0)
    scale = ops.divide(ops.subtract(high, low), 255.0)
    scale = ops.where(ops.equal(scale, 0.0), np.float32(1), scale)
    zero = ops.round(ops.clip(ops.divide(ops.negative(low), scale), 0.0, 255.0))
    whole = ops.clip(ops.add(ops.round(ops.divide(a, scale)), zero), 0.0, 255.0)
    return _to_float(node, whole, b, scale, b_scale, zero, b_zero, bias)


def _gemm(
    node: Node, a: Any, a_scale: Any, a_zero: Any, b: Any, b_scale: Any, b_zero: Any, c: Any = None,
    y_scale: Any = None, y_zero: Any = None,
) -> Any:  # fmt: skip
    left = _shifted(ops.transpose(a, (1, 0)) if node["transA"] else a, a_zero)
    right = _shifted(ops.transpose(b, (1, 0)) if node["transB"] else b, b_zero)
    product = integer_product(left, right)
    if c is not None:
        product = ops.add(product, c)
    y = _scaled(product, a_scale, b_scale)
    y = y if node["alpha"] == 1 else ops.multiply(y, node["alpha"])
    return y if y_scale is None else _whole(y, y_scale, y_zero, a)


def _attention(
    node: Node, x: Any, weights: Any, bias: Any, x_scale: Any, scale: Any, mask: Any = None, x_zero: Any = None,
    zero: Any = None, past: Any = None,
) -> Any:  # fmt: skip
    qkv = _to_float(node, x, weights, x_scale, scale, x_zero, zero, bias)
    return projected_attention(node, qkv, mask, past, None, None)


def _conv(
    node: Node, x: Any, x_scale: Any, x_zero: Any, kernel: Any, scale: Any, zero: Any, y_scale: Any, y_zero: Any,
    bias: Any = None,
) -> Value:  # fmt: skip
    first, back = _first(node, x)
    return back(
        standard.qlinear_conv(
            node.standard(), first, x_scale, x_zero, kernel, scale, zero, y_scale, y_zero, bias
        )
    )


# ---------------------------------------------------------------- weights of few bits


def unpacked(packed: np.ndarray, bits: int, count: int) -> np.ndarray:
    """``count`` numbers of ``bits`` bits (a divisor of 8) of each row of bytes, those of the lowest bits first."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    parts = (packed[..., None] >> shifts) & np.uint8(2**bits - 1)
    return parts.reshape(*packed.shape[:-1], -1)[..., :count]


def _few_bits(
    node: Node,
    x: Any,
    packed: np.ndarray,
    scales: Any,
    zeros: Any = None,
    order: Any = None,
    bias: Any = None,
) -> Any:
    """A product with a matrix ``[N, K]`` that is stored in blocks along K, each with its scale and zero point."""
    k, n, bits, block = (node[name] for name in ("K", "N", "bits", "block_size"))
    if bits not in (2, 4, 8) or min(k, n) < 1 or block < 16 or block & (block - 1):
        node.fail(f"{bits} bits in blocks of {block} for a matrix of {n} by {k}")
    if order is not None:
        node.fail("blocks of which the columns are in another order (g_idx)")
    blocks = -(-k // block)
    if packed.dtype != np.uint8 or packed.size != n * blocks * (block * bits // 8):
        node.fail(f"{packed.size} bytes for a matrix of {n} by {k}, of {bits} bits in blocks of {block}")
    whole = unpacked(packed.reshape(n, blocks, -1), bits, block)
    numbers = ops.cast(node.traced(whole), type_of(scales).dtype)
    shift: Any = 2 ** (bits - 1)
    if zeros is not None:
        shift = _zero_points(node, zeros, n, blocks, bits)
        shift = ops.expand_dims(ops.cast(shift, type_of(scales).dtype), -1)
    scaled = ops.multiply(ops.subtract(numbers, shift), ops.reshape(scales, (n, blocks, 1)))
    matrix = ops.strided_slice(ops.reshape(scaled, (n, blocks * block)), (0, 0), (n, k))
    y = ops.matmul(x, ops.transpose(matrix, (1, 0)))
    return y if bias is None else ops.add(y, node.weight(bias))


def _zero_points(node: Node, zeros: Any, n: int, blocks: int, bits: int) -> Any:
    """One for each block, as they are or with several in a byte."""
    if type_of(zeros).dtype.is_float:
        return ops.reshape(zeros, (n, blocks))
    width = -(-blocks * bits // 8)
    array = node.known(zeros, "zero points")
    if array.dtype != np.uint8 or array.size != n * width:
        node.fail(f"{array.size} bytes of zero points for {n} by {blocks} blocks")
    return unpacked(array.reshape(n, width), bits, blocks)


_POOL = {
    "auto_pad": "NOTSET", "ceil_mode": 0, "channels_last": 0, "count_include_pad": 0, "kernel_shape": NEEDED,
    "pads": None, "strides": None,
}  # fmt: skip
_CONV = {
    "auto_pad": "NOTSET", "channels_last": 0, "dilations": None, "group": 1, "kernel_shape": None, "pads": None,
    "strides": None,
}  # fmt: skip
TABLE_OF = {
    "com.microsoft": {
        "QuantizeLinear": Row(
            standard.quantize,
            raw=True,
            narrow=True,
            attributes={"axis": 1, "block_size": 0, "output_dtype": 0, "precision": 0, "saturate": 1},
        ),
        "DequantizeLinear": Row(
            standard.dequantize,
            raw=True,
            narrow=True,
            attributes={"axis": 1, "block_size": 0, "output_dtype": 0},
        ),
        "QLinearAdd": Row(_two(lambda a, b: ops.add(a, b)), attributes={}),
        "QLinearMul": Row(_two(lambda a, b: ops.multiply(a, b)), attributes={}),
        "QLinearSigmoid": Row(_elementwise(lambda node, x: ops.sigmoid(x)), attributes={}),
        "QLinearLeakyRelu": Row(
            _elementwise(lambda node, x: ops.leaky_relu(x, node["alpha"])), attributes={"alpha": 0.01}
        ),
        "QLinearSoftmax": Row(_elementwise(_softmax), attributes={"axis": -1, "opset": NEEDED}),
        "QLinearAveragePool": Row(_elementwise(_average), attributes=_POOL),
        "QLinearGlobalAveragePool": Row(_elementwise(_global_average), attributes={"channels_last": 0}),
        "QLinearReduceMean": Row(_elementwise(_reduced), attributes={"axes": NEEDED, "keepdims": NEEDED}),
        "QLinearWhere": Row(_chosen, attributes={}),
        "QLinearConcat": Row(_joined, attributes={"axis": NEEDED}),
        "QLinearConv": Row(_conv, state=(1, 4, 6), attributes=_CONV),
        "QGemm": Row(_gemm, state=(1, 4, 7), attributes={"alpha": 1.0, "transA": 0, "transB": 0}),
        "QAttention": Row(_attention, weights=(2,), state=(3, 4), attributes=ATTENTION),
        "MatMulIntegerToFloat": Row(_to_float, weights=(6,), state=(2, 3), attributes={}),
        "DynamicQuantizeMatMul": Row(_dynamic, weights=(4,), state=(2,), attributes={}),
        "MatMulNBits": Row(
            _few_bits,
            known=(1,),
            weights=(5,),
            state=(2,),
            attributes={
                "K": NEEDED, "N": NEEDED, "accuracy_level": 0, "bits": 4, "block_size": NEEDED, "weight_prepacked": 0,
            },
        ),
    }
}  # fmt: skip
UNSUPPORTED = {
    (
        "com.microsoft",
        "DynamicQuantizeLSTM",
    ): "it quantizes each step's state anew; an LSTM of floats is imported",
    (
        "com.microsoft",
        "MatMulBnb4",
    ): "its four bits are places in tables of bitsandbytes; MatMulNBits and DequantizeLinear are imported",
}
