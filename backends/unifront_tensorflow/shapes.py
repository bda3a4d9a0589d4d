"""Sizes that may be known only when a function runs."""

from __future__ import annotations

from functools import reduce
from typing import Any

import tensorflow as tf


def size(array: Any, axis: int) -> Any:
    """The size of an axis: an int where it is known while tracing, else a scalar tensor."""
    static = array.shape[axis]
    return tf.shape(array)[axis] if static is None else static


def smallest(*sizes: Any) -> Any:
    """The smallest of several sizes: an int where all are known while tracing."""
    return min(sizes) if all(isinstance(one, int) for one in sizes) else reduce(tf.minimum, sizes)
