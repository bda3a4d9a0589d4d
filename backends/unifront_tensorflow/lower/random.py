"""Randomness in TensorFlow: the stateless operations, seeded with the key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from unifront.opset import random as ops
from unifront.opset.spec import OpSpec
from unifront_tensorflow.keys import Key, fold_in
from unifront_tensorflow.lower.threefry import folded

Array = Any


def _fold_in(key: Key, data: Array | None, number: int | None) -> Key:
    if not isinstance(key, Key):
        return folded(key, data, number)
    return fold_in(key, data if number is None else number)


def _uniform(
    key: Key, like: Array | None, shape: tuple[Any, ...], minimum: float, maximum: float, dtype: str
) -> Array:
    return tf.random.stateless_uniform(shape, key.seed, minimum, maximum, dtype)


def _normal(
    key: Key, like: Array | None, shape: tuple[Any, ...], mean: float, stddev: float, dtype: str
) -> Array:
    return tf.random.stateless_normal(shape, key.seed, mean, stddev, dtype)


def _dropout(x: Array, key: Key, rate: float, noise_shape: tuple[Any, ...]) -> Array:
    keep = tf.random.stateless_uniform(noise_shape, key.seed) >= rate
    return x * (tf.cast(keep, x.dtype) * (1 / (1 - rate)))


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.FOLD_IN: _fold_in,
    ops.RANDOM_UNIFORM: _uniform,
    ops.RANDOM_NORMAL: _normal,
    ops.DROPOUT: _dropout,
}
