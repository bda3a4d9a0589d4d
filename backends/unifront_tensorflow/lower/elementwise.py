"""Rows for operations on each element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from unifront.ir.graph import Op
from unifront.ops import elementwise as ops

TABLE: dict[Op, Callable[..., Any]] = {
    ops.NEGATIVE: tf.negative,
    ops.ABS: tf.abs,
    ops.SIGN: tf.sign,
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
    ops.FLOOR: tf.floor,
    ops.CEIL: tf.math.ceil,
    ops.ROUND: tf.round,
    ops.RELU: tf.nn.relu,
    ops.SOFTPLUS: tf.math.softplus,
    ops.SOFTSIGN: tf.nn.softsign,
    ops.SILU: tf.nn.silu,
    ops.SELU: tf.nn.selu,
    ops.HARD_SIGMOID: lambda x: tf.clip_by_value(x / 6 + 0.5, 0.0, 1.0),
    ops.GELU: lambda x, approximate: tf.nn.gelu(x, approximate),
    ops.LEAKY_RELU: lambda x, negative_slope: tf.nn.leaky_relu(x, negative_slope),
    ops.ELU: lambda x, alpha: tf.where(x > 0, x, alpha * tf.math.expm1(tf.minimum(x, 0))),
    ops.ADD: tf.add,
    ops.SUBTRACT: tf.subtract,
    ops.MULTIPLY: tf.multiply,
    ops.DIVIDE: tf.divide,
    ops.FLOOR_DIVIDE: tf.math.floordiv,
    ops.REMAINDER: tf.math.floormod,
    ops.POWER: tf.pow,
    ops.MAXIMUM: tf.maximum,
    ops.MINIMUM: tf.minimum,
    ops.EQUAL: tf.equal,
    ops.NOT_EQUAL: tf.not_equal,
    ops.LESS: tf.less,
    ops.LESS_EQUAL: tf.less_equal,
    ops.GREATER: tf.greater,
    ops.GREATER_EQUAL: tf.greater_equal,
    ops.LOGICAL_AND: tf.logical_and,
    ops.LOGICAL_OR: tf.logical_or,
    ops.LOGICAL_NOT: tf.logical_not,
    ops.CAST: lambda x, dtype: tf.cast(x, dtype),
    ops.WHERE: tf.where,
    ops.CLIP: lambda x, minimum, maximum: tf.clip_by_value(x, minimum, maximum),
    ops.STOP_GRADIENT: tf.stop_gradient,
}
