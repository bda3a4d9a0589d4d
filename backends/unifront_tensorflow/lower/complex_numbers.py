"""Rows for complex numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from unifront.ir.graph import Op
from unifront.opset import complex_numbers as ops

TABLE: dict[Op, Callable[..., Any]] = {
    ops.COMPLEX: tf.complex,
    ops.PARTS: lambda x: (tf.math.real(x), tf.math.imag(x)),
}
