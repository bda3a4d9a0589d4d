"""The portable generator in TensorFlow: 32-bit unsigned arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from unifront.opset import threefry as ops
from unifront.opset.spec import OpSpec
from unifront_tensorflow.keys import Key, fold_in, key_of

Array = Any


def _word(value: Any) -> Array:
    return tf.constant(np.uint32(value)) if isinstance(value, int) else value


def _add(a: Array, b: Any) -> Array:
    return tf.add(a, _word(b))


def _xor(a: Array, b: Any) -> Array:
    return tf.bitwise.bitwise_xor(a, _word(b))


def _rotate(a: Array, by: int) -> Array:
    left = tf.bitwise.left_shift(a, _word(by))
    return tf.bitwise.bitwise_or(left, tf.bitwise.right_shift(a, _word(32 - by)))


def blocks(words: Array, high: Array, low: Array) -> tuple[Array, Array]:
    """The blocks of counters given as halves."""
    return ops.threefry2x32((words[0], words[1]), (high, low), _add, _xor, _rotate)


def folded(words: Array, data: Array | None, number: int | None) -> Array:
    """The portable key of a stream."""
    if number is None:
        high, low = _word(0), tf.cast(tf.cast(data, tf.int64) & 0xFFFFFFFF, tf.uint32)
    else:
        high, low = map(_word, ops.halves(number))
    return tf.stack(blocks(words, high, low))


def _random_key(data: Array | None, seed: int | None) -> Key:
    if data is None:
        return key_of(int(seed))  # type: ignore[arg-type]  # one of the two is given
    numbers = tf.cast(tf.reshape(data, [-1]), tf.int64)
    first = tf.bitcast(
        tf.stack([_lower(numbers[0]), _lower(tf.bitwise.right_shift(numbers[0], tf.constant(32, tf.int64)))]),
        tf.int32,
    )
    key = Key(first)
    return fold_in(key, numbers[1]) if data.shape.rank else key


def _lower(number: Array) -> Array:
    return tf.cast(number & 0xFFFFFFFF, tf.uint32)


def _key_words(key: Key) -> Array:
    return tf.bitcast(key.seed[::-1], tf.uint32)  # a key has its lower half first


def _random_bits(words: Array, shape: tuple[Any, ...], dtype: str) -> Array:
    count = tf.range(tf.cast(tf.reduce_prod(tf.cast(tf.stack([*shape, 1]), tf.int64)), tf.int64))
    # No array of 2**32 elements is drawn at once here: the upper half of its counters is zero.
    low = tf.reshape(tf.cast(count, tf.uint32), shape)
    first, second = blocks(words, _word(0), low)
    if dtype == "float64":
        upper = tf.cast(first, tf.float64) * 2.0**-32
        return upper + tf.cast(tf.bitwise.right_shift(second, _word(12)), tf.float64) * 2.0**-52
    bits = tf.bitwise.bitwise_xor(first, second)
    if dtype == "uint32":
        return bits
    digits = ops.MANTISSA[dtype]
    share = tf.cast(tf.bitwise.right_shift(bits, _word(32 - digits)), tf.float32) * 2.0**-digits
    return tf.cast(share, dtype)


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.RANDOM_KEY: _random_key,
    ops.KEY_WORDS: _key_words,
    ops.RANDOM_BITS: _random_bits,
}
