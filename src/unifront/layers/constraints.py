"""Constraints of weights, under Keras's names: functions from a weight to what it becomes after each update.

Norms are taken along ``axis``: 0 for the kernel ``[in, units]`` of a `Dense`, ``[0, 1, 2]`` for one of a `Conv2D`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unifront import ops
from unifront.arguments import Amount, Fraction, checked
from unifront.layers.arguments import Axes
from unifront.opset.tensor import type_of
from unifront.serialization import Configured, deserialize_keras_object, identified, serialize_keras_object

EPSILON = 1e-7
"""Keeps norms from zero (Keras's ``epsilon()``)."""


class Constraint(Configured):
    """What constraints are. This one lets weights as they are; override ``__call__``.

    Example::

        class Halved(uf.constraints.Constraint):
            def __call__(self, w):
                return 0.5 * w
    """

    def __call__(self, w: Any) -> Any:
        return w


def _norms(w: Any, axis: int | Sequence[int]) -> Any:
    return ops.sqrt(ops.sum(ops.square(w), axis=axis, keepdims=True))


def _scaled(w: Any, wanted: Any, norms: Any) -> Any:
    return ops.multiply(w, ops.divide(wanted, ops.add(norms, EPSILON)))


@checked
@dataclass(frozen=True)
class MaxNorm(Constraint):
    """Norms of at most ``max_value`` (Srivastava et al. 2014)."""

    max_value: Amount = 2.0
    axis: Axes = 0

    def __call__(self, w: Any) -> Any:
        norms = _norms(w, self.axis)
        return _scaled(w, ops.minimum(norms, self.max_value), norms)


@checked
@dataclass(frozen=True)
class NonNeg(Constraint):
    """No negative weights: these become zero."""

    def __call__(self, w: Any) -> Any:
        return ops.where(ops.greater_equal(w, 0), w, ops.zeros_like(w))


@checked
@dataclass(frozen=True)
class UnitNorm(Constraint):
    """Norms of one."""

    axis: Axes = 0

    def __call__(self, w: Any) -> Any:
        return _scaled(w, 1.0, _norms(w, self.axis))


@checked
@dataclass(frozen=True)
class MinMaxNorm(Constraint):
    """Norms between ``min_value`` and ``max_value``; at a ``rate`` below one they only come nearer to that."""

    min_value: Amount = 0.0
    max_value: Amount = 1.0
    rate: Fraction = 1.0
    axis: Axes = 0

    def __call__(self, w: Any) -> Any:
        norms = _norms(w, self.axis)
        within = ops.minimum(ops.maximum(norms, self.min_value), self.max_value)
        wanted = ops.add(ops.multiply(within, self.rate), ops.multiply(norms, 1.0 - self.rate))
        return _scaled(w, wanted, norms)


max_norm, non_neg, unit_norm, min_max_norm = MaxNorm, NonNeg, UnitNorm, MinMaxNorm

NAMES: dict[str, Callable[..., Any]] = {
    "max_norm": MaxNorm, "non_neg": NonNeg, "unit_norm": UnitNorm, "min_max_norm": MinMaxNorm,
    "MaxNorm": MaxNorm, "NonNeg": NonNeg, "UnitNorm": UnitNorm, "MinMaxNorm": MinMaxNorm,
    "Constraint": Constraint,
}  # fmt: skip


def get(identifier: Any) -> Callable[[Any], Any] | None:
    """The constraint meant by a name, a class of this module (made with its defaults), a callable or None.

    Raises `UnknownName` for another name, `ArgumentError` for what is none of these.
    """
    return identified("constraint", identifier, NAMES)


def serialize(constraint: Any) -> Any:
    """The constraint as plain data."""
    return serialize_keras_object(constraint)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The constraint that `serialize` described."""
    return deserialize_keras_object(config, custom_objects, module_objects=NAMES)


def constrained(constraint: Callable[[Any], Any], weight: Any) -> Any:
    """What ``weight`` becomes, in its own dtype."""
    return ops.cast(constraint(weight), type_of(weight).dtype)


def __dir__() -> list[str]:
    return [*NAMES, "deserialize", "get", "serialize"]
