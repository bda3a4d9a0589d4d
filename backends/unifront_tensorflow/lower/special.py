"""Functions of probability and physics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from unifront.ir.graph import Op
from unifront.opset import special as ops


def _in_float32(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """``function``, of which kernels for 16 bits are coarse or missing."""
    return lambda x: tf.cast(function(tf.cast(x, "float32")), x.dtype) if x.dtype.size == 2 else function(x)


TABLE: dict[Op, Callable[..., Any]] = {
    ops.ERFC: tf.math.erfc,
    ops.ERFINV: _in_float32(tf.math.erfinv),
    ops.I0: _in_float32(tf.math.bessel_i0),
}
