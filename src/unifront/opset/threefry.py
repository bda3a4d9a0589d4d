"""The portable random numbers: the counter-based generator Threefry-2x32, the same to the bit on every backend.

A portable key is two 32-bit words, a ``uint32[2]``. Block ``n`` of a key is ``threefry2x32(key, (n >> 32, n))``;
32 random bits are the two words of a block, one xor the other, 64 bits are the two words (as ``jax.random.bits`` makes
them, which is thus a judge of this file). Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2,
3", 2011, with 20 rounds; its published vectors are in the tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from types import NoneType
from typing import Any

import numpy as np

from unifront.backends import HostKey
from unifront.dtypes import DTypeLike, dtype_of, key, uint32
from unifront.errors import ArgumentError, DTypeError, ShapeError
from unifront.ir import facts
from unifront.ir.dims import Dim
from unifront.ir.types import TensorType
from unifront.opset.elementwise import TensorLike
from unifront.opset.rules import dims_in, show
from unifront.opset.spec import OpSpec, Sample, register
from unifront.opset.tensor import active_builder, bind, lift

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
"""What the words of the key are joined with to its third word (Skein's constant, in 32 bits)."""

MANTISSA = {"float16": 10, "bfloat16": 7, "float32": 23, "float64": 52}
"""How many random bits a float of each kind gets: it is that many bits times a power of two, so nothing is rounded."""


def threefry2x32(
    words: tuple[Any, Any],
    counter: tuple[Any, Any],
    add: Callable[[Any, Any], Any],
    xor: Callable[[Any, Any], Any],
    rotate: Callable[[Any, int], Any],
) -> tuple[Any, Any]:
    """The block of ``counter`` under the key ``words``; both are pairs of arrays of 32-bit words.

    Args:
        add: the sum modulo 2**32, also with a Python int.
        rotate: ``(array, n)``: the 32 bits moved left by ``n``, those that leave coming in on the right.
    """
    schedule = (*words, xor(xor(words[0], words[1]), _PARITY))
    x, y = add(counter[0], schedule[0]), add(counter[1], schedule[1])
    for group in range(5):
        for by in _ROTATIONS[group % 2]:
            x = add(x, y)
            y = xor(rotate(y, by), x)
        x = add(x, schedule[(group + 1) % 3])
        y = add(add(y, schedule[(group + 2) % 3]), group + 1)
    return x, y


def _add(a: Any, b: Any) -> Any:
    return np.add(a, np.uint32(b) if isinstance(b, int) else b, dtype=np.uint32)


def _xor(a: Any, b: Any) -> Any:
    return np.bitwise_xor(a, np.uint32(b) if isinstance(b, int) else b)


def _rotate(a: Any, by: int) -> Any:
    return (a << np.uint32(by)) | (a >> np.uint32(32 - by))


def blocks(words: np.ndarray, high: Any, low: Any) -> tuple[np.ndarray, np.ndarray]:
    """`threefry2x32` of NumPy arrays."""
    counter = np.asarray(high, np.uint32), np.asarray(low, np.uint32)
    with np.errstate(over="ignore"):
        return threefry2x32((words[0], words[1]), counter, _add, _xor, _rotate)


def halves(number: int) -> tuple[int, int]:
    """The upper and lower 32 bits of a 64-bit number."""
    return number >> 32 & 0xFFFFFFFF, number & 0xFFFFFFFF


def is_portable(type_: TensorType) -> bool:
    """Whether a key of this type is one of the portable generator."""
    return type_.dtype == uint32 and type_.shape == (2,)


# ---------------------------------------------------------------- keys made of numbers


def _random_key_rule(data: TensorType | None, seed: int | None) -> TensorType:
    if (data is None) == (seed is None):
        raise ArgumentError("random_key takes one seed: an attribute, or a tensor of integers.")
    if data is not None and (not data.dtype.is_integer or data.shape not in ((), (2,))):
        raise DTypeError(f"random_key: the seed is {data}; an integer, or two of them, are needed.")
    if seed is not None:
        HostKey(seed)
    return TensorType(key)


def _random_key(data: np.ndarray | None, seed: int | None) -> HostKey:
    return HostKey(seed) if data is None else host_key(np.asarray(data).ravel().tolist())  # type: ignore[arg-type]


def host_key(numbers: Sequence[int]) -> HostKey:
    """The key of one number or two."""
    first = HostKey(int(numbers[0]) & 0xFFFFFFFFFFFFFFFF)
    return first if len(numbers) == 1 else first.fold_in(int(numbers[1]))


RANDOM_KEY = register(
    OpSpec(
        "random_key",
        rule=_random_key_rule,
        reference=_random_key,
        samples=lambda rng: [
            Sample((None,), {"seed": 3}),
            Sample((None,), {"seed": 2**40 + 1}),
            Sample((np.asarray(5, np.int32),), {"seed": None}),
            Sample((np.asarray([5, 1], np.uint32),), {"seed": None}),
        ],
        source="jax.random.key",
        attributes={"seed": (int, NoneType)},
        differentiable=False,
        random=True,
        facts=facts.opaque("half"),
    )
)  # fmt: skip


def random_key(seed: int | TensorLike) -> Any:
    """The key of a seed: a number, or a tensor of one integer or two (``jax.random.key``).

    Prefer a number: a backend whose keys live on the host waits for a tensor.
    """
    if isinstance(seed, int):
        return HostKey(seed)
    return bind(RANDOM_KEY, seed, seed=None)


def _key_words_rule(key_: TensorType) -> TensorType:
    if key_.dtype != key:
        raise DTypeError(f"key_words: {key_} is no key; make one with uf.random_key(seed).")
    return TensorType(uint32, (2,))


KEY_WORDS = register(
    OpSpec(
        "key_words",
        rule=_key_words_rule,
        reference=lambda key_: np.array(halves(key_), np.uint32),
        samples=lambda rng: [Sample((HostKey(2**40 + 7),)), Sample((HostKey(0),))],
        source="jax.random.key_data",
        differentiable=False,
        facts=facts.opaque("half"),
    )
)


def key_words(key: TensorLike) -> Any:
    """A key as one of the portable generator: its number as two 32-bit words, ``uint32[2]`` (``jax.random.key_data``).

    The words of a seed are the same on every backend; those of a key that was folded in are not.
    """
    if isinstance(key, HostKey):
        return np.array(halves(key), np.uint32)
    return bind(KEY_WORDS, key)


# ---------------------------------------------------------------- bits


def need_words(words: TensorType) -> None:
    """`DTypeError` unless ``words`` is a portable key."""
    if not is_portable(words):
        raise DTypeError(f"The portable key is {words}; it is uint32[2], as uf.ops.key_words gives it.")


def _random_bits_rule(words: TensorType, shape: tuple[Dim, ...], dtype: str) -> TensorType:
    need_words(words)
    if any(isinstance(size, int) and size < 0 for size in shape):
        raise ShapeError(f"A shape has no negative sizes: {show(shape)}.")
    if dtype != "uint32" and dtype not in MANTISSA:
        raise DTypeError(f"random_bits: the dtype is {dtype}; uint32 or a float is needed.")
    return TensorType(dtype_of(dtype), tuple(shape))


def _random_bits(words: np.ndarray, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    count = np.arange(math.prod(shape), dtype=np.uint64).reshape(shape)
    high, low = blocks(words, count >> np.uint64(32), count & np.uint64(0xFFFFFFFF))
    if dtype == "float64":
        wide = (high.astype(np.uint64) << np.uint64(20)) | (low >> np.uint32(12)).astype(np.uint64)
        return np.asarray(wide.astype(np.float64) * 2.0**-52)
    bits = high ^ low
    if dtype == "uint32":
        return np.asarray(bits)
    digits = MANTISSA[dtype]
    return np.asarray((bits >> np.uint32(32 - digits)).astype(np.float64) * 2.0**-digits)


def _random_bits_samples(rng: np.random.Generator) -> Iterator[Sample]:
    words = np.array([0x13198A2E, 0x03707344], np.uint32)
    for shape in ((), (3,), (2, 0), (2, 1, 3)):
        for dtype in ("uint32", *MANTISSA):
            yield Sample((words,), {"shape": shape, "dtype": dtype})


RANDOM_BITS = register(
    OpSpec(
        "random_bits",
        rule=_random_bits_rule,
        reference=_random_bits,
        samples=_random_bits_samples,
        source="Threefry-2x32-20, Salmon et al. 2011; jax.random.bits",
        attributes={"shape": tuple, "dtype": str},
        differentiable=False,
        facts=facts.opaque("half"),
    )
)


def random_bits(key: TensorLike, shape: Dim | Sequence[Dim], dtype: DTypeLike = "uint32") -> Any:
    """Random bits of the portable generator, the same on every backend (``jax.random.bits``).

    Args:
        key: a portable key, two 32-bit words (`key_words`).
        dtype: uint32; or a float, for random bits times a power of two: evenly drawn from ``[0, 1)``, exact.

    Example::

        uf.ops.random_bits(uf.ops.key_words(uf.random_key(0)), (2, 3), "float32")
    """
    sizes, builder = dims_in(shape), active_builder()
    if builder is not None and not all(isinstance(size, int) for size in sizes):
        key = lift(key, builder)  # an array alone knows no free sizes
    return bind(RANDOM_BITS, key, shape=sizes, dtype=dtype_of(dtype).name)
