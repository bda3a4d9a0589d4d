"""Random keys: two int32 numbers, the seed of TensorFlow's stateless operations."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


class Key(tf.experimental.ExtensionType):
    """A random key. Functions that want a seed (``tf.random.stateless_uniform``) take it as it is.

    A class of its own, because an int32 tensor of two numbers is also just data; as an extension type it
    passes through ``tf.function``, ``tf.cond`` and ``tf.while_loop``.
    """

    seed: tf.Tensor

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> Any:
        """The seed, wherever a tensor is wanted."""
        return self.seed


def key_of(seed: int) -> Key:
    """The key of a 64-bit number."""
    halves = (seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF)
    return Key(tf.constant([half - (half >> 31 << 32) for half in halves], tf.int32))


def fold_in(key: Key, data: Any) -> Key:
    """A new key for the stream number ``data``, an integer or a scalar integer tensor."""
    return Key(tf.random.fold_in(key.seed, data))
