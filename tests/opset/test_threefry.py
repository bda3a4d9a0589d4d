"""The portable generator: its published vectors, JAX's as judge, the same bits everywhere."""

from __future__ import annotations

import jax
import numpy as np
import pytest
import scipy.special

from unifront import backends, ops, testing
from unifront.backends import HostKey, placement, use_backend
from unifront.errors import DTypeError
from unifront.ir.types import TensorType
from unifront.opset.quantiles import normal_quantile
from unifront.opset.tensor import Builder
from unifront.opset.threefry import MANTISSA, blocks

ALL = backends.installed()
WORDS = np.array([0xDEADBEEF, 12345], np.uint32)

# Random123 (https://github.com/DEShawResearch/random123), tests/kat_vectors: threefry2x32 with 20 rounds.
KNOWN_ANSWERS = [
    ((0x00000000, 0x00000000), (0x00000000, 0x00000000), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
]


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
def test_the_published_vectors(counter, key, expected):
    assert tuple(map(int, blocks(np.array(key, np.uint32), *counter))) == expected


@pytest.mark.parametrize("number", [0, 3, 2**40 + 9])
@pytest.mark.parametrize("name", ALL)
def test_a_folded_key_is_the_same_everywhere(name, number):
    place = placement(name)
    found = ops.fold_in(place.backend.array(WORDS, place.device), number)
    assert (
        place.backend.numpy(found).tolist()
        == np.stack(blocks(WORDS, number >> 32, number & 0xFFFFFFFF)).tolist()
    )


def test_a_folded_key_is_that_of_jax():
    key = jax.random.wrap_key_data(WORDS, impl="threefry2x32")
    expected = jax.random.key_data(jax.random.fold_in(key, 17))
    assert ops.fold_in(WORDS, 17).tolist() == expected.tolist()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ALL)
def test_even_numbers_are_those_of_jax(name, dtype):
    place = placement(name)
    found = place.backend.numpy(
        ops.random_uniform(place.backend.array(WORDS, place.device), (7, 3), dtype=dtype)
    )
    with jax.threefry_partitionable(True), jax.enable_x64(True):
        expected = jax.random.uniform(jax.random.wrap_key_data(WORDS, impl="threefry2x32"), (7, 3), dtype)
    assert found.dtype == dtype
    assert np.array_equal(found, np.asarray(expected))


@pytest.mark.parametrize("dtype", ["uint32", *MANTISSA])
def test_bits_are_the_same_everywhere_in_a_program(dtype):
    builder = Builder("bits")
    words = builder.input("words", TensorType(testing.dtype_of("uint32"), (2,)))
    graph = builder.graph([ops.random_bits(ops.fold_in(words, 1), (5, 4), dtype)])
    found = {}
    for name in ALL:
        place = placement(name)
        (bits,) = place.backend.compile(graph)([place.backend.array(WORDS, place.device)], [])
        found[name] = place.backend.numpy(bits)
    for name, bits in found.items():
        assert bits.dtype == testing.dtype_of(dtype).numpy, name
        assert np.array_equal(bits, found["numpy"]), name


@pytest.mark.parametrize("seed", [0, 7, 2**40 + 1])
def test_the_words_of_a_seed_are_the_same_everywhere(seed):
    for name in ALL:
        place = placement(name)
        builder = Builder("words")
        key = builder.input("key", testing.type_of(HostKey(0)))
        graph = builder.graph([ops.key_words(key)])
        (found,) = place.backend.compile(graph)([place.backend.key(HostKey(seed))], [])
        assert place.backend.numpy(found).tolist() == [seed >> 32, seed & 0xFFFFFFFF], name


@pytest.mark.parametrize("seed", [7, 2**40 + 1])
def test_a_seed_within_a_graph_draws_as_it_does_outside(seed):
    for name in ALL:
        place = placement(name)
        builder = Builder("seeded")
        x = builder.input("x", TensorType(testing.dtype_of("float32"), (3,)))
        graph = builder.graph([ops.random_uniform(HostKey(seed), (3,), like=x)])
        (found,) = place.backend.compile(graph)([place.backend.array(np.zeros(3, np.float32))], [])
        with use_backend(name):
            expected = ops.random_uniform(HostKey(seed), (3,))
        assert np.array_equal(place.backend.numpy(found), place.backend.numpy(expected)), name


def test_normal_numbers_are_quantiles():
    p = np.concatenate([np.linspace(1e-3, 1 - 1e-3, 999), 10.0 ** -np.arange(4, 300, 7)])
    testing.assert_close(normal_quantile(p), scipy.special.ndtri(p))


def test_normal_numbers_agree_to_the_last_digits():
    found = {}
    for name in ALL:
        place = placement(name)
        words = place.backend.array(WORDS, place.device)
        found[name] = place.backend.numpy(ops.random_normal(words, (20_000,), 1.0, 2.0))
        np.testing.assert_allclose(
            found[name], found["numpy"] if "numpy" in found else found[name], rtol=3e-6, atol=3e-6
        )
    assert abs(found["numpy"].mean() - 1) < 0.05
    assert abs(found["numpy"].std() - 2) < 0.05


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_dropout_drops_the_same_everywhere(dtype):
    x = np.ones((30, 40), testing.dtype_of(dtype).numpy)
    expected = ops.dropout(x, WORDS, 0.3)
    assert 0.6 < np.mean(np.asarray(expected, np.float32) != 0) < 0.8
    for name in ALL:
        place = placement(name)
        found = place.backend.numpy(ops.dropout(place.backend.array(x, place.device), WORDS, 0.3))
        assert np.array_equal(found, expected), name


def test_what_is_no_portable_key_is_refused():
    with pytest.raises(DTypeError, match=r"The portable key is int32\[2\]; it is uint32\[2\]"):
        ops.random_bits(np.zeros(2, np.int32), (3,))
    with pytest.raises(DTypeError, match=r"random_gamma: the key is int32\[2\]; it is one of uf.random_key"):
        ops.random_gamma(np.zeros(2, np.int32), np.ones(3))
