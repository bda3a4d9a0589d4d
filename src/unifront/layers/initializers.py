"""Initial values: functions ``(shape, dtype, numpy Generator) -> array``, under Keras's names.

Values come from NumPy, so that a seed gives the same weights to the bit on every backend. ``fan_in`` and
``fan_out`` count as in Keras: the last two axes, times the receptive field. A callable of one's own may leave
the generator out, as Keras's ``(shape, dtype) -> tensor``.
"""

from __future__ import annotations

import copy
import importlib
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np

from unifront.arguments import LARGEST, Amount, Check, Numbers, Real, checked, meant, shown, whole
from unifront.backends import backend_of
from unifront.dtypes import DType, DTypeLike, dtype_of, floatx
from unifront.errors import ArgumentError, ShapeError
from unifront.layers.arguments import Axis
from unifront.opset.arrays import host_array
from unifront.opset.rules import is_whole
from unifront.opset.seeds import SeedGenerator
from unifront.serialization import Configured, deserialize_keras_object, identified, serialize_keras_object
from unifront.trace import current_seed, eager_seed


def _seed(value: Any, owner: Any) -> Any:
    return value if value is None or isinstance(value, SeedGenerator) else whole(0).convert(value, owner)


DrawSeed = Annotated[Any, Check(_seed)]
"""An int, a `SeedGenerator` (other numbers at each draw), or None."""


def fans(
    shape: tuple[int, ...], inputs: Sequence[int] | None = None, outputs: Sequence[int] | None = None
) -> tuple[float, float]:
    """The numbers of inputs and outputs of a kernel of ``shape``; those of the axes ``inputs`` and ``outputs``."""
    if inputs is not None and outputs is not None:
        return float(math.prod(shape[axis] for axis in inputs)), float(math.prod(shape[a] for a in outputs))
    if len(shape) < 2:
        return (float(shape[0]) if shape else 1.0,) * 2
    field = math.prod(shape[:-2])
    return float(shape[-2] * field), float(shape[-1] * field)


class Initializer(Configured):
    """What initializers are: called by layers with a generator, by users as in Keras, without one.

    One of your own defines `draw`, or as in Keras ``__call__(self, shape, dtype=None)``.
    """

    seed: Any = None

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
            rng: where random numbers come from; unless given, the initializer's ``seed``, else one that each
                object draws for itself, and always the same after `set_seed`.

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
            rng = np.random.default_rng(self._entropy())
        return self.draw(tuple(map(int, sizes)), chosen, rng)

    def _entropy(self) -> list[int]:
        """What the numbers come from: the seed; of a `SeedGenerator` its seed and how often this object drew; without
        either the process's seed, and what tells this object from others."""
        if isinstance(self.seed, SeedGenerator):
            vars(self)["_draws"] = vars(self).get("_draws", 0) + 1
            return [int(self.seed.state.numpy()[0]) & 0xFFFFFFFF, vars(self)["_draws"]]
        if self.seed is not None:
            return [self.seed]
        return [current_seed(), vars(self).setdefault("_number", abs(int(eager_seed())))]

    def clone(self) -> Any:
        """An equal one (Keras)."""
        return type(self).from_config(self.get_config())


@checked
@dataclass(frozen=True)
class Zeros(Initializer):
    """All zero."""

    def draw(self, shape: tuple[int, ...], dtype: DType, rng: np.random.Generator) -> np.ndarray:
        return np.zeros(shape, dtype.numpy)


@checked
@dataclass(frozen=True)
class Ones(Initializer):
    """All one."""

    def draw(self, shape: tuple[int, ...], dtype: DType, rng: np.random.Generator) -> np.ndarray:
        return np.ones(shape, dtype.numpy)


@checked
@dataclass(frozen=True)
class Constant(Initializer):
    """All ``value``, a number or an array that broadcasts to the weight."""

    value: Numbers = 0.0

    def __post_init__(self) -> None:
        array = np.asarray(self.value)
        if array.dtype.kind == "f" and np.isnan(array).any():
            raise ArgumentError(f"Constant: value is a number or an array of numbers, not {self.value!r}.")

    def draw(self, shape: tuple[int, ...], dtype: DType, rng: np.random.Generator) -> np.ndarray:
        try:
            return np.full(shape, self.value, dtype.numpy)
        except ValueError:
            raise ShapeError(
                f"Constant: values of the shape {np.shape(self.value)} do not broadcast to the weight's, {shape}."
            ) from None


@checked
@dataclass(frozen=True)
class Identity(Initializer):
    """``gain`` on the diagonal of a matrix, zero elsewhere."""

    gain: Real = 1.0

    def draw(self, shape: tuple[int, ...], dtype: DType, rng: np.random.Generator) -> np.ndarray:
        if len(shape) != 2:
            raise ArgumentError(f"Identity needs 2 dimensions, not the shape {shape}.")
        return (self.gain * np.eye(*shape)).astype(dtype.numpy)


@checked
@dataclass(frozen=True)
class RandomNormal(Initializer):
    """Normal with ``mean`` and ``stddev``; with a ``seed`` of its own, the same wherever it is used."""

    mean: Real = 0.0
    stddev: Amount = 0.05
    seed: DrawSeed = None

    def draw(self, shape: tuple[int, ...], dtype: DType, rng: np.random.Generator) -> np.ndarray:
        return rng.normal(self.mean, self.stddev, shape).astype(dtype.numpy)


@checked
@dataclass(frozen=True)
class TruncatedNormal(Initializer):
    """Normal, drawn again while further than two standard deviations from the mean."""

    mean: Real = 0.0
    stddev: Amount = 0.05
    seed: DrawSeed = None

    def draw(self, shape: tuple[int, ...], dtype: DType, rng: np.random.Generator) -> np.ndarray:
        return (self.mean + self.stddev * _truncated(rng, shape)).astype(dtype.numpy)


@checked
@dataclass(frozen=True)
class RandomUniform(Initializer):
    """Uniform on ``[minval, maxval)``."""

    minval: Real = -0.05
    maxval: Real = 0.05
    seed: DrawSeed = None

    def __post_init__(self) -> None:
        if self.maxval < self.minval:
            raise ArgumentError(
                f"RandomUniform: maxval is at least minval, {self.minval}, not {self.maxval}."
            )

    def draw(self, shape: tuple[int, ...], dtype: DType, rng: np.random.Generator) -> np.ndarray:
        return rng.uniform(self.minval, self.maxval, shape).astype(dtype.numpy)


@checked
@dataclass(frozen=True)
class VarianceScaling(Initializer):
    """Variance ``scale / n``, n by ``mode`` (fan_in, fan_out, fan_avg); Glorot and Bengio 2010, He et al. 2015.

    ``input_axes`` and ``output_axes`` are those whose sizes count as inputs and outputs, if not the last two.
    """

    scale: Amount = 1.0
    mode: Literal["fan_in", "fan_out", "fan_avg"] = "fan_in"
    distribution: Literal["uniform", "truncated_normal", "untruncated_normal"] = "truncated_normal"
    seed: DrawSeed = None
    input_axes: Sequence[Axis] | None = None
    output_axes: Sequence[Axis] | None = None

    def draw(self, shape: tuple[int, ...], dtype: DType, rng: np.random.Generator) -> np.ndarray:
        fan_in, fan_out = fans(shape, self.input_axes, self.output_axes)
        counts = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}
        variance = self.scale / max(1.0, counts[self.mode])
        values = np.asarray(_DISTRIBUTIONS[self.distribution](rng, shape))
        values *= math.sqrt(variance)
        return values.astype(dtype.numpy)

    def along(self, inputs: Sequence[int], outputs: Sequence[int]) -> VarianceScaling:
        """This one with these axes, for a kernel whose layer knows them; itself if it has its own."""
        if self.input_axes is not None and self.output_axes is not None:
            return self
        found = copy.copy(self)
        vars(found).update(input_axes=tuple(inputs), output_axes=tuple(outputs))
        return found


@checked
@dataclass(frozen=True)
class Orthogonal(Initializer):
    """A (semi-)orthogonal matrix times ``gain``; the first axes are taken together (Saxe et al. 2013)."""

    gain: Real = 1.0
    seed: DrawSeed = None

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


class _Scaled(VarianceScaling):
    """`VarianceScaling` whose ``scale``, ``mode`` and ``distribution`` the class says."""

    fixed: tuple[float, Any, Any]

    def __init__(
        self,
        seed: DrawSeed = None,
        input_axes: Sequence[Axis] | None = None,
        output_axes: Sequence[Axis] | None = None,
    ) -> None:
        super().__init__(*self.fixed, seed, input_axes, output_axes)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(seed={self.seed!r})"


class GlorotUniform(_Scaled):
    """Uniform, with the variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010)."""

    fixed = (1.0, "fan_avg", "uniform")


class GlorotNormal(_Scaled):
    """Truncated normal, with the variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010)."""

    fixed = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_Scaled):
    """Uniform, with the variance 2 / fan_in (He et al. 2015)."""

    fixed = (2.0, "fan_in", "uniform")


class HeNormal(_Scaled):
    """Truncated normal, with the variance 2 / fan_in (He et al. 2015)."""

    fixed = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_Scaled):
    """Uniform, with the variance 1 / fan_in (Klambauer et al. 2017)."""

    fixed = (1.0, "fan_in", "uniform")


class LecunNormal(_Scaled):
    """Truncated normal, with the variance 1 / fan_in (Klambauer et al. 2017)."""

    fixed = (1.0, "fan_in", "truncated_normal")


for _class in (GlorotUniform, GlorotNormal, HeUniform, HeNormal, LecunUniform, LecunNormal):
    _class.__init__ = checked(_class.__init__)  # type: ignore[method-assign]  # for errors with the class's own name


@checked
@dataclass(frozen=True)
class STFT(Initializer):
    """The kernel of a convolution that is a short-time Fourier transform: ``[frame, 1, frequencies]``.

    Args:
        side: the real or the imaginary part.
        window: a name that SciPy's ``get_window`` knows, an array ``[frame]``, or None for none.
        scaling: "density" divides by the window's L2 norm, "spectrum" by its sum, None by nothing.
        periodic: whether the window is that of a period.

    Raises `ArgumentError` for a window of another length, or by name where SciPy is not installed.
    """

    side: Literal["real", "imag"] = "real"
    window: Any = "hann"
    scaling: Literal["density", "spectrum"] | None = "density"
    periodic: bool = False

    def __post_init__(self) -> None:
        if self.window is not None:
            if not isinstance(self.window, str) and host_array(self.window).dtype.kind not in "biuf":
                raise ArgumentError(f"STFT: a window is a name or real numbers, not {shown(self.window)}.")
            self._window(1)

    def _window(self, length: int) -> np.ndarray:
        if not isinstance(self.window, str):
            return host_array(self.window).astype(np.float64)
        try:
            signal = importlib.import_module("scipy.signal")
        except ModuleNotFoundError:
            raise ArgumentError(
                f"The window {self.window!r} comes from SciPy: pip install scipy, or give the array."
            ) from None
        try:
            return np.asarray(signal.get_window(self.window, length, self.periodic))
        except ValueError as error:
            raise ArgumentError(f"STFT: {error}") from None

    def draw(self, shape: tuple[int, ...], dtype: DType, rng: np.random.Generator) -> np.ndarray:
        if len(shape) != 3 or shape[1] != 1:
            raise ShapeError(f"STFT makes kernels [frame, 1, frequencies]; given was the shape {shape}.")
        frame, _, frequencies = shape
        turns = np.outer(np.arange(frame), np.arange(frequencies)) / max(1, 2 * (frequencies - 1))
        kernel = (np.cos if self.side == "real" else np.sin)(-2 * np.pi * turns)
        if self.window is not None:
            window = self._window(frame)
            if window.shape != (frame,):
                raise ShapeError(f"The window has the shape {window.shape}; ({frame},) is needed.")
            scale = {"density": np.sqrt(np.sum(window**2)), "spectrum": np.sum(np.abs(window)), None: 1.0}
            kernel = kernel * window[:, None] / scale[self.scaling]
        return kernel[:, None, :].astype(dtype.numpy)


zeros, ones, constant, identity, stft = Zeros, Ones, Constant, Identity, STFT
random_normal, random_uniform, truncated_normal = RandomNormal, RandomUniform, TruncatedNormal
variance_scaling, orthogonal = VarianceScaling, Orthogonal
glorot_uniform, glorot_normal, he_uniform, he_normal = GlorotUniform, GlorotNormal, HeUniform, HeNormal
lecun_uniform, lecun_normal = LecunUniform, LecunNormal
IdentityInitializer, OrthogonalInitializer, STFTInitializer = Identity, Orthogonal, STFT

_SNAKE: dict[str, type[Initializer]] = {
    "zeros": Zeros,
    "zero": Zeros,
    "ones": Ones,
    "one": Ones,
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
    "stft": STFT,
}

NAMES: dict[str, type[Initializer]] = {
    **_SNAKE,
    **{made.__name__: made for made in _SNAKE.values()},
    "IdentityInitializer": Identity, "OrthogonalInitializer": Orthogonal, "STFTInitializer": STFT,
}  # fmt: skip
"""Keras takes a class's name in both spellings."""


@dataclass(frozen=True)
class Given:
    """An initializer that draws nothing: the values are given. Raises `ShapeError` for another shape."""

    values: np.ndarray

    def __call__(self, shape: Any, dtype: Any = None, rng: Any = None) -> np.ndarray:
        if tuple(shape) != self.values.shape:
            raise ShapeError(
                f"The initial values have the shape {self.values.shape}; {tuple(shape)} is needed."
            )
        return self.values if dtype is None else self.values.astype(dtype_of(dtype).numpy)


def get(identifier: Any) -> Any:
    """The initializer meant by a name, a description, a class of this module, an array of the values, or a callable.

    Raises `UnknownName` for another name, `ArgumentError` for what is none of these.
    """
    backend = None if isinstance(identifier, str) else backend_of(identifier)
    if backend is not None and not isinstance(identifier, bool | int | float):
        values = backend.numpy(identifier)
        if values.dtype.kind not in "biufV":
            raise ArgumentError(
                f"An initializer is a name, a callable or an array of numbers, not one of {values.dtype}."
            )
        return Given(values)
    return identified("initializer", identifier, NAMES)


def serialize(initializer: Any) -> Any:
    """The initializer as plain data."""
    return serialize_keras_object(initializer)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The initializer that `serialize` described."""
    return deserialize_keras_object(config, custom_objects, module_objects=NAMES)


def drawn(initializer: Callable[..., Any], shape: tuple[int, ...], dtype: DType, rng: Any) -> np.ndarray:
    """The values of ``initializer`` as NumPy, whether it takes a generator or, as in Keras, does not."""
    try:
        inspect.signature(initializer).bind(shape, dtype, rng)
    except TypeError:
        values = initializer(shape, dtype.name)
    else:
        values = initializer(shape, dtype, rng)
    backend = backend_of(values)
    return np.asarray(values if backend is None else backend.numpy(values))


InitializerLike = Annotated[Any, meant(get)]
"""What `get` takes."""


def __dir__() -> list[str]:
    known = (name for name in NAMES if name in globals())  # "zero" is a name that is heard, no attribute
    return [*known, "Initializer", "deserialize", "get", "serialize"]
