"""Rows for elements by position."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from unifront.ir.graph import Op
from unifront.opset import index as ops


def _from_front(indices: Any, x: Any, axis: int) -> Any:
    length = tf.shape(x, indices.dtype)[axis]
    return tf.where(indices < 0, indices + length, indices)


def _take(x: Any, indices: Any, axis: int) -> Any:
    return tf.gather(x, _from_front(indices, x, axis), axis=axis)


def _take_along_axis(x: Any, indices: Any, axis: int) -> Any:
    """A gather with batch axes, for which both operands get one shape outside ``axis``, and ``axis`` last."""
    rank, length = x.shape.rank, indices.shape[axis]
    ones = [tf.TensorShape([*array.shape[:axis], 1, *array.shape[axis + 1 :]]) for array in (x, indices)]
    static = list(tf.broadcast_static_shape(*ones))
    order = [i for i in range(rank) if i != axis] + [axis]
    x, indices = tf.transpose(x, order), tf.transpose(_from_front(indices, x, axis), order)
    common = tf.broadcast_dynamic_shape(tf.shape(x)[:-1], tf.shape(indices)[:-1])
    x = tf.broadcast_to(x, tf.concat([common, tf.shape(x)[-1:]], 0))
    indices = tf.broadcast_to(indices, tf.concat([common, tf.shape(indices)[-1:]], 0))
    found = tf.gather(x, indices, batch_dims=rank - 1)
    found = tf.transpose(found, [order.index(i) for i in range(rank)])
    found.set_shape([*static[:axis], length, *static[axis + 1 :]])  # broadcast_to lost what is known
    return found


def _embedding(indices: Any, table: Any) -> Any:
    return tf.gather(table, tf.clip_by_value(indices, 0, table.shape[0] - 1))


def _one_hot(indices: Any, num_classes: int, axis: int, dtype: str) -> Any:
    if dtype == "bool":
        return tf.one_hot(indices, num_classes, True, False, axis, tf.bool)
    return tf.one_hot(indices, num_classes, axis=axis, dtype=dtype)


def _argsort(x: Any, axis: int) -> Any:
    return tf.argsort(x, axis, stable=True)


def _sort(x: Any, axis: int) -> Any:
    # The gradient of tf.sort fails when there are no elements.
    return _take_along_axis(x, tf.argsort(x, axis), axis)


def _top_k(x: Any, k: int) -> tuple[Any, Any]:
    values, positions = tf.math.top_k(x, k)
    return values, positions


TABLE: dict[Op, Callable[..., Any]] = {
    ops.TAKE: _take,
    ops.TAKE_ALONG_AXIS: _take_along_axis,
    ops.EMBEDDING: _embedding,
    ops.ONE_HOT: _one_hot,
    ops.SORT: _sort,
    ops.ARGSORT: _argsort,
    ops.TOP_K: _top_k,
}
