"""Variables inside functions that take their handles."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from unifront.ir.types import TensorType


class Reference:
    """A variable of the type ``type_`` by its handle, a resource tensor."""

    def __init__(self, handle: Any, type_: TensorType) -> None:
        self.handle, self.shape = handle, type_.shape
        self.dtype = tf.as_dtype(type_.dtype.name)

    def read(self) -> Any:
        """The value."""
        value = tf.raw_ops.ReadVariableOp(resource=self.handle, dtype=self.dtype)
        value.set_shape(self.shape)  # costs nothing in the step, where `tf.ensure_shape` is an operation
        return value

    def assign(self, value: Any) -> None:
        """Replace the value."""
        tf.raw_ops.AssignVariableOp(resource=self.handle, value=value)

    def subtract(self, value: Any) -> None:
        """Take ``value`` off the value."""
        tf.raw_ops.AssignSubVariableOp(resource=self.handle, value=value)
