"""Sizes that may be known only when a function runs."""

from __future__ import annotations

from functools import reduce
from typing import Any

import tensorflow as tf

from unifront.ir.emit import same_sizes, unequal


def size(array: Any, axis: int) -> Any:
    """The size of an axis: an int where it is known while tracing, else a scalar tensor."""
    static = array.shape[axis]
    return tf.shape(array)[axis] if static is None else static


def smallest(*sizes: Any) -> Any:
    """The smallest of several sizes: an int where all are known while tracing."""
    return min(sizes) if all(isinstance(one, int) for one in sizes) else reduce(tf.minimum, sizes)


def same(array: Any, layer: str, *sizes: Any) -> Any:
    """``array``; raises an error that names the layer unless ``sizes`` are equal: now if they are known, else when it
    is asked for the array."""
    if all(isinstance(one, int) for one in sizes):
        return same_sizes(array, layer, *sizes)
    checks = [tf.debugging.assert_equal(sizes[0], one, unequal(layer, "not")) for one in sizes[1:]]
    with tf.control_dependencies(checks):
        return tf.identity(array)
