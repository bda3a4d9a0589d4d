"""Rows for parts at positions that are tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from unifront.ir.graph import Op
from unifront.opset import scatter as ops


def _inside(x: Any, starts: Any, sizes: Any) -> Any:
    """The starts, moved to where all of the block is inside."""
    last = tf.shape(x, starts.dtype) - tf.cast(sizes, starts.dtype)
    return tf.maximum(tf.minimum(starts, last), 0)


def _dynamic_slice(x: Any, starts: Any, sizes: tuple[Any, ...]) -> Any:
    return tf.slice(x, _inside(x, starts, sizes), tf.cast(sizes, starts.dtype)) if sizes else x


def _slice_update(x: Any, starts: Any, updates: Any) -> Any:
    if not x.shape.rank:
        return updates
    sizes = tf.shape(updates, starts.dtype)
    firsts = _inside(x, starts, sizes)
    axes = [tf.range(sizes[axis], dtype=starts.dtype) + firsts[axis] for axis in range(x.shape.rank)]
    return tf.tensor_scatter_nd_update(x, tf.stack(tf.meshgrid(*axes, indexing="ij"), -1), updates)


def _from_front(x: Any, indices: Any) -> Any:
    lengths = tf.shape(x, indices.dtype)[: indices.shape[-1]]
    return tf.where(indices < 0, indices + lengths, indices)


JOINED: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "mul": (tf.math.unsorted_segment_prod, tf.multiply),
    "max": (tf.math.unsorted_segment_max, tf.maximum),
    "min": (tf.math.unsorted_segment_min, tf.minimum),
}
"""What joins the updates of one place (there is no tensor_scatter_nd_mul, and XLA has none of the three)."""


def _scatter(x: Any, indices: Any, updates: Any, mode: str) -> Any:
    if 0 in (x.shape.num_elements(), updates.shape.num_elements()):  # which TensorFlow refuses
        return tf.identity(x)
    indices = _from_front(x, indices)
    if indices.shape.rank == 1:
        indices, updates = indices[None], updates[None]
    if mode not in JOINED:
        place = tf.tensor_scatter_nd_update if mode == "set" else tf.tensor_scatter_nd_add
        return place(x, indices, updates)
    segments, join = JOINED[mode]
    sizes = tf.shape(x, indices.dtype)[: indices.shape[-1]]
    strides = tf.math.cumprod(sizes, exclusive=True, reverse=True)
    rows, count = tf.reduce_sum(indices * strides, -1), tf.cast(tf.reduce_prod(sizes), tf.int32)
    return join(x, tf.reshape(segments(updates, rows, count), tf.shape(x)))


TABLE: dict[Op, Callable[..., Any]] = {
    ops.DYNAMIC_SLICE: _dynamic_slice,
    ops.SLICE_UPDATE: _slice_update,
    ops.SCATTER: _scatter,
}
