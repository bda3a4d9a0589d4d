"""The row of constants. Programs never call it: their constants are bound when they are written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from unifront.ir.graph import Op
from unifront.opset import tensor as ops

TABLE: dict[Op, Callable[..., Any]] = {
    ops.CONSTANT: lambda value: tf.constant(value.numpy()),
}
