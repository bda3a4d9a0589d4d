"""Quantization: to integers and floats of few bits and back, and products of quantized operands."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from unifront import ops
from unifront.onnx.imports.casting import narrowed
from unifront.onnx.imports.conv import convolved, kernel_axes
from unifront.onnx.imports.linalg import integer_product
from unifront.onnx.imports.node import Node, Row, axis_of, rank
from unifront.onnx.imports.values import ELEMENTS, NARROW, Narrow, Value, carrier, element_in
from unifront.opset.tensor import type_of


def _tensor(node: Node, value: Value) -> Any:
    """What carries the numbers of a tensor, of any type."""
    if isinstance(value, Narrow):
        return value.tensor
    value = node.number(value)
    return value if isinstance(value, np.ndarray) else node.traced(value)


def _along(node: Node, x: Any, parameter: Any, name: str = "axis") -> Any:
    """A scale or zero point as it goes with ``x``: one for all, for each position of an axis, or for each block."""
    shape = type_of(parameter).shape
    if rank(parameter) == 0 or shape == (1,):
        return ops.reshape(parameter, ())
    axis = axis_of(node, node[name], rank(x))
    block = node["block_size"] or 0
    if not block:
        return ops.reshape(parameter, tuple(shape[0] if i == axis else 1 for i in range(rank(x))))
    repeated = ops.repeat(parameter, block, axis)
    return ops.strided_slice(repeated, (0,) * rank(x), type_of(x).shape)


def limits(element: int) -> tuple[int, int] | None:
    """The least and the greatest integer of an element type, None of floats."""
    if element in NARROW:
        name = NARROW[element][0]
        if name.startswith("float"):
            return None
        info = ml_dtypes.iinfo(getattr(ml_dtypes, name))
        return int(info.min), int(info.max)
    if not ELEMENTS[element].startswith(("int", "uint")):
        return None
    own = np.iinfo(ELEMENTS[element])
    return int(own.min), int(own.max)


def quantized(x: Any, zero_point: Any, element: int, saturate: bool = True) -> Value:
    """Numbers, scaled already, rounded to the nearest (of two to the even one) and cut to the type's ends."""
    ends = limits(element)
    if ends is None:
        return Narrow(narrowed(x, element, saturate), element)
    wide = ops.round(x)
    if zero_point is not None:
        wide = ops.add(wide, ops.cast(zero_point, type_of(wide).dtype))
    whole = ops.cast(ops.clip(wide, float(ends[0]), float(ends[1])), carrier(element))
    return Narrow(whole, element) if element in NARROW else whole


def quantize(node: Node, x: Value, scale: Value, zero_point: Value = None) -> Value:
    """The row of QuantizeLinear."""
    element = node["output_dtype"] or (2 if zero_point is None else element_in(zero_point))
    assert element is not None
    x, scale = _tensor(node, x), _tensor(node, scale)
    own = node["precision"]
    wide = "float64" in (type_of(x).dtype.name, type_of(scale).dtype.name)
    dtype = carrier(own).name if own else "float64" if wide else "float32"
    scaled = ops.divide(ops.cast(x, dtype), _along(node, x, ops.cast(scale, dtype)))
    shift = None if zero_point is None else _along(node, x, _tensor(node, zero_point))
    return quantized(scaled, shift, element, node["saturate"] != 0)


def dequantize(node: Node, x: Value, scale: Value, zero_point: Value = None) -> Value:
    """The row of DequantizeLinear."""
    x, scale = _tensor(node, x), _tensor(node, scale)
    dtype = carrier(node["output_dtype"]) if node["output_dtype"] else type_of(scale).dtype
    wide = "float32" if type_of(scale).dtype.bits < 32 else type_of(scale).dtype.name
    number = ops.cast(x, wide) if type_of(x).dtype.is_float else ops.cast(x, "int32")
    if zero_point is not None and type_of(x).dtype.is_integer:
        number = ops.subtract(number, _along(node, x, ops.cast(_tensor(node, zero_point), "int32")))
    return ops.cast(ops.multiply(ops.cast(number, wide), _along(node, x, ops.cast(scale, wide))), dtype)


def _shifted(node: Node, x: Any, zero_point: Any, axis: int) -> Any:
    """Integers less their zero point, which may be one for each position of ``axis``."""
    whole = ops.cast(x, "int32")
    if zero_point is None:
        return whole
    shift = ops.cast(zero_point, "int32")
    if rank(shift) == 1 and type_of(shift).shape != (1,):
        shift = ops.reshape(shift, tuple(-1 if i == axis % rank(x) else 1 for i in range(rank(x))))
    elif rank(shift) == 1:
        shift = ops.reshape(shift, ())
    return ops.subtract(whole, shift)


def _matmul_integer(node: Node, a: Any, b: Any, a_zero: Any = None, b_zero: Any = None) -> Any:
    return integer_product(_shifted(node, a, a_zero, -2), _shifted(node, b, b_zero, -1))


def _qlinear_matmul(
    node: Node, a: Value, a_scale: Value, a_zero: Value, b: Value, b_scale: Value, b_zero: Value, y_scale: Value,
    y_zero: Value,
) -> Value:  # fmt: skip
    element = element_in(y_zero)
    assert element is not None
    a, b, a_zero, b_zero, zero, *scales = (
        _tensor(node, one) for one in (a, b, a_zero, b_zero, y_zero, a_scale, b_scale, y_scale)
    )
    if type_of(a).dtype.is_integer:
        product = ops.cast(
            integer_product(_shifted(node, a, a_zero, -2), _shifted(node, b, b_zero, -1)), "float64"
        )
    else:
        product = ops.matmul(ops.cast(a, "float64"), ops.cast(b, "float64"))
    left, right, out = (ops.cast(one, "float64") for one in scales)
    if rank(left) == 1 and type_of(left).shape != (1,):
        left = ops.expand_dims(left, -1)
    return quantized(ops.multiply(product, ops.divide(ops.multiply(left, right), out)), zero, element)


def _integer_conv(node: Node, x: Any, kernel: Any, x_zero: Any, kernel_zero: Any) -> Any:
    """A convolution of integers, exactly: float64 holds all sums. (No framework convolves integers everywhere.)"""
    x, kernel = _shifted(node, x, x_zero, 1), _shifted(node, kernel, kernel_zero, 0)
    kernel = ops.transpose(ops.cast(kernel, "float64"), kernel_axes(rank(kernel) - 2))
    return convolved(node, ops.cast(x, "float64"), kernel, None, node["group"])


def _conv_integer(node: Node, x: Any, kernel: Any, x_zero: Any = None, kernel_zero: Any = None) -> Any:
    return ops.cast(_integer_conv(node, x, kernel, x_zero, kernel_zero), "int32")


def qlinear_conv(
    node: Node, x: Any, x_scale: Any, x_zero: Any, kernel: Any, kernel_scale: Any, kernel_zero: Any, y_scale: Any,
    y_zero: Any, bias: Any = None,
) -> Value:  # fmt: skip
    """The row of QLinearConv."""
    product = _integer_conv(node, x, kernel, x_zero, kernel_zero)
    channels = (-1, *(1,) * (rank(x) - 2))
    if bias is not None:
        product = ops.add(product, ops.reshape(ops.cast(bias, "float64"), channels))
    scale = ops.divide(
        ops.multiply(ops.cast(x_scale, "float64"), ops.cast(kernel_scale, "float64")),
        ops.cast(y_scale, "float64"),
    )
    scale = ops.reshape(scale, () if type_of(scale).size == 1 else channels)
    element = element_in(y_zero)
    assert element is not None
    return quantized(ops.multiply(product, scale), ops.reshape(y_zero, ()), element)


TABLE = {
    "QuantizeLinear": Row(quantize, raw=True, narrow=True),
    "DequantizeLinear": Row(dequantize, raw=True, narrow=True),
    "MatMulInteger": Row(_matmul_integer),
    "QLinearMatMul": Row(_qlinear_matmul, raw=True, narrow=True),
    "ConvInteger": Row(_conv_integer),
    "QLinearConv": Row(qlinear_conv),
}
