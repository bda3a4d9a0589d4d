"""A layer as text that both Keras and unifront understand, its inputs, and what it gives."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from inspect import Parameter
from typing import Any

import numpy as np

L1, L2 = "regularizers.L1(0.25)", "regularizers.L2(0.5)"
"""Numbers that float32 holds, in which Keras keeps them."""


@dataclass(frozen=True)
class Ints:
    """Integer inputs below ``high``."""

    shape: tuple[int, ...]
    high: int


@dataclass(frozen=True)
class Padded:
    """Sequences whose masked steps are zeros: a row masked whole, holes, an end, and full rows."""

    shape: tuple[int, ...]
    high: int | None = None


Source = tuple[int, ...] | Ints | Padded | np.ndarray


@dataclass(frozen=True, eq=False)
class Case:
    """A layer as text, the inputs it gets, and how it is called.

    Args:
        bounds: wider bounds by dtype, with their reason beside them.
        judge: the text for Keras, where its backend on CPU lacks the form that ``text`` has.
        judge_dtype: what Keras computes in, where its backend lacks float64.
    """

    text: str
    inputs: tuple[Source, ...]
    call: str = "layer(*x)"
    training: bool = False
    bounds: dict[str, float] = field(default_factory=dict)
    judge: str | None = None
    judge_dtype: str = "float64"

    def __str__(self) -> str:
        shapes = ", ".join(
            str(getattr(source, "shape", source)).replace(" ", "").strip("()") for source in self.inputs
        )
        call = "" if self.call == "layer(*x)" else f" {self.call}"
        return f"{self.text} [{shapes}]{call}{' training' if self.training else ''}"

    def bound(self, layer: Any) -> Any:
        """The layer, training if the case says so."""
        return partial(layer, training=True) if self.training else layer

    def arrays(self) -> list[np.ndarray]:
        rng = np.random.default_rng(len(self.text))
        return [_array(source, rng) for source in self.inputs]


def case(text: str, *inputs: Source, **options: Any) -> Case:
    return Case(text, inputs, **options)


def _array(source: Source, rng: np.random.Generator) -> np.ndarray:
    match source:
        case np.ndarray():
            return source
        case Ints():
            return rng.integers(0, source.high, source.shape).astype(np.int32)
        case Padded():
            batch, time, *features = source.shape
            mask = np.ones((batch, time), bool)
            mask[0] = False
            mask[1, 1::2] = False
            mask[2, -2:] = False
            if source.high is not None:
                return np.where(mask, rng.integers(1, source.high, (batch, time)), 0).astype(np.int32)
            return rng.normal(size=source.shape) * mask.reshape(batch, time, *[1] * len(features))
    return rng.normal(size=source)


def with_floats(array: np.ndarray, dtype: str) -> np.ndarray:
    return array.astype(dtype) if array.dtype.kind == "f" else array


@dataclass
class Verdict:
    """What a layer gives: outputs, losses it adds, gradients of a weighted sum, weights before and after."""

    outputs: list[np.ndarray]
    losses: float
    gradients: list[np.ndarray]
    names: list[str]
    before: list[np.ndarray]
    after: list[np.ndarray]


def random_weights(shapes: Sequence[tuple[str, tuple[int, ...]]]) -> list[np.ndarray]:
    """Weights of a usual size; variances positive."""
    rng = np.random.default_rng(11)
    values = [rng.normal(size=shape) * 0.5 for _, shape in shapes]
    return [
        np.abs(value) + 0.5 if "variance" in name else value
        for (name, _), value in zip(shapes, values, strict=True)
    ]


def weighting(outputs: Sequence[Any]) -> list[np.ndarray | None]:
    """What each output counts in the sum whose gradient is compared; None for integers."""
    rng = np.random.default_rng(5)
    return [rng.normal(size=tuple(o.shape)) if "float" in str(o.dtype) else None for o in outputs]


def apply(text: str, layer: Any, x: Sequence[Any], **names: Any) -> Any:
    return eval(text, {"layer": layer, "x": list(x), **names})


def arguments(
    cls: type, kinds: tuple[Any, ...] = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
) -> dict[str, Any]:
    """Every argument of the constructors of a class with its default, those of the class itself first."""
    found: dict[str, Any] = {}
    for base in cls.__mro__:
        if "__init__" not in vars(base) or base is object:
            continue
        parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
        found.update({p.name: p.default for p in parameters if p.kind in kinds and p.name not in found})
        if all(p.kind is not Parameter.VAR_KEYWORD for p in parameters):
            break
    return found
