"""Rows for softmax and the cross-entropies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from unifront.ir.graph import Op
from unifront.opset import nn as ops


def _sparse_softmax_cross_entropy(logits: Any, labels: Any) -> Any:
    if labels.dtype not in (tf.int32, tf.int64):
        labels = tf.cast(labels, tf.int32)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


def _softmax_cross_entropy(logits: Any, targets: Any) -> Any:
    # The fused kernel's gradient is wrong where targets do not sum to one.
    return -tf.reduce_sum(targets * tf.nn.log_softmax(logits, -1), -1)


TABLE: dict[Op, Callable[..., Any]] = {
    ops.SOFTMAX: lambda x, axis: tf.nn.softmax(x, axis),
    ops.LOG_SOFTMAX: lambda x, axis: tf.nn.log_softmax(x, axis),
    ops.SPARSE_SOFTMAX_CROSS_ENTROPY: _sparse_softmax_cross_entropy,
    ops.SOFTMAX_CROSS_ENTROPY: _softmax_cross_entropy,
    ops.SIGMOID_CROSS_ENTROPY: lambda logits, targets: tf.nn.sigmoid_cross_entropy_with_logits(
        targets, logits
    ),
}
