"""Activations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from unifront.ir.graph import Op
from unifront.opset import activation as ops


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
    ops.RELU: tf.nn.relu,
    ops.RELU6: tf.nn.relu6,
    ops.SOFTSIGN: tf.nn.softsign,
    ops.SILU: tf.nn.silu,
    ops.SELU: tf.nn.selu,
    ops.HARD_SIGMOID: lambda x: tf.clip_by_value(x / 6 + 0.5, 0.0, 1.0),
    ops.GELU: _gelu,
    ops.LEAKY_RELU: _leaky_relu,
    ops.ELU: lambda x, alpha: tf.where(x > 0, x, alpha * tf.math.expm1(tf.minimum(x, 0))),
}
