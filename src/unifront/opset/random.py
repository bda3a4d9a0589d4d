"""Randomness: every operation takes a key; one key gives the same values each time on one backend and device.

The values of one key differ between backends, which use their own fast generators; their distribution does
not. A portable key, two 32-bit words as `key_words` gives them, draws by the generator of `unifront.opset.threefry`
instead, which gives the same everywhere: bits, uniform numbers and the masks of dropout exactly, what is computed
from them (normal numbers) but for how a framework rounds a logarithm, or a product and a sum at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import NoneType
from typing import Any

import numpy as np

from unifront.arguments import Amount, Fraction, Real
from unifront.backends import HostKey
from unifront.dtypes import DTypeLike, dtype_of
from unifront.dtypes import key as _key
from unifront.errors import ArgumentError, DTypeError, ShapeError
from unifront.ir import facts
from unifront.ir.dims import Dim
from unifront.ir.types import TensorType
from unifront.opset.casting import TensorLike, cast, floating
from unifront.opset.comparison import greater_equal, less
from unifront.opset.elementwise import add, divide, multiply, where
from unifront.opset.elementwise import maximum as _maximum
from unifront.opset.quantiles import normal_quantile
from unifront.opset.rules import broadcast, dims_in, need_float, show
from unifront.opset.spec import OpSpec, Sample, register
from unifront.opset.tensor import bind, type_of
from unifront.opset.threefry import MANTISSA, blocks, halves, is_portable, random_bits

_KEY = HostKey(20)


def _need_key(type_: TensorType) -> TensorType:
    if type_.dtype != _key or type_.shape:
        raise DTypeError(f"The key is {type_}; make one with uf.random_key(seed).")
    return type_


def generator(value: HostKey) -> np.random.Generator:
    """NumPy's generator for a key."""
    return np.random.Generator(np.random.Philox(key=int(value)))


def folded_words(words: np.ndarray, number: int) -> np.ndarray:
    """The portable key of the stream ``number`` of the key ``words`` (as ``jax.random.fold_in`` makes it)."""
    return np.stack(blocks(words, *halves(number)))


def _fold_in_rule(key_: TensorType, data: TensorType | None, number: int | None) -> TensorType:
    if (data is None) == (number is None):
        raise ArgumentError("fold_in takes one number: an attribute, or an integer scalar.")
    if data is not None and (not data.dtype.is_integer or data.shape):
        raise DTypeError(f"fold_in: the data is {data}; an integer scalar is needed.")
    return key_ if is_portable(key_) else _need_key(key_)


def _fold_in(key_: Any, data: np.ndarray | None, number: int | None) -> Any:
    if isinstance(key_, HostKey):
        return key_.fold_in(int(data) if number is None else number)  # type: ignore[arg-type]  # one is given
    return folded_words(key_, int(data) & 0xFFFFFFFF if number is None else number)  # type: ignore[arg-type]


def _fold_in_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for key_ in (_KEY, np.array([7, 2**32 - 1], np.uint32)):
        for number in (3, 2**40 + 5):
            yield Sample((key_, None), {"number": number})
        for data in (np.asarray(5, np.int32), np.asarray(-1, np.int32)):
            yield Sample((key_, data), {"number": None})


FOLD_IN = register(
    OpSpec(
        "fold_in",
        rule=_fold_in_rule,
        reference=_fold_in,
        samples=_fold_in_samples,
        source="jax.random.fold_in; Salmon et al. 2011",
        attributes={"number": (int, NoneType)},
        differentiable=False,
        random=True,
        facts=facts.opaque("half"),
    )
)


def fold_in(key: TensorLike, data: int | TensorLike) -> Any:
    """A new key for the stream number ``data``, an int or an integer scalar (``jax.random.fold_in``).

    Prefer an int: a backend whose keys live on the host waits for a tensor.
    """
    if isinstance(data, int):
        return bind(FOLD_IN, key, None, number=int(data))
    return bind(FOLD_IN, key, data, number=None)


def _drawn_rule(
    key_: TensorType, like: TensorType | None, shape: tuple[Dim, ...], dtype: str, **_: Any
) -> TensorType:
    _need_key(key_)
    if any(isinstance(size, int) and size < 0 for size in shape):
        raise ShapeError(f"A shape has no negative sizes: {show(shape)}.")
    return need_float(TensorType(dtype_of(dtype), tuple(shape)), "dtype")


def _drawn_samples(**attributes: float) -> Any:
    def samples(rng: np.random.Generator) -> Iterator[Sample]:
        for shape in ((), (3,), (2, 0), (2, 1, 3)):
            for dtype in ("float32", "float64"):
                yield Sample((_KEY, None), {"shape": shape, "dtype": dtype, **attributes})

    return samples


RANDOM_UNIFORM = register(
    OpSpec(
        "random_uniform",
        rule=_drawn_rule,
        reference=lambda key_, like, shape, minimum, maximum, dtype: generator(key_).uniform(
            minimum, maximum, shape
        ),
        samples=_drawn_samples(minimum=-1.0, maximum=2.0),
        source="NumPy Generator.uniform; ONNX RandomUniform",
        attributes={"shape": tuple, "minimum": float, "maximum": float, "dtype": str},
        differentiable=False,
        random=True,
        facts=facts.opaque("half"),
    )
)
RANDOM_NORMAL = register(
    OpSpec(
        "random_normal",
        rule=_drawn_rule,
        reference=lambda key_, like, shape, mean, stddev, dtype: generator(key_).normal(mean, stddev, shape),
        samples=_drawn_samples(mean=1.0, stddev=2.0),
        source="NumPy Generator.normal; ONNX RandomNormal",
        attributes={"shape": tuple, "mean": float, "stddev": float, "dtype": str},
        differentiable=False,
        random=True,
        facts=facts.opaque("half"),
    )
)


def random_uniform(
    key: TensorLike,
    shape: Dim | Sequence[Dim],
    minimum: Real = 0.0,
    maximum: Real = 1.0,
    dtype: DTypeLike = "float32",
    *,
    like: TensorLike | None = None,
) -> Any:
    """Values drawn evenly from ``[minimum, maximum)`` (NumPy Generator.uniform).

    ``like``, any tensor, says on which device they shall be; else they are on the backend's first. Those of a portable
    key are where the key is.
    """
    if maximum < minimum:
        raise ArgumentError(f"random_uniform: maximum is at least minimum, {minimum}, not {maximum}.")
    if is_portable(type_of(key)):
        share = random_bits(key, shape, dtype)
        if (minimum, maximum) == (0, 1):
            return share
        # Rounding may bring the sum below its least.
        return _maximum(add(multiply(share, maximum - minimum), minimum), minimum)
    return bind(
        RANDOM_UNIFORM, key, like, shape=dims_in(shape), minimum=float(minimum), maximum=float(maximum),
        dtype=dtype_of(dtype).name,
    )  # fmt: skip


def random_normal(
    key: TensorLike,
    shape: Dim | Sequence[Dim],
    mean: Real = 0.0,
    stddev: Amount = 1.0,
    dtype: DTypeLike = "float32",
    *,
    like: TensorLike | None = None,
) -> Any:
    """Values drawn from the normal distribution (NumPy Generator.normal); ``like`` as in `random_uniform`.

    A portable key gives the quantiles (Wichura 1988) of the middles of evenly drawn intervals, computed in float32 for
    narrower floats.
    """
    if is_portable(type_of(key)):
        wide = "float64" if dtype_of(dtype).name == "float64" else "float32"
        share = add(random_bits(key, shape, wide), 0.5 * 2.0 ** -MANTISSA[wide])
        return cast(add(multiply(normal_quantile(share), stddev), mean), dtype)
    return bind(
        RANDOM_NORMAL, key, like, shape=dims_in(shape), mean=float(mean), stddev=float(stddev),
        dtype=dtype_of(dtype).name,
    )  # fmt: skip


def random_bernoulli(
    key: TensorLike,
    shape: Dim | Sequence[Dim],
    probability: Fraction = 0.5,
    *,
    like: TensorLike | None = None,
) -> Any:
    """Booleans, each true with ``probability``; ``like`` as in `random_uniform`."""
    return less(random_uniform(key, shape, like=like), float(probability))


def _dropout_rule(x: TensorType, key_: TensorType, rate: float, noise_shape: tuple[Dim, ...]) -> TensorType:
    need_float(x)
    _need_key(key_)
    if not 0 <= rate < 1:
        raise ArgumentError(f"dropout: the rate is {rate}; it is at least 0 and less than 1.")
    if broadcast(x.shape, noise_shape) != x.shape:
        raise ShapeError(
            f"dropout: the noise shape {show(noise_shape)} does not broadcast to x {show(x.shape)}."
        )
    return x


def _dropout_reference(x: np.ndarray, key_: HostKey, rate: float, noise_shape: tuple[int, ...]) -> np.ndarray:
    keep = generator(key_).random(noise_shape) >= rate
    return x * (keep / (1 - rate))


def _dropout_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, noise_shape in (((3,), (3,)), ((2, 3, 4), (2, 1, 4)), ((2, 0), (2, 0)), ((), ())):
        for rate in (0.5, 0.3):
            yield Sample((rng.normal(size=shape), _KEY), {"rate": rate, "noise_shape": noise_shape})


DROPOUT = register(
    OpSpec(
        "dropout",
        rule=_dropout_rule,
        reference=_dropout_reference,
        samples=_dropout_samples,
        source="Srivastava et al. 2014, scaled when training; Keras Dropout; ONNX Dropout",
        attributes={"rate": float, "noise_shape": tuple},
        random=True,
        facts=facts.along(None, "half", keeps_zeros=True, sign="kept"),
    )
)


def dropout(
    x: TensorLike, key: TensorLike, rate: float, noise_shape: Sequence[Dim | None] | None = None
) -> Any:
    """``x`` with elements set to zero with probability ``rate``, the others scaled by ``1 / (1 - rate)``.

    Args:
        rate: at least 0, less than 1.
        noise_shape: the shape of the mask, broadcast to ``x``; None in it stands for the size of ``x``.

    Srivastava et al. 2014; Keras Dropout.
    """
    x = floating(x)
    shape = type_of(x).shape
    if noise_shape is not None and len(noise_shape) != len(shape):
        raise ShapeError(f"dropout: the noise shape {noise_shape} has not the rank of x {show(shape)}.")
    given = (None,) * len(shape) if noise_shape is None else noise_shape
    noise = tuple(size if want is None else want for size, want in zip(shape, given, strict=True))
    if is_portable(type_of(key)):
        _dropout_rule(type_of(x), TensorType(_key), float(rate), noise)
        keep = greater_equal(random_bits(key, noise, "float32"), float(rate))
        return where(keep, divide(x, 1 - float(rate)), 0.0)
    return bind(DROPOUT, x, key, rate=float(rate), noise_shape=noise)
