"""Metrics by name, as plain data, and what ``"accuracy"`` means for a model's output."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from unifront.errors import ArgumentError
from unifront.layers.nesting import snake_case
from unifront.serialization import deserialize_keras_object, identified, serialize_keras_object
from unifront.train.metrics import (
    accuracy,
    auc,
    confusion,
    f_score,
    iou,
    probabilistic,
    reductions,
    regression,
)
from unifront.train.metrics.base import Metric

CLASSES: tuple[type[Metric], ...] = (
    reductions.Mean, reductions.Sum, reductions.MeanMetricWrapper,
    accuracy.Accuracy, accuracy.BinaryAccuracy, accuracy.CategoricalAccuracy, accuracy.SparseCategoricalAccuracy,
    accuracy.TopKCategoricalAccuracy, accuracy.SparseTopKCategoricalAccuracy,
    regression.MeanSquaredError, regression.RootMeanSquaredError, regression.MeanAbsoluteError,
    regression.MeanAbsolutePercentageError, regression.MeanSquaredLogarithmicError, regression.LogCoshError,
    regression.CosineSimilarity, regression.R2Score, regression.PearsonCorrelation,
    regression.ConcordanceCorrelation,
    probabilistic.BinaryCrossentropy, probabilistic.CategoricalCrossentropy,
    probabilistic.SparseCategoricalCrossentropy, probabilistic.KLDivergence, probabilistic.Poisson,
    probabilistic.Hinge, probabilistic.SquaredHinge, probabilistic.CategoricalHinge,
    auc.AUC, confusion.FalseNegatives, confusion.FalsePositives, confusion.TrueNegatives, confusion.TruePositives,
    confusion.Precision, confusion.Recall, confusion.PrecisionAtRecall, confusion.RecallAtPrecision,
    confusion.SensitivityAtSpecificity, confusion.SpecificityAtSensitivity,
    f_score.F1Score, f_score.FBetaScore,
    iou.IoU, iou.BinaryIoU, iou.MeanIoU, iou.OneHotIoU, iou.OneHotMeanIoU,
)  # fmt: skip
_SHORT = {
    "bce": probabilistic.BinaryCrossentropy, "mse": regression.MeanSquaredError, "mae": regression.MeanAbsoluteError,
    "mape": regression.MeanAbsolutePercentageError, "msle": regression.MeanSquaredLogarithmicError,
}  # fmt: skip
NAMES: dict[str, type[Metric]] = {
    **_SHORT, **{short.upper(): cls for short, cls in _SHORT.items()},
    **{snake_case(cls.__name__): cls for cls in CLASSES}, **{cls.__name__: cls for cls in CLASSES},
}  # fmt: skip
_ACCURACIES = ("accuracy", "acc")


def serialize(metric: Any) -> Any:
    """A metric, or a function that is one, as plain data. Source: ``keras.metrics.serialize``."""
    return serialize_keras_object(metric)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """What `serialize`, here or in Keras, described. Raises `UnknownName` for a class that is not known."""
    names = (
        NAMES if isinstance(config, str) else {cls.__name__: cls for cls in CLASSES}
    )  # functions keep their names
    return deserialize_keras_object(config, custom_objects, module_objects=names)


def get(identifier: Any) -> Any:
    """The metric meant by a name, a description, a class, or by itself; functions and None stay what they are.

    Raises `UnknownName` for a name that is none, `ArgumentError` for anything else.
    """
    return identified(
        "metric", identifier, NAMES, what="a name, a uf.metrics.Metric or a function (y_true, y_pred)"
    )


def for_output(identifier: Any, true_shape: Sequence[Any], pred_shape: Sequence[Any]) -> Metric:
    """The metric that `Model.compile` means by a name, a `Metric` or a function; ``"accuracy"`` by both shapes.

    Called after the name that was given. Raises as `get`.
    """
    if isinstance(identifier, str) and identifier.lower() in _ACCURACIES:
        if tuple(pred_shape[-1:]) == (1,):
            return accuracy.BinaryAccuracy(name=identifier)
        sparse = len(true_shape) < len(pred_shape) or tuple(true_shape[-1:]) == (1,)
        kind = accuracy.SparseCategoricalAccuracy if sparse else accuracy.CategoricalAccuracy
        return kind(name=identifier)
    metric: Metric | Callable[..., Any] | None = get(identifier)
    if metric is None:
        raise ArgumentError(
            "A metric is a name, a uf.metrics.Metric or a function (y_true, y_pred), not None."
        )
    if not isinstance(metric, Metric):
        return reductions.MeanMetricWrapper(metric)
    if isinstance(identifier, str):
        metric.name = identifier
    return metric
