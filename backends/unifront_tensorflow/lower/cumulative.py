"""Running sums and products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from unifront.ir.graph import Op
from unifront.opset import cumulative as ops


def _cumsum(x: Any, axis: int, reverse: bool, exclusive: bool) -> Any:
    return tf.cumsum(x, axis, exclusive, reverse)


TABLE: dict[Op, Callable[..., Any]] = {
    ops.CUMSUM: _cumsum,
    ops.CUMPROD: lambda x, axis: tf.math.cumprod(x, axis),
}
