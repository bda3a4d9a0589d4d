"""Gamma and binomial numbers in TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from unifront.opset import variates as ops
from unifront.opset.spec import OpSpec
from unifront_tensorflow.keys import Key

Array = Any


def _own(dtype: Any) -> Any:
    """What numbers of ``dtype`` are drawn in."""
    return tf.float32 if dtype in (tf.float16, tf.bfloat16) else dtype


def _gamma(key: Key, alpha: Array) -> Array:
    own = tf.cast(alpha, _own(alpha.dtype))
    return tf.cast(tf.random.stateless_gamma(tf.shape(own), key.seed, own, dtype=own.dtype), alpha.dtype)


def _binomial(key: Key, counts: Array, probabilities: Array) -> Array:
    dtype = _own(counts.dtype)
    shape = tf.broadcast_dynamic_shape(tf.shape(counts), tf.shape(probabilities))
    drawn = tf.random.stateless_binomial(
        shape, key.seed, tf.cast(counts, dtype), tf.cast(probabilities, dtype), dtype
    )
    return tf.cast(drawn, counts.dtype)


TABLE: dict[OpSpec, Callable[..., Any]] = {ops.RANDOM_GAMMA: _gamma, ops.RANDOM_BINOMIAL: _binomial}
