"""Rows for operations on each element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from unifront.backends import with_plain
from unifront.ir.graph import Op
from unifront.opset import elementwise as ops
from unifront_tensorflow.lower._axes import of_all_axes


def _signed(function: Callable[[Any], Any], of_unsigned: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """``function``, which has no kernels for unsigned integers, completed by ``of_unsigned``."""
    return lambda x: of_unsigned(x) if x.dtype.is_unsigned else function(x)


def _times_minus_one(x: Any) -> Any:
    # Modulo 2**bits. TensorFlow's optimizer would turn ``0 - x`` into the negative, which has no kernel.
    return x * tf.constant(x.dtype.max, x.dtype)


def _of_floats(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A rounding: integers are whole already."""
    return lambda x: tf.identity(x) if x.dtype.is_integer else function(x)


def _of_booleans(
    function: Callable[[Any, Any], Any], logical: Callable[[Any, Any], Any]
) -> Callable[[Any, Any], Any]:
    """``function``, which has no kernel for booleans, completed by ``logical``."""
    return with_plain(lambda x, y: logical(x, y) if x.dtype == tf.bool else function(x, y), function)


def _power(x: Any, y: Any) -> Any:
    if not x.dtype.is_unsigned:
        return tf.pow(x, y)
    # Products modulo 2**64 have the same bits with and without a sign.
    return tf.cast(tf.pow(tf.cast(x, "int64"), tf.cast(y, "int64")), x.dtype)


_BY_WAY_OF = {"int4": "int8", "uint4": "uint8"}


def _cast(x: Any, dtype: str) -> Any:
    """TensorFlow casts four bits to and from eight alone."""
    if dtype != x.dtype.name:
        for name in (x.dtype.name, dtype):
            x = tf.cast(x, _BY_WAY_OF[name]) if name in _BY_WAY_OF else x
    return tf.cast(x, dtype)


def _erf(x: tf.Tensor) -> tf.Tensor:
    # In float64 TensorFlow makes nan of what is very large; from 6 on the result is 1 to the last digit.
    return tf.math.erf(tf.clip_by_value(x, -30.0, 30.0) if x.dtype == tf.float64 else x)


# tf.add and its like are Python around these, which takes as long as a small kernel.
_RAW: dict[Op, Callable[[Any, Any], Any]] = {
    ops.ADD: lambda x, y: tf.raw_ops.AddV2(x=x, y=y),
    ops.SUBTRACT: lambda x, y: tf.raw_ops.Sub(x=x, y=y),
    ops.MULTIPLY: lambda x, y: tf.raw_ops.Mul(x=x, y=y),
    ops.DIVIDE: lambda x, y: tf.raw_ops.RealDiv(x=x, y=y),
    ops.MAXIMUM: lambda x, y: tf.raw_ops.Maximum(x=x, y=y),
    ops.MINIMUM: lambda x, y: tf.raw_ops.Minimum(x=x, y=y),
}


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
    ops.ERF: _erf,
    ops.FLOOR: _of_floats(tf.floor),
    ops.CEIL: _of_floats(tf.math.ceil),
    ops.ROUND: _of_floats(tf.round),
    ops.SOFTPLUS: tf.math.softplus,
    ops.ADD: of_all_axes(_of_booleans(tf.add, tf.logical_or)),
    ops.SUBTRACT: of_all_axes(tf.subtract),
    ops.MULTIPLY: of_all_axes(_of_booleans(tf.multiply, tf.logical_and)),
    ops.DIVIDE: of_all_axes(tf.divide),
    ops.FLOOR_DIVIDE: of_all_axes(tf.math.floordiv),
    ops.REMAINDER: of_all_axes(tf.math.floormod),
    ops.POWER: of_all_axes(_power),
    ops.MAXIMUM: of_all_axes(_of_booleans(tf.maximum, tf.logical_or)),
    ops.MINIMUM: of_all_axes(_of_booleans(tf.minimum, tf.logical_and)),
    ops.CAST: _cast,
    ops.WHERE: tf.where,
    ops.CLIP: lambda x, minimum, maximum: tf.clip_by_value(x, minimum, maximum),
    ops.STOP_GRADIENT: tf.stop_gradient,
}

for _op, _raw in _RAW.items():
    with_plain(TABLE[_op], _raw)
