"""Sizes that may be known only when a function runs."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def size(array: Any, axis: int) -> Any:
    """The size of an axis: an int where it is known while tracing, else a scalar tensor."""
    static = array.shape[axis]
    return tf.shape(array)[axis] if static is None else static
