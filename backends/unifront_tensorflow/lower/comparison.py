"""Comparisons, and what booleans are joined by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from unifront.ir.graph import Op
from unifront.opset import comparison as ops
from unifront_tensorflow.lower._axes import of_all_axes


def _ordered(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A comparison by size, which has no kernel for booleans."""

    def row(x: Any, y: Any) -> Any:
        return function(tf.cast(x, "uint8"), tf.cast(y, "uint8")) if x.dtype == tf.bool else function(x, y)

    return row


TABLE: dict[Op, Callable[..., Any]] = {
    ops.EQUAL: of_all_axes(tf.equal),
    ops.NOT_EQUAL: of_all_axes(tf.not_equal),
    ops.LESS: of_all_axes(_ordered(tf.less)),
    ops.LESS_EQUAL: of_all_axes(_ordered(tf.less_equal)),
    ops.GREATER: of_all_axes(_ordered(tf.greater)),
    ops.GREATER_EQUAL: of_all_axes(_ordered(tf.greater_equal)),
    ops.LOGICAL_AND: of_all_axes(tf.logical_and),
    ops.LOGICAL_OR: of_all_axes(tf.logical_or),
    ops.LOGICAL_NOT: tf.logical_not,
}
