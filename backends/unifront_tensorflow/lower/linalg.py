"""Rows for products of matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from unifront.backends import with_plain
from unifront.ir.graph import Op
from unifront.opset import linalg as ops

_SUMMED_IN = {
    tf.int8: tf.int32, tf.uint8: tf.int32, tf.int16: tf.int32, tf.uint16: tf.int32, tf.uint32: tf.int64,
    tf.uint64: tf.int64,
}  # fmt: skip


def _whole(product: Callable[..., Any], *xs: Any) -> Any:
    """A product; of integers without a kernel that of wider ones, whose lower bits it is. int8 gives int32."""
    dtype = xs[0].dtype
    if dtype not in _SUMMED_IN:
        return product(*xs)
    found = product(*(tf.cast(x, _SUMMED_IN[dtype]) for x in xs))
    return found if dtype == tf.int8 else tf.cast(found, dtype)


def _matmul(x: Any, y: Any) -> Any:
    """TensorFlow's own takes no vectors: they are given an axis, which is taken away again."""
    rank_x, rank_y = x.shape.rank, y.shape.rank
    if rank_x != 1 and rank_y != 1:
        return _whole(tf.matmul, x, y)
    vector_x, vector_y = rank_x == 1, rank_y == 1
    product = _whole(tf.matmul, x[None, :] if vector_x else x, y[:, None] if vector_y else y)
    taken = [-2] * vector_x + [-1] * vector_y
    return tf.squeeze(product, taken)


def _raw_matmul(x: Any, y: Any) -> Any:
    # tf.matmul is Python around these, which takes as long as a small kernel.
    if x.ndim == y.ndim == 2:
        return tf.raw_ops.MatMul(a=x, b=y)
    return tf.raw_ops.BatchMatMulV2(x=x, y=y)


def _dense(x: Any, kernel: Any, bias: Any) -> Any:
    if x.shape.rank == 2:
        if bias is None:
            return tf.matmul(x, kernel)
        # Kept from sight: Grappler folds a transposition of x into the product, and with a sum behind the bias
        # it then makes a fused product that no CPU kernel runs ("Fusion is not implemented: [BiasAdd,Add]").
        return tf.nn.bias_add(tf.matmul(tf.ensure_shape(x, (None, kernel.shape[0])), kernel), bias)
    # One large product: a batch of small ones would sum the kernel's gradient afterwards.
    product = tf.matmul(tf.reshape(x, (-1, kernel.shape[0])), kernel)
    if bias is not None:
        product = tf.nn.bias_add(product, bias)
    return tf.reshape(product, (*_sizes(x)[:-1], kernel.shape[1]))


def _einsum(*xs: Any, equation: str) -> Any:
    return _whole(lambda *wide: tf.einsum(equation, *wide), *xs)


def _sizes(x: Any) -> list[Any]:
    live = tf.shape(x)
    return [live[axis] if size is None else size for axis, size in enumerate(x.shape)]


TABLE: dict[Op, Callable[..., Any]] = {
    ops.MATMUL: with_plain(_matmul, _raw_matmul),
    ops.DENSE: _dense,
    ops.EINSUM: _einsum,
}
