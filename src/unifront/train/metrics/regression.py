"""How far predicted numbers lie from the targets, and how they go with them."""

from __future__ import annotations

import warnings
from typing import Annotated, Any

from unifront import ops
from unifront.arguments import LARGEST, Name, checked, one_of, whole
from unifront.errors import ShapeError
from unifront.layers.arguments import Axis, DTypeName
from unifront.opset.tensor import type_of
from unifront.train import losses
from unifront.train.metrics.base import Metric, MetricVariable
from unifront.train.metrics.inputs import factor, masked, pair, tensors, value_of
from unifront.train.metrics.reductions import Mean, MeanOfFunction

EPSILON = 1e-7
"""Keras's: what keeps denominators from being 0."""


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """The cosine of the angle between targets and predictions along ``axis``; of a zero vector 0."""
    y_true, y_pred = pair(y_true, y_pred)
    return ops.sum(ops.multiply(_direction(y_true, axis), _direction(y_pred, axis)), axis=axis)


def _direction(x: Any, axis: int) -> Any:
    length = ops.sqrt(ops.sum(ops.square(x), axis=axis, keepdims=True))
    return ops.divide(x, ops.where(ops.equal(length, 0.0), 1.0, length))


def _centered(x: Any, axis: int) -> Any:
    return ops.subtract(x, ops.mean(x, axis=axis, keepdims=True))


def pearson_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """The correlation of targets and predictions along ``axis`` (Pearson 1895; Keras metrics.pearson_correlation).

    NaN where either is constant.
    """
    y_true, y_pred = (_centered(y, axis) for y in pair(y_true, y_pred))
    scaled = (ops.divide(y, ops.std(y, axis=axis, keepdims=True)) for y in (y_true, y_pred))
    return ops.mean(ops.multiply(*scaled), axis=axis)


def concordance_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """How well targets and predictions agree along ``axis``: 1 if they are equal (Lin 1989; Keras
    metrics.concordance_correlation)."""
    y_true, y_pred = pair(y_true, y_pred)
    means = [ops.mean(y, axis=axis, keepdims=True) for y in (y_true, y_pred)]
    spread = ops.add(*(ops.var(y, axis=axis, keepdims=True) for y in (y_true, y_pred)))
    # The mean of one factor is enough to take off, since the other one's deviations add up to nothing.
    together = ops.multiply(ops.subtract(y_true, means[1]), ops.subtract(y_pred, means[1]))
    norm = ops.add(ops.add(spread, ops.square(ops.subtract(*means))), EPSILON)
    return ops.mean(ops.divide(ops.multiply(together, 2.0), norm), axis=axis)


class MeanSquaredError(MeanOfFunction):
    """The mean squared error."""

    goal = "min"

    @checked
    def __init__(self, name: Name | None = "mean_squared_error", dtype: DTypeName = None) -> None:
        super().__init__(losses.mean_squared_error, name, dtype)


class MeanAbsoluteError(MeanOfFunction):
    """The mean absolute error."""

    goal = "min"

    @checked
    def __init__(self, name: Name | None = "mean_absolute_error", dtype: DTypeName = None) -> None:
        super().__init__(losses.mean_absolute_error, name, dtype)


class MeanAbsolutePercentageError(MeanOfFunction):
    """The mean absolute error in percent of the targets."""

    goal = "min"

    @checked
    def __init__(self, name: Name | None = "mean_absolute_percentage_error", dtype: DTypeName = None) -> None:
        super().__init__(losses.mean_absolute_percentage_error, name, dtype)


class MeanSquaredLogarithmicError(MeanOfFunction):
    """The mean squared difference of ``log(1 + x)`` of targets and predictions."""

    goal = "min"

    @checked
    def __init__(self, name: Name | None = "mean_squared_logarithmic_error", dtype: DTypeName = None) -> None:
        super().__init__(losses.mean_squared_logarithmic_error, name, dtype)


class LogCoshError(MeanOfFunction):
    """The mean of the logarithm of the hyperbolic cosine of the error."""

    goal = "min"

    @checked
    def __init__(self, name: Name | None = "logcosh", dtype: DTypeName = None) -> None:
        super().__init__(losses.log_cosh, name, dtype)


class RootMeanSquaredError(Mean):
    """The root of the mean squared error over all examples."""

    goal = "min"

    @checked
    def __init__(self, name: Name | None = "root_mean_squared_error", dtype: DTypeName = None) -> None:
        super().__init__(name, dtype)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]  # as in Keras
        """Take in targets and predictions of one batch."""
        counted = masked(sample_weight, y_pred, self.dtype)
        y_true, y_pred = pair(y_true, y_pred, self.dtype)
        super().update_state(ops.square(ops.subtract(y_pred, y_true)), counted)

    def result(self) -> Any:
        return ops.sqrt(super().result())


class CosineSimilarity(MeanOfFunction):
    """The mean cosine of the angle between targets and predictions along ``axis``."""

    goal = "max"

    @checked
    def __init__(
        self, name: Name | None = "cosine_similarity", dtype: DTypeName = None, axis: Axis = -1
    ) -> None:
        super().__init__(cosine_similarity, name, dtype, axis=axis)
        self.axis = axis


class PearsonCorrelation(MeanOfFunction):
    """The mean over examples of the correlation of targets and predictions along ``axis`` (Pearson 1895)."""

    goal = "max"

    @checked
    def __init__(
        self, name: Name | None = "pearson_correlation", dtype: DTypeName = None, axis: Axis = -1
    ) -> None:
        super().__init__(pearson_correlation, name, dtype, axis=axis)
        self.axis = axis


class ConcordanceCorrelation(MeanOfFunction):
    """The mean over examples of how well targets and predictions agree along ``axis`` (Lin 1989)."""

    goal = "max"

    @checked
    def __init__(
        self, name: Name | None = "concordance_correlation", dtype: DTypeName = None, axis: Axis = -1
    ) -> None:
        super().__init__(concordance_correlation, name, dtype, axis=axis)
        self.axis = axis


class R2Score(Metric):
    """The share of the targets' variance that predictions explain: ``1 - sum((y - p)²) / sum((y - mean(y))²)``.

    Args:
        class_aggregation: of several outputs ``"uniform_average"`` gives the mean, ``"variance_weighted_average"`` that
            by their variances, None one score for each.
        num_regressors: how many independent variables there are, for the adjusted score; 0 for the plain one, which is
            also given while there are too few samples.

    Targets and predictions are ``[batch, outputs]``. Source: ``keras.metrics.R2Score``.
    """

    goal = "max"
    squared_sum: MetricVariable
    sum: MetricVariable
    total_mse: MetricVariable
    count: MetricVariable

    @checked
    def __init__(
        self,
        class_aggregation: Annotated[
            str | None, one_of((None, "uniform_average", "variance_weighted_average"))
        ] = "uniform_average",
        num_regressors: Annotated[int, whole(0, LARGEST)] = 0,
        name: Name | None = "r2_score",
        dtype: DTypeName = None,
    ) -> None:
        super().__init__(dtype, name)
        self.class_aggregation, self.num_regressors = class_aggregation, num_regressors
        self.num_samples = self.add_variable((), name="num_samples")
        self.built = False

    def _build(self, y_true: Any, y_pred: Any) -> None:
        true, pred = type_of(y_true).shape, type_of(y_pred).shape
        if len(true) != 2 or len(pred) != 2 or not isinstance(pred[-1], int):
            raise ShapeError(
                "R2Score takes targets and predictions [batch, outputs] with a fixed number of outputs; their "
                f"shapes are {true} and {pred}."
            )
        if not self.built:
            names = {"squared_sum": "squared_sum", "sum": "sum", "total_mse": "residual", "count": "count"}
            for attribute, name in names.items():
                setattr(self, attribute, self.add_variable((pred[-1],), name=name))
            self.built = True

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in targets and predictions ``[batch, outputs]`` of one batch.

        Args:
            sample_weight: one for all, for each example or for each output of it.
        """
        counted = masked(sample_weight, y_pred, self.dtype)
        y_true, y_pred = pair(y_true, y_pred, self.dtype)
        self._build(y_true, y_pred)
        weight = factor(1.0 if counted is None else tensors(counted)[0], y_true, self.dtype)
        weighted = ops.multiply(y_true, weight)
        residual = ops.multiply(ops.square(ops.subtract(y_true, y_pred)), weight)
        for variable, values in (
            (self.sum, weighted), (self.squared_sum, ops.multiply(y_true, weighted)),
            (self.total_mse, residual), (self.count, weight),
        ):  # fmt: skip
            variable.assign_add(ops.sum(values, axis=0))
        self.num_samples.assign_add(ops.full((), type_of(y_true).size, self.dtype, like=y_true))

    def result(self) -> Any:
        mean = ops.divide(self.sum, self.count)
        total = ops.subtract(self.squared_sum, ops.multiply(self.sum, mean))
        scores = ops.subtract(1.0, ops.divide(self.total_mse, total))
        scores = ops.where(ops.isinf(scores), 0.0, scores)
        if self.class_aggregation == "uniform_average":
            scores = ops.mean(scores)
        elif self.class_aggregation == "variance_weighted_average":
            scores = ops.divide(ops.sum(ops.multiply(total, scores)), ops.sum(total))
        return self._adjusted(scores) if self.num_regressors else scores

    def _adjusted(self, scores: Any) -> Any:
        samples = ops.add(self.num_samples, 0.0)
        known = value_of(samples)
        if known is not None and self.num_regressors >= known - 1:
            warnings.warn(
                f"R2Score: {known:.0f} numbers are too few to adjust for num_regressors={self.num_regressors}; the "
                "plain score is given.",
                stacklevel=3,
            )
        freedom = ops.subtract(samples, self.num_regressors + 1.0)
        enough = ops.greater(freedom, 0.0)
        lost = ops.divide(
            ops.multiply(ops.subtract(1.0, scores), ops.subtract(samples, 1.0)),
            ops.where(enough, freedom, 1.0),
        )
        return ops.where(enough, ops.subtract(1.0, lost), scores)

    def get_config(self) -> dict[str, Any]:
        own = {"class_aggregation": self.class_aggregation, "num_regressors": self.num_regressors}
        return {**super().get_config(), **own}
