"""Rows of normalization."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from unifront.ir.graph import Op
from unifront.opset.norm import BATCH_NORM, BATCH_NORM_TRAINING


def _batch_norm(x: Any, mean: Any, variance: Any, gamma: Any, beta: Any, axis: int, epsilon: float) -> Any:
    if axis != x.shape.rank - 1:
        shape = [-1 if a == axis else 1 for a in range(x.shape.rank)]
        vectors = (mean, variance, gamma, beta)
        mean, variance, gamma, beta = (v if v is None else tf.reshape(v, shape) for v in vectors)
    return tf.nn.batch_normalization(x, mean, variance, beta, gamma, epsilon)


def _batch_norm_training(x: Any, gamma: Any, beta: Any, axis: int, epsilon: float) -> Any:
    if axis == x.shape.rank - 1 and x.dtype == tf.float32 and x.shape[-1] is not None:
        return _fused(x, gamma, beta, epsilon)
    others = [a for a in range(x.shape.rank) if a != axis]
    mean, variance = tf.nn.moments(x, others, keepdims=True)
    shape = [-1 if a == axis else 1 for a in range(x.shape.rank)]
    scale = tf.math.rsqrt(variance + epsilon)
    scale = scale if gamma is None else scale * tf.reshape(gamma, shape)
    y = (x - mean) * scale
    y = y if beta is None else y + tf.reshape(beta, shape)
    return y, *(tf.stop_gradient(tf.reshape(one, (-1,))) for one in (mean, variance))


def _fused(x: Any, gamma: Any, beta: Any, epsilon: float) -> Any:
    """The fused kernel, which has a gradient for y alone, and gives the unbiased variance."""
    channels = x.shape[-1]
    image = x if x.shape.rank == 4 else tf.reshape(x, (1, -1, 1, channels))
    found = tf.raw_ops.FusedBatchNormV3(
        x=image,
        scale=tf.ones((channels,), x.dtype) if gamma is None else gamma,
        offset=tf.zeros((channels,), x.dtype) if beta is None else beta,
        mean=tf.zeros((0,), x.dtype),
        variance=tf.zeros((0,), x.dtype),
        epsilon=epsilon,
        exponential_avg_factor=1.0,
        is_training=True,
    )
    y = found.y if x.shape.rank == 4 else tf.reshape(found.y, tf.shape(x))
    count = tf.cast(tf.size(x) // channels, x.dtype)
    unbiased = found.batch_variance * (tf.maximum(count - 1, 1) / count)
    return y, tf.stop_gradient(found.batch_mean), tf.stop_gradient(unbiased)


def _batch_norm_forward(
    x: Any, mean: Any, variance: Any, gamma: Any, beta: Any, axis: int, epsilon: float
) -> Any:
    """The fused kernel, which has no gradient for mean and variance. It goes over ``x`` once, not twice."""
    if axis != 3 or x.shape.rank != 4 or x.dtype != tf.float32:
        return _batch_norm(x, mean, variance, gamma, beta, axis, epsilon)
    return tf.raw_ops.FusedBatchNormV3(
        x=x,
        scale=tf.ones_like(mean) if gamma is None else gamma,
        offset=tf.zeros_like(mean) if beta is None else beta,
        mean=mean,
        variance=variance,
        epsilon=epsilon,
        is_training=False,
    ).y


TABLE: dict[Op, Callable[..., Any]] = {
    BATCH_NORM: _batch_norm,
    BATCH_NORM_TRAINING: _batch_norm_training,
}
FORWARD: dict[Op, Callable[..., Any]] = {BATCH_NORM: _batch_norm_forward}
