"""Arithmetic, comparisons and logic, element by element."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from unifront import ops
from unifront.ir.types import TensorType
from unifront.onnx.imports.node import Node, Row, rank
from unifront.onnx.imports.values import is_strings
from unifront.opset.tensor import type_of


def _unary(function: Callable[[Any], Any]) -> Row:
    return Row(lambda node, x: function(x))


def kind(value: Any) -> TensorType:
    """The type of a tensor or array."""
    return type_of(value)


def _aligned(node: Node, x: Any, y: Any) -> tuple[Any, Any]:
    """Operands as they broadcast; before version 7 the second one goes to the axes that the node says."""
    axis = node["axis"]
    if node.version < 7 and node["broadcast"] and axis is not None and rank(y) > 0:
        start = axis % rank(x)
        y = ops.reshape(y, (*kind(y).shape, *(1,) * (rank(x) - start - rank(y))))
    return x, y


def _binary(function: Callable[[Any, Any], Any]) -> Row:
    return Row(lambda node, x, y: function(*_aligned(node, x, y)))


def _variadic(function: Callable[[Any, Any], Any]) -> Row:
    return Row(lambda node, *xs: reduce(function, xs))


def _divide(x: Any, y: Any) -> Any:
    """Of integers the quotient cut toward zero, as in C."""
    dtype = kind(x).dtype
    if not dtype.is_integer:
        return ops.divide(x, y)
    quotient = ops.floor_divide(x, y)
    if dtype.kind == "u":
        return quotient
    rest = ops.subtract(x, ops.multiply(quotient, y))
    up = ops.logical_and(ops.not_equal(rest, 0), ops.less(quotient, 0))
    return ops.add(quotient, ops.cast(up, dtype))


def _power(node: Node, x: Any, y: Any) -> Any:
    x, y = _aligned(node, x, y)
    base, exponent = kind(x).dtype, kind(y).dtype
    if base == exponent:
        return ops.power(x, y)
    if exponent.is_integer and base.is_float and isinstance(y, np.ndarray) and y.size == 1:
        return ops.power(x, y.astype(base.numpy))
    wide = "float64" if "float64" in (base.name, exponent.name) or base.bits > 32 else "float32"
    if base.is_integer and exponent.is_integer:
        return ops.power(x, ops.cast(y, base))
    return ops.cast(ops.power(ops.cast(x, wide), ops.cast(y, wide)), base)


def _modulo(node: Node, x: Any, y: Any) -> Any:
    return ops.fmod(x, y) if node["fmod"] else ops.mod(x, y)


def _mean(node: Node, *xs: Any) -> Any:
    return ops.divide(reduce(ops.add, xs), np.asarray(len(xs), kind(xs[0]).dtype.numpy))


def _shift(node: Node, x: Any, y: Any) -> Any:
    """Bits moved; by more than there are, or by fewer than none, they are gone (the sign of a shift right stays)."""
    dtype = kind(x).dtype
    left = node["direction"] == "LEFT"
    within = ops.less(y, np.asarray(dtype.bits, dtype.numpy))
    if dtype.kind == "i":
        within = ops.logical_and(within, ops.greater_equal(y, np.asarray(0, dtype.numpy)))
    places = ops.where(within, y, ops.zeros_like(y))
    moved = (ops.left_shift if left else ops.right_shift)(x, places)
    gone = ops.zeros_like(moved)
    if dtype.kind == "i" and not left:
        gone = ops.subtract(gone, ops.cast(ops.less(x, np.asarray(0, dtype.numpy)), dtype))
    return ops.where(within, moved, gone)


def _clip(node: Node, x: Any, low: Any = None, high: Any = None) -> Any:
    dtype = kind(x).dtype
    if node.version < 11:
        low, high = (np.asarray(node[name], dtype.numpy) for name in ("min", "max"))
    if dtype.is_float and isinstance(low, np.ndarray) and isinstance(high, np.ndarray) and low <= high:
        low, high = float(low), float(high)
        return ops.relu6(x) if (low, high) == (0, 6) else ops.clip(x, low, high)
    if low is not None:
        x = ops.maximum(x, ops.cast(low, dtype))
    return x if high is None else ops.minimum(x, ops.cast(high, dtype))


def _is_inf(node: Node, x: Any) -> Any:
    up, down = node["detect_positive"], node["detect_negative"]
    if up and down:
        return ops.isinf(x)
    if not up and not down:
        return ops.logical_and(ops.isinf(x), False)
    return ops.isposinf(x) if up else ops.isneginf(x)


def _add(node: Node, x: Any, y: Any) -> Any:
    """A vector of one element beside a product is its bias, a weight; else it is a number in a formula."""
    made = [
        node.frame.made_by.get(name) in ("MatMul", "Gemm", "Conv", "ConvTranspose")
        for name in node.proto.input[:2]
    ]
    x, y = (node.weight(one) if made[1 - i] else node.number(one) for i, one in enumerate((x, y)))
    return ops.add(*_aligned(node, x, y))


def _equal(node: Node, x: Any, y: Any) -> Any:
    if is_strings(x) or is_strings(y):
        return np.asarray(node.known(x) == node.known(y), bool)
    x, y = (one if isinstance(one, np.ndarray) else node.traced(node.number(one)) for one in (x, y))
    return ops.equal(*_aligned(node, x, y))


def _where(node: Node, condition: Any, x: Any, y: Any) -> Any:
    return ops.where(condition, x, y)


TABLE: dict[str, Row] = {
    **{
        name: _unary(function)
        for name, function in {
            "Abs": ops.abs, "Neg": ops.negative, "Exp": ops.exp, "Log": ops.log, "Sqrt": ops.sqrt, "Sin": ops.sin,
            "Cos": ops.cos, "Tan": ops.tan, "Asin": ops.arcsin, "Acos": ops.arccos, "Atan": ops.arctan,
            "Sinh": ops.sinh, "Cosh": ops.cosh, "Tanh": ops.tanh, "Asinh": ops.arcsinh, "Acosh": ops.arccosh,
            "Atanh": ops.arctanh, "Erf": ops.erf, "Floor": ops.floor, "Ceil": ops.ceil, "Round": ops.round,
            "Sign": ops.sign, "Reciprocal": ops.reciprocal, "Not": ops.logical_not, "BitwiseNot": ops.bitwise_not,
            "IsNaN": ops.isnan,
        }.items()
    },
    **{
        name: _binary(function)
        for name, function in {
            "Sub": ops.subtract, "Mul": ops.multiply, "Div": _divide, "And": ops.logical_and, "Or": ops.logical_or,
            "Xor": ops.logical_xor, "Less": ops.less, "LessOrEqual": ops.less_equal,
            "Greater": ops.greater, "GreaterOrEqual": ops.greater_equal, "BitwiseAnd": ops.bitwise_and,
            "BitwiseOr": ops.bitwise_or, "BitwiseXor": ops.bitwise_xor,
        }.items()
    },
    "Add": Row(_add, weights=(0, 1)),
    "Equal": Row(_equal, raw=True),
    "Sum": _variadic(ops.add),
    "Max": _variadic(ops.maximum),
    "Min": _variadic(ops.minimum),
    "Mean": Row(_mean),
    "Pow": Row(_power),
    "Mod": Row(_modulo),
    "BitShift": Row(_shift),
    "Clip": Row(_clip),
    "IsInf": Row(_is_inf),
    "Where": Row(_where),
}  # fmt: skip
