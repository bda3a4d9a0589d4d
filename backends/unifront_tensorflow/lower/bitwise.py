"""Operations on the bits of integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from unifront.ir.graph import Op
from unifront.opset import bitwise as ops
from unifront_tensorflow.lower._axes import of_all_axes

TABLE: dict[Op, Callable[..., Any]] = {
    ops.BITWISE_AND: of_all_axes(tf.bitwise.bitwise_and),
    ops.BITWISE_OR: of_all_axes(tf.bitwise.bitwise_or),
    ops.BITWISE_XOR: of_all_axes(tf.bitwise.bitwise_xor),
    ops.LEFT_SHIFT: of_all_axes(tf.bitwise.left_shift),
    ops.RIGHT_SHIFT: of_all_axes(tf.bitwise.right_shift),
}
