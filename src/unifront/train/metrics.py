"""Metrics, with Keras's names. A metric adds up a few numbers batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from unifront import ops
from unifront.arguments import Real, checked
from unifront.errors import ArgumentError, UnknownName
from unifront.opset.tensor import type_of
from unifront.train import losses
from unifront.train.losses import labels_of, matched


@checked
@dataclass(frozen=True, kw_only=True)
class Metric:
    """A mean over examples: ``sum(value * weight) / sum(weight)``.

    Args:
        name: how logs call it.

    ``goal`` says to callbacks whether less (``"min"``) or more (``"max"``) is better; None: not known.
    """

    name: str
    goal: ClassVar[str | None] = None

    def values(self, y_true: Any, y_pred: Any) -> Any:
        """One float for each example (or step). Overridden by every metric."""
        raise ArgumentError(f"{type(self).__name__} does not define values().")

    def sums(self, y_true: Any, y_pred: Any, sample_weight: Any = None, mask: Any = None) -> list[Any]:
        """Two scalars of one batch, to be added up: the weighted sum of the values, and of the weights."""
        values = self.values(y_true, y_pred)
        weights = ops.ones_like(values)
        for factor in (sample_weight, mask):
            if factor is not None:
                weights = ops.multiply(weights, ops.cast(losses._like(factor, values), type_of(values).dtype))
        return [ops.sum(ops.multiply(values, weights)), ops.sum(weights)]

    def result(self, sums: Sequence[float] | np.ndarray) -> float:
        """The metric from the sums over all batches."""
        return float(sums[0] / sums[1]) if sums[1] else 0.0


@checked
@dataclass(frozen=True, kw_only=True)
class SparseCategoricalAccuracy(Metric):
    """How often the largest prediction is the integer label's."""

    name: str = "sparse_categorical_accuracy"
    goal = "max"

    def values(self, y_true: Any, y_pred: Any) -> Any:
        hit = ops.equal(labels_of(y_true, y_pred), ops.argmax(y_pred, axis=-1))
        return ops.cast(hit, type_of(y_pred).dtype)


@checked
@dataclass(frozen=True, kw_only=True)
class CategoricalAccuracy(Metric):
    """How often the largest prediction is where the target is largest."""

    name: str = "categorical_accuracy"
    goal = "max"

    def values(self, y_true: Any, y_pred: Any) -> Any:
        hit = ops.equal(ops.argmax(matched(y_true, y_pred), axis=-1), ops.argmax(y_pred, axis=-1))
        return ops.cast(hit, type_of(y_pred).dtype)


@checked
@dataclass(frozen=True, kw_only=True)
class BinaryAccuracy(Metric):
    """How often a prediction lies on the target's side of ``threshold``, the mean over the last axis."""

    name: str = "binary_accuracy"
    threshold: Real = 0.5
    goal = "max"

    def values(self, y_true: Any, y_pred: Any) -> Any:
        above = ops.cast(ops.greater(y_pred, self.threshold), type_of(y_pred).dtype)
        hit = ops.equal(matched(y_true, y_pred), above)
        return ops.mean(ops.cast(hit, type_of(y_pred).dtype), axis=-1)


@checked
@dataclass(frozen=True, kw_only=True)
class LossMetric(Metric):
    """The mean of a loss's unreduced values."""

    name: str
    loss: losses.Loss
    goal = "min"

    def values(self, y_true: Any, y_pred: Any) -> Any:
        return self.loss.call(y_true, y_pred)


@checked
@dataclass(frozen=True, kw_only=True)
class MeanSquaredError(LossMetric):
    """The mean squared error."""

    name: str = "mean_squared_error"
    loss: losses.Loss = field(default_factory=losses.MeanSquaredError)


@checked
@dataclass(frozen=True, kw_only=True)
class MeanAbsoluteError(LossMetric):
    """The mean absolute error."""

    name: str = "mean_absolute_error"
    loss: losses.Loss = field(default_factory=losses.MeanAbsoluteError)


@checked
@dataclass(frozen=True, kw_only=True)
class FunctionMetric(Metric):
    """The mean of a user's function ``(y_true, y_pred) -> values``."""

    function: Callable[[Any, Any], Any]

    def values(self, y_true: Any, y_pred: Any) -> Any:
        return self.function(y_true, y_pred)


NAMES: dict[str, Callable[..., Metric]] = {
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
    "categorical_accuracy": CategoricalAccuracy,
    "binary_accuracy": BinaryAccuracy,
    "mse": MeanSquaredError,
    "mean_squared_error": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "mean_absolute_error": MeanAbsoluteError,
}
_ACCURACIES = ("accuracy", "acc")


def get(metric: Any, true_shape: Sequence[Any], pred_shape: Sequence[Any]) -> Metric:
    """The metric meant by a name, a `Metric` or a function; ``"accuracy"`` by the shapes of both."""
    if isinstance(metric, Metric):
        return metric
    if isinstance(metric, str) and metric in _ACCURACIES:
        if tuple(pred_shape[-1:]) == (1,):
            return BinaryAccuracy(name=metric)
        sparse = len(true_shape) < len(pred_shape) or tuple(true_shape[-1:]) == (1,)
        return (SparseCategoricalAccuracy if sparse else CategoricalAccuracy)(name=metric)
    if isinstance(metric, str):
        if metric not in NAMES:
            raise UnknownName("metric", metric, [*NAMES, *_ACCURACIES])
        return NAMES[metric](name=metric)
    if callable(metric) and not isinstance(metric, type):
        return FunctionMetric(name=getattr(metric, "__name__", "metric"), function=metric)
    raise ArgumentError(
        f"A metric is a name, a uf.metrics.Metric or a function (y_true, y_pred), not {metric!r}."
    )


def results(metrics: Sequence[Metric], totals: np.ndarray) -> dict[str, float]:
    """Every metric's value from the running sums, two for each."""
    return {m.name: m.result(totals[2 * i : 2 * i + 2]) for i, m in enumerate(metrics)}
