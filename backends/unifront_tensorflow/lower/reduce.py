"""Rows for reductions over axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from unifront.ir.graph import Op
from unifront.ops import reduce

TABLE: dict[Op, Callable[..., Any]] = {
    reduce.SUM: lambda x, axes, keepdims: tf.reduce_sum(x, axes, keepdims),
}
