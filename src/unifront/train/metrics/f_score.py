"""Precision and recall as one number."""

from __future__ import annotations

from typing import Annotated, Any

from unifront import ops
from unifront.arguments import Name, Positive, checked, one_of, within
from unifront.errors import ShapeError
from unifront.layers.arguments import DTypeName
from unifront.opset.tensor import type_of
from unifront.train.metrics.base import Metric, MetricVariable
from unifront.train.metrics.inputs import check_fit, factor, masked, tensors

EPSILON = 1e-7
"""Keras's: what keeps denominators from being 0."""
AVERAGES = (None, "micro", "macro", "weighted")
Average = Annotated[str | None, one_of(AVERAGES)]
Threshold = Annotated[float, within("(0, 1]")] | None


class FBetaScore(Metric):
    """``(1 + beta²) * precision * recall / (beta² * precision + recall)``, where recall counts ``beta`` times as much.

    Args:
        average: None for a score of each class, ``"micro"`` for one of all decisions, ``"macro"`` for the mean over
            classes, ``"weighted"`` for that by how many of each class there are.
        beta: how much recall counts.
        threshold: what a positive prediction lies above; None: of each example the largest is.

    Targets and predictions are ``[batch, classes]``. Source: ``keras.metrics.FBetaScore``.
    """

    goal = "max"
    true_positives: MetricVariable
    false_positives: MetricVariable
    false_negatives: MetricVariable
    intermediate_weights: MetricVariable

    @checked
    def __init__(
        self,
        average: Average = None,
        beta: Positive = 1.0,
        threshold: Threshold = None,
        name: Name | None = "fbeta_score",
        dtype: DTypeName = None,
    ) -> None:
        super().__init__(dtype, name)
        self.average, self.beta, self.threshold = average, beta, threshold
        self.built = False

    def _build(self, y_true: Any, y_pred: Any) -> None:
        true, pred = type_of(y_true).shape, type_of(y_pred).shape
        if len(true) != 2 or len(pred) != 2 or not isinstance(pred[-1], int):
            raise ShapeError(
                f"{type(self).__name__} takes targets and predictions [batch, classes] with a fixed number of classes; "
                f"their shapes are {true} and {pred}."
            )
        check_fit(y_true, y_pred)
        if not self.built:
            shape = () if self.average == "micro" else (pred[-1],)
            for name in ("true_positives", "false_positives", "false_negatives", "intermediate_weights"):
                setattr(self, name, self.add_variable(shape, name=name))
            self.built = True

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in targets and predictions ``[batch, classes]`` of one batch.

        Args:
            sample_weight: one for each example.
        """
        counted = masked(sample_weight, y_pred, self.dtype)
        y_true, y_pred, counted = tensors(y_true, y_pred, counted)
        self._build(y_true, y_pred)
        y_true, y_pred = ops.cast(y_true, self.dtype), ops.cast(y_pred, self.dtype)
        if self.threshold is None:  # nothing is predicted where all is 0
            largest = ops.greater_equal(y_pred, ops.max(y_pred, axis=-1, keepdims=True))
            positive = ops.logical_and(largest, ops.greater(ops.abs(y_pred), 1e-9))
        else:
            positive = ops.greater(y_pred, self.threshold)
        y_pred = ops.cast(positive, self.dtype)
        weight = None if counted is None else factor(counted, y_pred, self.dtype)
        for variable, values in (
            (self.true_positives, ops.multiply(y_pred, y_true)),
            (self.false_positives, ops.multiply(y_pred, ops.subtract(1.0, y_true))),
            (self.false_negatives, ops.multiply(ops.subtract(1.0, y_pred), y_true)),
            (self.intermediate_weights, y_true),
        ):
            weighted = values if weight is None else ops.multiply(values, weight)
            variable.assign_add(ops.sum(weighted, axis=None if self.average == "micro" else 0))

    def result(self) -> Any:
        def share(wrong: Any) -> Any:
            total = ops.add(ops.add(self.true_positives, wrong), EPSILON)
            return ops.divide(self.true_positives, total)

        precision, recall = share(self.false_positives), share(self.false_negatives)
        both = ops.add(ops.multiply(precision, self.beta**2), recall)
        mean = ops.divide(ops.multiply(precision, recall), ops.add(both, EPSILON))
        score = ops.multiply(mean, 1 + self.beta**2)
        if self.average == "weighted":
            of_each = self.intermediate_weights
            weights = ops.divide(of_each, ops.add(ops.sum(of_each), EPSILON))
            return ops.sum(ops.multiply(score, weights))
        return score if self.average is None else ops.mean(score)

    def get_config(self) -> dict[str, Any]:
        own = {"average": self.average, "beta": self.beta, "threshold": self.threshold}
        return {**super().get_config(), **own}


class F1Score(FBetaScore):
    """The harmonic mean of precision and recall; arguments as of `FBetaScore`, whose ``beta`` is 1."""

    @checked
    def __init__(
        self,
        average: Average = None,
        threshold: Threshold = None,
        name: Name | None = "f1_score",
        dtype: DTypeName = None,
    ) -> None:
        super().__init__(average, 1.0, threshold, name, dtype)

    def get_config(self) -> dict[str, Any]:
        return {key: value for key, value in super().get_config().items() if key != "beta"}
