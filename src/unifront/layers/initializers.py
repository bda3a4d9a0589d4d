"""Initial values: functions ``(shape, dtype, numpy Generator) -> array``, under Keras's names.

Values come from NumPy, so that a seed gives the same weights to the bit on every backend. ``fan_in`` and
``fan_out`` count as in Keras: the last two axes, times the receptive field.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

import numpy as np

from unifront.arguments import LARGEST, Amount, Real, checked, meant
from unifront.dtypes import DType, DTypeLike, dtype_of, floatx
from unifront.errors import ArgumentError, ShapeError, UnknownName
from unifront.layers.arguments import Seed
from unifront.opset.rules import is_whole
from unifront.trace import current_seed

Initializer = Callable[[tuple[int, ...], DType, np.random.Generator], np.ndarray]


def fans(shape: tuple[int, ...]) -> tuple[float, float]:
    """The numbers of inputs and outputs of a kernel of ``shape``."""
    if len(shape) < 2:
        return (float(shape[0]) if shape else 1.0,) * 2
    field = math.prod(shape[:-2])
    return float(shape[-2] * field), float(shape[-1] * field)


class _Drawn:
    """What the initializers share: called by layers with a generator, by users as in Keras, without one."""

    seed: int | None = None

    def draw(self, shape: tuple[int, ...], dtype: DType, rng: np.random.Generator) -> np.ndarray:
        """The values. Overridden by every initializer."""
        raise ArgumentError(f"{type(self).__name__} does not define draw().")

    def __call__(
        self, shape: Any, dtype: DTypeLike | None = None, rng: np.random.Generator | None = None
    ) -> np.ndarray:
        """Initial values as NumPy: ``initializer((2, 3))``, ``initializer((2, 3), dtype="float16")``.

        Args:
            shape: sizes.
            dtype: `floatx` unless given.
            rng: where random numbers come from; unless given, the initializer's ``seed``, else `set_seed`'s.

        Raises `ShapeError` for what is no shape.
        """
        sizes = (shape,) if isinstance(shape, int | np.integer) else shape
        if not isinstance(sizes, tuple | list) or not all(
            is_whole(size) and 0 <= size <= LARGEST for size in sizes
        ):
            raise ShapeError(f"{type(self).__name__}: a shape is a tuple of sizes, not {shape!r}.")
        chosen = floatx() if dtype is None else dtype_of(dtype)
        if rng is not None and not isinstance(rng, np.random.Generator):
            raise ArgumentError(f"{type(self).__name__}: rng is a NumPy Generator, not {rng!r}.")
        if rng is None or self.seed is not None:
            rng = np.random.default_rng(current_seed() if self.seed is None else self.seed)
        return self.draw(tuple(map(int, sizes)), chosen, rng)


@checked
@dataclass(frozen=True)
class Zeros(_Drawn):
    """All zero."""

    def draw(self, shape: tuple[int, ...], dtype: DType, rng: np.random.Generator) -> np.ndarray:
        return np.zeros(shape, dtype.numpy)


@checked
@dataclass(frozen=True)
class Ones(_Drawn):
    """All one."""

    def draw(self, shape: tuple[int, ...], dtype: DType, rng: np.random.Generator) -> np.ndarray:
        return np.ones(shape, dtype.numpy)


@checked
@dataclass(frozen=True)
class Constant(_Drawn):
    """All ``value``."""

    value: Real | bool = 0.0

    def draw(self, shape: tuple[int, ...], dtype: DType, rng: np.random.Generator) -> np.ndarray:
        return np.full(shape, self.value, dtype.numpy)


@checked
@dataclass(frozen=True)
class Identity(_Drawn):
    """``gain`` on the diagonal of a matrix, zero elsewhere."""

    gain: Real = 1.0

    def draw(self, shape: tuple[int, ...], dtype: DType, rng: np.random.Generator) -> np.ndarray:
        if len(shape) != 2:
            raise ArgumentError(f"Identity needs 2 dimensions, not the shape {shape}.")
        return (self.gain * np.eye(*shape)).astype(dtype.numpy)


@checked
@dataclass(frozen=True)
class RandomNormal(_Drawn):
    """Normal with ``mean`` and ``stddev``; with a ``seed`` of its own, the same wherever it is used."""

    mean: Real = 0.0
    stddev: Amount = 0.05
    seed: Seed = None

    def draw(self, shape: tuple[int, ...], dtype: DType, rng: np.random.Generator) -> np.ndarray:
        return rng.normal(self.mean, self.stddev, shape).astype(dtype.numpy)


@checked
@dataclass(frozen=True)
class TruncatedNormal(_Drawn):
    """Normal, drawn again while further than two standard deviations from the mean."""

    mean: Real = 0.0
    stddev: Amount = 0.05
    seed: Seed = None

    def draw(self, shape: tuple[int, ...], dtype: DType, rng: np.random.Generator) -> np.ndarray:
        return (self.mean + self.stddev * _truncated(rng, shape)).astype(dtype.numpy)


@checked
@dataclass(frozen=True)
class RandomUniform(_Drawn):
    """Uniform on ``[minval, maxval)``."""

    minval: Real = -0.05
    maxval: Real = 0.05
    seed: Seed = None

    def __post_init__(self) -> None:
        if self.maxval < self.minval:
            raise ArgumentError(
                f"RandomUniform: maxval is at least minval, {self.minval}, not {self.maxval}."
            )

    def draw(self, shape: tuple[int, ...], dtype: DType, rng: np.random.Generator) -> np.ndarray:
        return rng.uniform(self.minval, self.maxval, shape).astype(dtype.numpy)


@checked
@dataclass(frozen=True)
class VarianceScaling(_Drawn):
    """Variance ``scale / n``, n by ``mode`` (fan_in, fan_out, fan_avg); Glorot and Bengio 2010, He et al. 2015."""

    scale: Amount = 1.0
    mode: Literal["fan_in", "fan_out", "fan_avg"] = "fan_in"
    distribution: Literal["uniform", "truncated_normal", "untruncated_normal"] = "truncated_normal"
    seed: Seed = None

    def draw(self, shape: tuple[int, ...], dtype: DType, rng: np.random.Generator) -> np.ndarray:
        fan_in, fan_out = fans(shape)
        counts = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
        variance = self.scale / max(1.0, counts[self.mode])
        return (math.sqrt(variance) * _DISTRIBUTIONS[self.distribution](rng, shape)).astype(dtype.numpy)


@checked
@dataclass(frozen=True)
class Orthogonal(_Drawn):
    """A (semi-)orthogonal matrix times ``gain``; the first axes are taken together (Saxe et al. 2013)."""

    gain: Real = 1.0
    seed: Seed = None

    def draw(self, shape: tuple[int, ...], dtype: DType, rng: np.random.Generator) -> np.ndarray:
        if len(shape) < 2:
            raise ArgumentError(f"Orthogonal needs at least 2 dimensions, not the shape {shape}.")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        normal = rng.normal(size=(max(rows, columns), min(rows, columns)))
        q, r = np.linalg.qr(normal)
        q = q * np.sign(np.diag(r))
        return (self.gain * (q if rows >= columns else q.T).reshape(shape)).astype(dtype.numpy)


def _truncated(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    values = np.asarray(rng.normal(size=shape))
    while (far := np.abs(values) > 2).any():
        values[far] = rng.normal(size=int(far.sum()))
    return values


_DISTRIBUTIONS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]] = {
    "uniform": lambda rng, shape: rng.uniform(-math.sqrt(3), math.sqrt(3), shape),
    "truncated_normal": lambda rng, shape: _truncated(rng, shape) / 0.87962566103423978,  # of deviation one
    "untruncated_normal": lambda rng, shape: rng.normal(size=shape),
}


def _scaling(name: str, scale: float, mode: Any, distribution: Any) -> Callable[..., VarianceScaling]:
    def make(seed: Seed = None) -> VarianceScaling:
        return VarianceScaling(scale, mode, distribution, seed)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = (
        f"`VarianceScaling` with ``scale`` {scale}, ``mode`` {mode!r} and ``distribution`` {distribution!r}."
    )
    return checked(make)


GlorotUniform = _scaling("GlorotUniform", 1.0, "fan_avg", "uniform")
GlorotNormal = _scaling("GlorotNormal", 1.0, "fan_avg", "truncated_normal")
HeUniform = _scaling("HeUniform", 2.0, "fan_in", "uniform")
HeNormal = _scaling("HeNormal", 2.0, "fan_in", "truncated_normal")
LecunUniform = _scaling("LecunUniform", 1.0, "fan_in", "uniform")
LecunNormal = _scaling("LecunNormal", 1.0, "fan_in", "truncated_normal")

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
    if not callable(initializer) or isinstance(initializer, type):
        raise ArgumentError(
            f"An initializer is a name or a callable (shape, dtype, rng), not {initializer!r}."
        )
    return initializer


InitializerLike = Annotated[Any, meant(get)]
"""What `get` takes."""
