"""Numbers drawn from the gamma and the binomial distribution, by the backends' own generators or the portable one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from unifront.backends import HostKey
from unifront.dtypes import key as key_dtype
from unifront.errors import DTypeError
from unifront.ir import facts
from unifront.ir.types import TensorType
from unifront.opset.elementwise import TensorLike, floating, promoted
from unifront.opset.portable_variates import portable_binomial, portable_gamma
from unifront.opset.random import generator
from unifront.opset.rules import broadcast, need_float, same_dtype
from unifront.opset.spec import OpSpec, Sample, register
from unifront.opset.tensor import bind, type_of
from unifront.opset.threefry import is_portable

_KEY = HostKey(20)


def _need_native(name: str, key_: TensorType) -> None:
    if key_.dtype != key_dtype or key_.shape:
        raise DTypeError(
            f"{name}: the key is {key_}; it is one of uf.random_key(seed), or of uf.ops.key_words(key)."
        )


def _gamma_rule(key_: TensorType, alpha: TensorType) -> TensorType:
    _need_native("random_gamma", key_)
    return need_float(alpha, "random_gamma: alpha")


def _gamma_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape in ((), (3,), (2, 0), (2, 1, 3)):
        yield Sample((_KEY, rng.uniform(0.3, 3, shape)), wrt=())


def _gamma(key_: HostKey, alpha: np.ndarray) -> np.ndarray:
    right = alpha >= 0
    return np.where(right, generator(key_).gamma(np.where(right, alpha, 1)), np.nan)


RANDOM_GAMMA = register(
    OpSpec(
        "random_gamma",
        rule=_gamma_rule,
        reference=_gamma,
        samples=_gamma_samples,
        source="NumPy Generator.gamma; jax.random.gamma",
        differentiable=False,
        random=True,
        facts=facts.along(None, "float32", keeps_zeros=False, sign="not negative"),
    )
)


def random_gamma(key: TensorLike, alpha: TensorLike) -> Any:
    """A number of the gamma distribution with the shape parameter ``alpha`` and the scale 1, for each of ``alpha``
    (NumPy Generator.gamma); nan where it is below 0."""
    alpha = floating(alpha)
    return portable_gamma(key, alpha) if is_portable(type_of(key)) else bind(RANDOM_GAMMA, key, alpha)


def _binomial_rule(key_: TensorType, counts: TensorType, probabilities: TensorType) -> TensorType:
    _need_native("random_binomial", key_)
    need_float(counts, "random_binomial: counts")
    same_dtype(counts, probabilities)
    return counts.with_shape(broadcast(counts.shape, probabilities.shape))


def _binomial_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, other in (((), ()), ((3,), (3,)), ((2, 0), (2, 0)), ((2, 3), (3,))):
        counts, shares = rng.integers(0, 20, shape).astype(float), rng.uniform(size=other)
        yield Sample((_KEY, counts, shares), wrt=())


def _binomial(key_: HostKey, counts: np.ndarray, shares: np.ndarray) -> np.ndarray:
    right = (counts >= 0) & (counts < 2**62) & (shares >= 0) & (shares <= 1)
    drawn = generator(key_).binomial(np.where(right, counts, 0).astype(np.int64), np.where(right, shares, 0))
    return np.where(right, drawn, np.nan)


RANDOM_BINOMIAL = register(
    OpSpec(
        "random_binomial",
        rule=_binomial_rule,
        reference=_binomial,
        samples=_binomial_samples,
        source="NumPy Generator.binomial; jax.random.binomial",
        differentiable=False,
        random=True,
        facts=facts.along(None, "float32", keeps_zeros=False, sign="not negative"),
    )
)


def random_binomial(key: TensorLike, counts: TensorLike, probabilities: TensorLike) -> Any:
    """How many of ``counts`` trials succeed that each succeed with ``probabilities``, as floats; the two broadcast
    (NumPy Generator.binomial). It is nan where there is no such distribution."""
    counts, probabilities = map(floating, promoted(counts, probabilities))
    if is_portable(type_of(key)):
        return portable_binomial(key, counts, probabilities)
    return bind(RANDOM_BINOMIAL, key, counts, probabilities)
