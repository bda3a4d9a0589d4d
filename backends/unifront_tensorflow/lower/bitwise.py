"""Operations on the bits of integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from unifront.ir.graph import Op
from unifront.opset import bitwise as ops

TABLE: dict[Op, Callable[..., Any]] = {
    ops.BITWISE_AND: tf.bitwise.bitwise_and,
    ops.BITWISE_OR: tf.bitwise.bitwise_or,
    ops.BITWISE_XOR: tf.bitwise.bitwise_xor,
    ops.LEFT_SHIFT: tf.bitwise.left_shift,
    ops.RIGHT_SHIFT: tf.bitwise.right_shift,
}
