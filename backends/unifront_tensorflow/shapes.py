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


def same(layer: str, *sizes: Any) -> None:
    """Raise an error that names the layer unless ``sizes`` are equal: now if they are known, else when it runs."""
    if all(isinstance(one, int) for one in sizes):
        same_sizes(layer, *sizes)
    else:
        for one in sizes[1:]:
            tf.debugging.assert_equal(sizes[0], one, unequal(layer, "not"))
