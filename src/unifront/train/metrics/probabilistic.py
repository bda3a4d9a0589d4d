"""How far predicted distributions are from the targets', and predictions from the right side of a margin."""

from __future__ import annotations

from typing import Any

from unifront import ops
from unifront.arguments import Fraction, Name, checked
from unifront.layers.arguments import Axis, DTypeName
from unifront.train import losses
from unifront.train.metrics.inputs import factor, tensors
from unifront.train.metrics.iou import Ignored
from unifront.train.metrics.reductions import MeanOfFunction


class BinaryCrossentropy(MeanOfFunction):
    """The mean cross-entropy of independent yes/no targets.

    Args:
        from_logits: whether predictions are logits; else probabilities.
        label_smoothing: moves the targets this far toward 1/2.
    """

    goal = "min"

    @checked
    def __init__(
        self,
        name: Name | None = "binary_crossentropy",
        dtype: DTypeName = None,
        from_logits: bool = False,
        label_smoothing: Fraction = 0,
    ) -> None:
        options = {"from_logits": from_logits, "label_smoothing": label_smoothing}
        super().__init__(losses.binary_crossentropy, name, dtype, **options)
        self.from_logits, self.label_smoothing = from_logits, label_smoothing


class CategoricalCrossentropy(MeanOfFunction):
    """The mean cross-entropy with target distributions along ``axis``.

    Args:
        from_logits: whether predictions are logits; else probabilities.
        label_smoothing: the share of the target spread evenly over the classes.
    """

    goal = "min"

    @checked
    def __init__(
        self,
        name: Name | None = "categorical_crossentropy",
        dtype: DTypeName = None,
        from_logits: bool = False,
        label_smoothing: Fraction = 0,
        axis: Axis = -1,
    ) -> None:
        options = {"from_logits": from_logits, "label_smoothing": label_smoothing, "axis": axis}
        super().__init__(losses.categorical_crossentropy, name, dtype, **options)
        self.from_logits, self.label_smoothing, self.axis = from_logits, label_smoothing, axis


class SparseCategoricalCrossentropy(MeanOfFunction):
    """The mean cross-entropy with integer labels.

    Args:
        from_logits: whether predictions are logits; else probabilities.
        ignore_class: a label whose examples have a cross-entropy of 0. As in Keras they count in a mean without sample
            weights, and do not in one with.
        axis: that of the classes in the predictions.
    """

    goal = "min"

    @checked
    def __init__(
        self,
        name: Name | None = "sparse_categorical_crossentropy",
        dtype: DTypeName = None,
        from_logits: bool = False,
        ignore_class: Ignored = None,
        axis: Axis = -1,
    ) -> None:
        options = {"from_logits": from_logits, "ignore_class": ignore_class, "axis": axis}
        super().__init__(losses.sparse_categorical_crossentropy, name, dtype, **options)
        self.from_logits, self.ignore_class, self.axis = from_logits, ignore_class, axis

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]  # as in Keras
        """Take in integer labels and predictions of one batch.

        Args:
            sample_weight: one for all, or for each example (or step).
        """
        if sample_weight is not None and self.ignore_class is not None:
            labels, predicted, weight = tensors(y_true, y_pred, sample_weight)
            counted = ops.not_equal(losses.labels_of(labels, predicted, self.axis), self.ignore_class)
            weight = factor(weight, counted, self.dtype)
            sample_weight = ops.multiply(weight, ops.cast(counted, self.dtype))
        super().update_state(y_true, y_pred, sample_weight)


class KLDivergence(MeanOfFunction):
    """The mean Kullback-Leibler divergence of predicted distributions from the targets."""

    goal = "min"

    @checked
    def __init__(self, name: Name | None = "kl_divergence", dtype: DTypeName = None) -> None:
        super().__init__(losses.kl_divergence, name, dtype)


class Poisson(MeanOfFunction):
    """The mean Poisson loss, ``prediction - target * log(prediction)``."""

    goal = "min"

    @checked
    def __init__(self, name: Name | None = "poisson", dtype: DTypeName = None) -> None:
        super().__init__(losses.poisson, name, dtype)


class Hinge(MeanOfFunction):
    """The mean of ``max(1 - target * prediction, 0)``; targets are -1 and 1, or 0 and 1."""

    goal = "min"

    @checked
    def __init__(self, name: Name | None = "hinge", dtype: DTypeName = None) -> None:
        super().__init__(losses.hinge, name, dtype)


class SquaredHinge(MeanOfFunction):
    """The mean of the square of ``max(1 - target * prediction, 0)``; targets are -1 and 1, or 0 and 1."""

    goal = "min"

    @checked
    def __init__(self, name: Name | None = "squared_hinge", dtype: DTypeName = None) -> None:
        super().__init__(losses.squared_hinge, name, dtype)


class CategoricalHinge(MeanOfFunction):
    """The mean of ``max(1 + wrong - right, 0)``: the largest prediction of a wrong class, that of the right one."""

    goal = "min"

    @checked
    def __init__(self, name: Name | None = "categorical_hinge", dtype: DTypeName = None) -> None:
        super().__init__(losses.categorical_hinge, name, dtype)
