"""The portable generator in JAX: 32-bit unsigned arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from unifront.opset import threefry as ops
from unifront.opset.spec import OpSpec

Array = Any


def _add(a: Array, b: Any) -> Array:
    return a + jnp.uint32(b) if isinstance(b, int) else a + b


def _xor(a: Array, b: Any) -> Array:
    return a ^ jnp.uint32(b) if isinstance(b, int) else a ^ b


def _rotate(a: Array, by: int) -> Array:
    return (a << jnp.uint32(by)) | (a >> jnp.uint32(32 - by))


def blocks(words: Array, high: Array, low: Array) -> tuple[Array, Array]:
    """The blocks of counters given as halves."""
    return ops.threefry2x32((words[0], words[1]), (high, low), _add, _xor, _rotate)


def folded(words: Array, data: Array | None, number: int | None) -> Array:
    """The portable key of a stream."""
    if number is None:
        high, low = jnp.uint32(0), jnp.asarray(data).astype(jnp.uint32)
    else:
        high, low = map(jnp.uint32, ops.halves(number))
    return jnp.stack(blocks(words, high, low))


@cache
def _key_size() -> int:
    """How many words a key has: two, unless the user has chosen another generator for JAX."""
    made = jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0)))
    return int(made.shape[0])


def _random_key(data: Array | None, seed: int | None) -> Array:
    if data is None:
        words = np.array(ops.halves(int(seed)), np.uint32)  # type: ignore[arg-type]  # one of the two is given
        return jax.random.wrap_key_data(jnp.asarray(np.resize(words, _key_size())))
    if not data.shape:
        return jax.random.key(data)
    return jax.random.fold_in(jax.random.key(data[0]), data[1])


def _key_words(key: Array) -> Array:
    return jax.random.key_data(key)[:2]


def _random_bits(words: Array, shape: tuple[int, ...], dtype: str) -> Array:
    # No array of 2**32 elements is drawn at once here: the upper half of its counters is zero.
    low = jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
    first, second = blocks(words, jnp.uint32(0), low)
    if dtype == "float64":
        wide = (first.astype(jnp.uint64) << 20) | (second >> jnp.uint32(12)).astype(jnp.uint64)
        return wide.astype(jnp.float64) * 2.0**-52
    bits = first ^ second
    if dtype == "uint32":
        return bits
    digits = ops.MANTISSA[dtype]
    kind = jnp.dtype(dtype)
    return (bits >> jnp.uint32(32 - digits)).astype(kind) * jnp.asarray(2.0**-digits, kind)


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.RANDOM_KEY: _random_key,
    ops.KEY_WORDS: _key_words,
    ops.RANDOM_BITS: _random_bits,
}
