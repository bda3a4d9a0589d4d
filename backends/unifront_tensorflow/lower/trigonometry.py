"""Inverses of sines and tangents, and their hyperbolic kin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from unifront.ir.graph import Op
from unifront.opset import trigonometry as ops
from unifront_tensorflow.lower._axes import of_all_axes

TABLE: dict[Op, Callable[..., Any]] = {
    ops.ARCSIN: tf.asin,
    ops.ARCCOS: tf.acos,
    ops.ARCTAN: tf.atan,
    ops.SINH: tf.sinh,
    ops.COSH: tf.cosh,
    ops.ARCSINH: tf.asinh,
    ops.ARCCOSH: tf.acosh,
    ops.ARCTAN2: of_all_axes(tf.atan2),
}
