"""Initial values: functions ``(shape, dtype, numpy Generator) -> array``, under Keras's names.

Values come from NumPy, so that a seed gives the same weights to the bit on every backend. ``fan_in`` and
``fan_out`` count as in Keras: the last two axes, times the receptive field.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from unifront.dtypes import DType
from unifront.errors import ArgumentError, UnknownName
from unifront.layers.arguments import number

Initializer = Callable[[tuple[int, ...], DType, np.random.Generator], np.ndarray]


def fans(shape: tuple[int, ...]) -> tuple[float, float]:
    """The numbers of inputs and outputs of a kernel of ``shape``."""
    if len(shape) < 2:
        return (float(shape[0]) if shape else 1.0,) * 2
    field = math.prod(shape[:-2])
    return float(shape[-2] * field), float(shape[-1] * field)


@dataclass(frozen=True)
class Zeros:
    """All zero."""

    def __call__(self, shape: tuple[int, ...], dtype: DType, rng: np.random.Generator) -> np.ndarray:
        return np.zeros(shape, dtype.numpy)


@dataclass(frozen=True)
class Ones:
    """All one."""

    def __call__(self, shape: tuple[int, ...], dtype: DType, rng: np.random.Generator) -> np.ndarray:
        return np.ones(shape, dtype.numpy)


@dataclass(frozen=True)
class Constant:
    """All ``value``."""

    value: float = 0.0

    def __call__(self, shape: tuple[int, ...], dtype: DType, rng: np.random.Generator) -> np.ndarray:
        return np.full(shape, self.value, dtype.numpy)


@dataclass(frozen=True)
class Identity:
    """``gain`` on the diagonal of a matrix, zero elsewhere."""

    gain: float = 1.0

    def __call__(self, shape: tuple[int, ...], dtype: DType, rng: np.random.Generator) -> np.ndarray:
        if len(shape) != 2:
            raise ArgumentError(f"Identity needs 2 dimensions, not the shape {shape}.")
        return (self.gain * np.eye(*shape)).astype(dtype.numpy)


@dataclass(frozen=True)
class RandomNormal:
    """Normal with ``mean`` and ``stddev``; with a ``seed`` of its own, the same wherever it is used."""

    mean: float = 0.0
    stddev: float = 0.05
    seed: int | None = None

    def __post_init__(self) -> None:
        number(type(self).__name__, "stddev", self.stddev, 0)

    def __call__(self, shape: tuple[int, ...], dtype: DType, rng: np.random.Generator) -> np.ndarray:
        return _source(self.seed, rng).normal(self.mean, self.stddev, shape).astype(dtype.numpy)


@dataclass(frozen=True)
class TruncatedNormal:
    """Normal, drawn again while further than two standard deviations from the mean."""

    mean: float = 0.0
    stddev: float = 0.05
    seed: int | None = None

    def __post_init__(self) -> None:
        number(type(self).__name__, "stddev", self.stddev, 0)

    def __call__(self, shape: tuple[int, ...], dtype: DType, rng: np.random.Generator) -> np.ndarray:
        return (self.mean + self.stddev * _truncated(_source(self.seed, rng), shape)).astype(dtype.numpy)


@dataclass(frozen=True)
class RandomUniform:
    """Uniform on ``[minval, maxval)``."""

    minval: float = -0.05
    maxval: float = 0.05
    seed: int | None = None

    def __post_init__(self) -> None:
        number("RandomUniform", "maxval", self.maxval, number("RandomUniform", "minval", self.minval))

    def __call__(self, shape: tuple[int, ...], dtype: DType, rng: np.random.Generator) -> np.ndarray:
        return _source(self.seed, rng).uniform(self.minval, self.maxval, shape).astype(dtype.numpy)


@dataclass(frozen=True)
class VarianceScaling:
    """Variance ``scale / n``, n by ``mode`` (fan_in, fan_out, fan_avg); Glorot and Bengio 2010, He et al. 2015."""

    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "truncated_normal"
    seed: int | None = None

    def __post_init__(self) -> None:
        number("VarianceScaling", "scale", self.scale, 0)
        for name, known in (("mode", _MODES), ("distribution", _DISTRIBUTIONS)):
            if getattr(self, name) not in known:
                raise UnknownName(f"{name} of VarianceScaling", getattr(self, name), known)

    def __call__(self, shape: tuple[int, ...], dtype: DType, rng: np.random.Generator) -> np.ndarray:
        fan_in, fan_out = fans(shape)
        counts = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
        variance = self.scale / max(1.0, counts[self.mode])
        rng = _source(self.seed, rng)
        return (math.sqrt(variance) * _DISTRIBUTIONS[self.distribution](rng, shape)).astype(dtype.numpy)


@dataclass(frozen=True)
class Orthogonal:
    """A (semi-)orthogonal matrix times ``gain``; the first axes are taken together (Saxe et al. 2013)."""

    gain: float = 1.0
    seed: int | None = None

    def __call__(self, shape: tuple[int, ...], dtype: DType, rng: np.random.Generator) -> np.ndarray:
        if len(shape) < 2:
            raise ArgumentError(f"Orthogonal needs at least 2 dimensions, not the shape {shape}.")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        normal = _source(self.seed, rng).normal(size=(max(rows, columns), min(rows, columns)))
        q, r = np.linalg.qr(normal)
        q = q * np.sign(np.diag(r))
        return (self.gain * (q if rows >= columns else q.T).reshape(shape)).astype(dtype.numpy)


def _source(seed: int | None, rng: np.random.Generator) -> np.random.Generator:
    return rng if seed is None else np.random.default_rng(seed)


def _truncated(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    values = np.asarray(rng.normal(size=shape))
    while (far := np.abs(values) > 2).any():
        values[far] = rng.normal(size=int(far.sum()))
    return values


_MODES = ("fan_in", "fan_out", "fan_avg")
_DISTRIBUTIONS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]] = {
    "uniform": lambda rng, shape: rng.uniform(-math.sqrt(3), math.sqrt(3), shape),
    "truncated_normal": lambda rng, shape: _truncated(rng, shape) / 0.87962566103423978,  # of deviation one
    "untruncated_normal": lambda rng, shape: rng.normal(size=shape),
}


def _scaling(scale: float, mode: str, distribution: str) -> Callable[..., VarianceScaling]:
    return lambda seed=None: VarianceScaling(scale, mode, distribution, seed)


GlorotUniform = _scaling(1.0, "fan_avg", "uniform")
GlorotNormal = _scaling(1.0, "fan_avg", "truncated_normal")
HeUniform = _scaling(2.0, "fan_in", "uniform")
HeNormal = _scaling(2.0, "fan_in", "truncated_normal")
LecunUniform = _scaling(1.0, "fan_in", "uniform")
LecunNormal = _scaling(1.0, "fan_in", "truncated_normal")

NAMES: dict[str, Callable[[], Initializer]] = {
    "zeros": Zeros,
    "ones": Ones,
    "constant": Constant,
    "identity": Identity,
    "variance_scaling": VarianceScaling,
    "random_normal": RandomNormal,
    "truncated_normal": TruncatedNormal,
    "random_uniform": RandomUniform,
    "uniform": RandomUniform,
    "normal": RandomNormal,
    "glorot_uniform": GlorotUniform,
    "glorot_normal": GlorotNormal,
    "he_uniform": HeUniform,
    "he_normal": HeNormal,
    "lecun_uniform": LecunUniform,
    "lecun_normal": LecunNormal,
    "orthogonal": Orthogonal,
}

_CLASS_NAMES = {"".join(part.title() for part in name.split("_")): name for name in NAMES}
"""``GlorotUniform`` → ``glorot_uniform``: Keras takes both."""


def get(initializer: Any) -> Initializer:
    """The initializer meant by a name, a class of this module (made with its defaults) or a callable.

    Raises `UnknownName` for another name, `ArgumentError` for what is none of these.
    """
    if any(initializer is made for made in NAMES.values()):
        return cast("Callable[[], Initializer]", initializer)()
    if isinstance(initializer, str):
        name = _CLASS_NAMES.get(initializer, initializer)
        if name not in NAMES:
            raise UnknownName("initializer", initializer, NAMES)
        return NAMES[name]()
    if not callable(initializer):
        raise ArgumentError(
            f"An initializer is a name or a callable (shape, dtype, rng), not {initializer!r}."
        )
    return initializer
