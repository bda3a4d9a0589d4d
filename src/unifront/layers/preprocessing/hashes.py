"""FarmHash64 and SipHash-2-4 of many byte strings at once, and the hash of crossed features: what Keras's layers use.

Sources: FarmHash, ``farmhashna::Hash64`` (https://github.com/google/farmhash), which is TensorFlow's
``to_hash_bucket_fast``; Aumasson and Bernstein 2012, SipHash: a fast short-input PRF (``to_hash_bucket_strong``);
``FingerprintCat64`` of TensorFlow (``tf.sparse.cross_hashed``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unifront.errors import ArgumentError
from unifront.opset.rules import is_whole

Words = np.ndarray
"""uint64, whose arithmetic wraps around."""
Fetch = Callable[[int], Words]
"""The eight bytes from a place on as a little-endian word, of each string."""

_K0, _K1, _K2 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F
_MASK = 2**64 - 1


def salt_of(layer: str, salt: Any) -> tuple[int, int] | None:
    """The two numbers of a salt."""
    if salt is None:
        return None
    pair = tuple(salt) if isinstance(salt, list | tuple) else (salt, salt)
    if len(pair) != 2 or not all(is_whole(one) and -(2**63) <= one < 2**64 for one in pair):
        raise ArgumentError(
            f"The `salt` argument for `{layer}` can only be a tuple of size 2 integers, or a single integer. "
            f"Received: salt={salt}."
        )
    return int(pair[0]), int(pair[1])


def buckets(strings: Sequence[bytes], count: int, salt: tuple[int, int] | None) -> np.ndarray:
    """Which of ``count`` buckets the hash of each string says: FarmHash64, or SipHash-2-4 under a salt."""
    hashes = farmhash64(strings) if salt is None else siphash24(strings, salt)
    return (hashes % np.uint64(count)).astype(np.int64)


def farmhash64(strings: Sequence[bytes]) -> np.ndarray:
    """The 64-bit fingerprint of each, in uint64."""
    return _by_length(strings, _farm)


def siphash24(strings: Sequence[bytes], key: tuple[int, int]) -> np.ndarray:
    """SipHash-2-4 of each under a key of two 64-bit numbers, in uint64."""
    return _by_length(strings, lambda rows: _sip(rows, key))


def crossed(columns: Sequence[Words]) -> np.ndarray:
    """One hash of the hashes in ``columns``, as TensorFlow crosses features."""
    multiplier = np.uint64(0xC6A4A7935BD1E995)
    result = np.full(columns[0].shape, 0xDECAFCAFFE, np.uint64)
    for column in columns:
        result = result ^ multiplier
        result = (result ^ (_shift_mix(column * multiplier) * multiplier)) * multiplier
        result = _shift_mix(_shift_mix(result) * multiplier)
    return result


def _by_length(strings: Sequence[bytes], function: Callable[[np.ndarray], Words]) -> np.ndarray:
    """``function`` of the strings of each length, as rows of bytes."""
    lengths = np.fromiter(map(len, strings), np.int64, len(strings))
    found = np.zeros(len(strings), np.uint64)
    for length in np.unique(lengths):
        places = np.flatnonzero(lengths == length)
        joined = b"".join(strings[int(i)] for i in places)
        found[places] = function(np.frombuffer(joined, np.uint8).reshape(len(places), length))
    return found


def _fetch(rows: np.ndarray, start: int, size: int = 8) -> Words:
    part = np.ascontiguousarray(rows[:, start : start + size])
    return part.view(f"<u{size}").reshape(-1).astype(np.uint64)


# ---------------------------------------------------------------- FarmHash


def _rotate(x: Words, by: int) -> Words:
    """To the right."""
    return (x >> np.uint64(by)) | (x << np.uint64(64 - by))


def _shift_mix(x: Words) -> Words:
    return x ^ (x >> np.uint64(47))


def _hash16(u: Words, v: Words, multiplier: Words | int) -> Words:
    a = _shift_mix((u ^ v) * multiplier)
    return _shift_mix((v ^ a) * multiplier) * multiplier


def _farm(rows: np.ndarray) -> Words:
    length = rows.shape[1]
    if length == 0:
        return np.full(len(rows), _K2, np.uint64)
    if length < 4:
        a, b, c = (rows[:, i].astype(np.uint64) for i in (0, length >> 1, length - 1))
        y, z = a + (b << np.uint64(8)), (c << np.uint64(2)) + length
        return _shift_mix((y * _K2) ^ (z * _K0)) * _K2
    multiplier = (_K2 + 2 * length) & _MASK
    if length < 8:
        first, last = _fetch(rows, 0, 4), _fetch(rows, length - 4, 4)
        return _hash16((first << np.uint64(3)) + length, last, multiplier)

    def fetch(start: int) -> Words:
        return _fetch(rows, start)

    if length <= 16:
        a, b = fetch(0) + _K2, fetch(length - 8)
        return _hash16(_rotate(b, 37) * multiplier + a, (_rotate(a, 25) + b) * multiplier, multiplier)
    if length <= 64:
        return _farm_to_64(fetch, length, multiplier)
    return _farm_long(fetch, length, len(rows))


def _farm_to_64(fetch: Fetch, length: int, multiplier: int) -> Words:
    a = fetch(0) * (_K1 if length <= 32 else _K2)
    b, c, d = fetch(8), fetch(length - 8) * multiplier, fetch(length - 16) * _K2
    y = _rotate(a + b, 43) + _rotate(c, 30) + d
    z = _hash16(y, a + _rotate(b + _K2, 18) + c, multiplier)
    if length <= 32:
        return z
    e, f = fetch(16) * multiplier, fetch(24)
    g, h = (y + fetch(length - 32)) * multiplier, (z + fetch(length - 24)) * multiplier
    return _hash16(_rotate(e + f, 43) + _rotate(g, 30) + h, e + _rotate(f + a, 18) + g, multiplier)


def _weak32(fetch: Fetch, start: int, a: Words, b: Words) -> tuple[Words, Words]:
    w, x, y, z = (fetch(start + 8 * i) for i in range(4))
    a = a + w
    b = _rotate(b + a + z, 21)
    c = a
    a = a + x + y
    return a + z, b + _rotate(a, 44) + c


def _farm_long(fetch: Fetch, length: int, count: int) -> Words:
    def filled(value: int) -> Words:
        return np.full(count, value & _MASK, np.uint64)

    seed = 81
    y = filled(seed * _K1 + 113)
    z = _shift_mix(y * _K2 + 113) * _K2
    v, w = (filled(0), filled(0)), (filled(0), filled(0))
    x = fetch(0) + ((seed * _K2) & _MASK)
    end = (length - 1) // 64 * 64
    last = length - 64

    def block(start: int, multiplier: Words | int, times: int) -> None:
        nonlocal x, y, z, v, w
        x = _rotate(x + y + v[0] + fetch(start + 8), 37) * multiplier
        y = _rotate(y + v[1] + fetch(start + 48), 42) * multiplier
        x = x ^ (w[1] * times)
        y = y + v[0] * times + fetch(start + 40)
        z = _rotate(z + w[0], 33) * multiplier
        v = _weak32(fetch, start, v[1] * multiplier, x + w[0])
        w = _weak32(fetch, start + 32, z + w[1], y + fetch(start + 16))
        z, x = x, z

    for start in range(0, end, 64):
        block(start, _K1, 1)
    multiplier = ((z & np.uint64(0xFF)) << np.uint64(1)) + _K1
    w = (w[0] + ((length - 1) & 63), w[1])
    v = (v[0] + w[0], v[1])
    w = (w[0] + v[0], w[1])
    block(last, multiplier, 9)
    return _hash16(
        _hash16(v[0], w[0], multiplier) + _shift_mix(y) * _K0 + z,
        _hash16(v[1], w[1], multiplier) + x,
        multiplier,
    )


# ---------------------------------------------------------------- SipHash


def _sip(rows: np.ndarray, key: tuple[int, int]) -> Words:
    count, length = rows.shape
    padded = np.zeros((count, length // 8 * 8 + 8), np.uint8)
    padded[:, :length] = rows
    padded[:, -1] = length & 0xFF
    first, second = (np.full(count, one & _MASK, np.uint64) for one in key)
    state: tuple[Words, ...] = (
        first ^ 0x736F6D6570736575, second ^ 0x646F72616E646F6D,
        first ^ 0x6C7967656E657261, second ^ 0x7465646279746573,
    )  # fmt: skip
    for start in range(0, padded.shape[1], 8):
        word = _fetch(padded, start)
        state = (*state[:3], state[3] ^ word)
        state = _sip_round(_sip_round(state))
        state = (state[0] ^ word, *state[1:])
    state = (*state[:2], state[2] ^ np.uint64(0xFF), state[3])
    for _ in range(4):
        state = _sip_round(state)
    return state[0] ^ state[1] ^ state[2] ^ state[3]


def _sip_round(state: tuple[Words, ...]) -> tuple[Words, ...]:
    a, b, c, d = state
    a, c = a + b, c + d
    b, d = _rotate(b, 51) ^ a, _rotate(d, 48) ^ c
    a = _rotate(a, 32)
    c, a = c + b, a + d
    b, d = _rotate(b, 47) ^ c, _rotate(d, 43) ^ a
    return a, b, _rotate(c, 32), d
