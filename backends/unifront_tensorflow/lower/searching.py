"""Places of values in sorted ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from unifront.ir.graph import Op
from unifront.opset import searching as ops


def _searchsorted(sorted_sequence: Any, values: Any, right: bool) -> Any:
    found = tf.searchsorted(sorted_sequence, tf.reshape(values, [-1]), side="right" if right else "left")
    return tf.reshape(found, tf.shape(values))


TABLE: dict[Op, Callable[..., Any]] = {ops.SEARCHSORTED: _searchsorted}
