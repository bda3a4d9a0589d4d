"""Rows for operations on each element."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from unifront.ir.graph import Op
from unifront.opset import elementwise as ops


def _signed(function: Callable[[Any], Any], of_unsigned: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """``function``, which has no kernels for unsigned integers, completed by ``of_unsigned``."""
    return lambda x: of_unsigned(x) if x.dtype.is_unsigned else function(x)


def _times_minus_one(x: Any) -> Any:
    # Modulo 2**bits. TensorFlow's optimizer would turn ``0 - x`` into the negative, which has no kernel.
    return x * tf.constant(x.dtype.max, x.dtype)


def _of_floats(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A rounding: integers are whole already."""
    return lambda x: tf.identity(x) if x.dtype.is_integer else function(x)


def _ordered(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A comparison by size, which has no kernel for booleans."""

    def row(x: Any, y: Any) -> Any:
        return function(tf.cast(x, "uint8"), tf.cast(y, "uint8")) if x.dtype == tf.bool else function(x, y)

    return row


def _power(x: Any, y: Any) -> Any:
    if not x.dtype.is_unsigned:
        return tf.pow(x, y)
    # Products modulo 2**64 have the same bits with and without a sign.
    return tf.cast(tf.pow(tf.cast(x, "int64"), tf.cast(y, "int64")), x.dtype)


def _gelu(x: Any, approximate: bool) -> Any:
    if x.dtype.size == 2:  # 16-bit floats lose too much in the steps between
        return tf.cast(_gelu(tf.cast(x, "float32"), approximate), x.dtype)
    # tf.nn.gelu rounds a constant to float32, also when x is float64.
    if approximate:
        return 0.5 * x * (1.0 + tf.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
    return 0.5 * x * tf.math.erfc(x * -math.sqrt(0.5))


def _leaky_relu(x: Any, negative_slope: float) -> Any:
    # The slope of TensorFlow's kernel is a float32.
    if x.dtype == tf.float64:
        return tf.where(x > 0, x, negative_slope * x)
    return tf.nn.leaky_relu(x, negative_slope)


TABLE: dict[Op, Callable[..., Any]] = {
    ops.NEGATIVE: _signed(tf.negative, _times_minus_one),
    ops.ABS: _signed(tf.abs, tf.identity),
    ops.SIGN: _signed(tf.sign, lambda x: tf.cast(tf.cast(x, "bool"), x.dtype)),
    ops.SQUARE: tf.square,
    ops.EXP: tf.exp,
    ops.EXPM1: tf.math.expm1,
    ops.LOG: tf.math.log,
    ops.LOG1P: tf.math.log1p,
    ops.SQRT: tf.sqrt,
    ops.RSQRT: tf.math.rsqrt,
    ops.RECIPROCAL: tf.math.reciprocal,
    ops.SIN: tf.sin,
    ops.COS: tf.cos,
    ops.TAN: tf.tan,
    ops.TANH: tf.tanh,
    ops.SIGMOID: tf.sigmoid,
    ops.ERF: tf.math.erf,
    ops.FLOOR: _of_floats(tf.floor),
    ops.CEIL: _of_floats(tf.math.ceil),
    ops.ROUND: _of_floats(tf.round),
    ops.RELU: tf.nn.relu,
    ops.SOFTPLUS: tf.math.softplus,
    ops.SOFTSIGN: tf.nn.softsign,
    ops.SILU: tf.nn.silu,
    ops.SELU: tf.nn.selu,
    ops.HARD_SIGMOID: lambda x: tf.clip_by_value(x / 6 + 0.5, 0.0, 1.0),
    ops.GELU: _gelu,
    ops.LEAKY_RELU: _leaky_relu,
    ops.ELU: lambda x, alpha: tf.where(x > 0, x, alpha * tf.math.expm1(tf.minimum(x, 0))),
    ops.ADD: tf.add,
    ops.SUBTRACT: tf.subtract,
    ops.MULTIPLY: tf.multiply,
    ops.DIVIDE: tf.divide,
    ops.FLOOR_DIVIDE: tf.math.floordiv,
    ops.REMAINDER: tf.math.floormod,
    ops.POWER: _power,
    ops.MAXIMUM: tf.maximum,
    ops.MINIMUM: tf.minimum,
    ops.EQUAL: tf.equal,
    ops.NOT_EQUAL: tf.not_equal,
    ops.LESS: _ordered(tf.less),
    ops.LESS_EQUAL: _ordered(tf.less_equal),
    ops.GREATER: _ordered(tf.greater),
    ops.GREATER_EQUAL: _ordered(tf.greater_equal),
    ops.LOGICAL_AND: tf.logical_and,
    ops.LOGICAL_OR: tf.logical_or,
    ops.LOGICAL_NOT: tf.logical_not,
    ops.CAST: lambda x, dtype: tf.cast(x, dtype),
    ops.WHERE: tf.where,
    ops.CLIP: lambda x, minimum, maximum: tf.clip_by_value(x, minimum, maximum),
    ops.STOP_GRADIENT: tf.stop_gradient,
}
