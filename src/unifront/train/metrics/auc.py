"""The area under a curve of two ratios that thresholds give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np

from unifront import ops
from unifront.arguments import LARGEST, Amount, Fraction, Name, Size, checked, one_of, whole
from unifront.errors import ArgumentError, ShapeError
from unifront.layers.arguments import DTypeName
from unifront.opset.tensor import type_of
from unifront.train.metrics.base import Metric, MetricVariable
from unifront.train.metrics.inputs import masked, tensors
from unifront.train.metrics.thresholds import COUNTS, EPSILON, counts, even

CURVES = ("ROC", "PR", "PRGAIN")
SUMMATIONS = ("interpolation", "minoring", "majoring")


class AUC(Metric):
    """The area under a curve, as a sum over thresholds.

    Args:
        num_thresholds: how many there are, spread evenly; more come closer to the true area. ``thresholds`` go first.
        curve: ``"ROC"`` (recall over the share of false alarms), ``"PR"`` (precision over recall) or ``"PRGAIN"``
            (precision gain over recall gain, Flach and Kull 2015).
        summation_method: the height between two thresholds: ``"interpolation"`` (trapezoids; for PR the true
            positives are interpolated, Davis and Goadrich 2006), ``"minoring"`` (the lower) or ``"majoring"``.
        thresholds: those between 0 and 1 to take instead of evenly spread ones.
        multi_label: whether predictions ``[batch, labels]`` give an area for each label, of which the mean is taken.
        num_labels: how many labels there are; known from the first batch unless given. For ``multi_label`` alone.
        label_weights: what each label counts: with ``multi_label`` in the mean, else in the counts.
        from_logits: whether predictions are logits; else probabilities.

    Source: ``keras.metrics.AUC``.

    Example::

        area = uf.metrics.AUC()
        area.update_state([0, 0, 1, 1], [0.0, 0.5, 0.3, 0.9])
        area.result()  # 0.75
    """

    goal = "max"
    true_positives: MetricVariable
    false_positives: MetricVariable
    true_negatives: MetricVariable
    false_negatives: MetricVariable

    @checked
    def __init__(
        self,
        num_thresholds: Annotated[int, whole(2, LARGEST)] | None = 200,
        curve: Annotated[str, one_of(CURVES)] = "ROC",
        summation_method: Annotated[str, one_of(SUMMATIONS)] = "interpolation",
        name: Name | None = None,
        dtype: DTypeName = None,
        thresholds: Sequence[Fraction] | None = None,
        multi_label: bool = False,
        num_labels: Size | None = None,
        label_weights: Sequence[Amount] | None = None,
        from_logits: bool = False,
    ) -> None:
        super().__init__(dtype, name)
        if num_labels and not multi_label:
            raise ArgumentError("AUC: num_labels is for multi_label=True.")
        if not thresholds and (num_thresholds is None or thresholds is not None):
            raise ArgumentError("AUC: give num_thresholds, or thresholds, of which there is at least one.")
        inner = even(num_thresholds or 2)[1:-1] if thresholds is None else sorted(thresholds)
        self._own_thresholds = thresholds is not None
        self.thresholds = [-EPSILON, *inner, 1 + EPSILON]
        self.num_thresholds = len(self.thresholds)
        self.curve, self.summation_method = curve, summation_method
        self.multi_label, self.num_labels, self.from_logits = multi_label, num_labels, from_logits
        self.label_weights = (
            None if label_weights is None else np.asarray(ops.convert_to_numpy(label_weights))
        )
        self.built = False
        if not multi_label or num_labels:
            self._build(num_labels if multi_label else None)

    def _build(self, labels: int | None) -> None:
        shape = (self.num_thresholds,) if labels is None else (self.num_thresholds, labels)
        for name in COUNTS:
            setattr(self, name, self.add_variable(shape, name=name))
        self.built = True

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in targets, where anything but zero means yes, and predictions of one batch.

        Args:
            sample_weight: one for all, for each example or for each prediction.
        """
        if self.multi_label:
            self._check_labels(y_pred)
        if self.from_logits:
            sample_weight = masked(sample_weight, y_pred, self.dtype)  # the mask is that of the logits
            y_true, y_pred = tensors(y_true, y_pred)
            y_pred = ops.sigmoid(y_pred)
        found = counts(
            y_true, y_pred, self.thresholds, self.dtype, sample_weight=sample_weight,
            by_label=self.multi_label, label_weights=None if self.multi_label else self.label_weights,
        )  # fmt: skip
        for name in COUNTS:
            getattr(self, name).assign_add(found[name])

    def _check_labels(self, y_pred: Any) -> None:
        shape = type_of(y_pred).shape
        if len(shape) != 2 or not isinstance(shape[1], int):
            raise ShapeError(
                f"AUC: with multi_label=True predictions are [batch, labels]; their shape is {shape}."
            )
        if not self.built:
            self._build(shape[1])
        if self.true_positives.shape[1] != shape[1]:
            raise ShapeError(
                f"AUC: there are {self.true_positives.shape[1]} labels; the predictions have the shape {shape}."
            )

    def result(self) -> Any:
        if self.curve == "PR" and self.summation_method == "interpolation":
            return self._over_labels(self._interpolated_pr())
        x, y = {"ROC": self._roc, "PR": self._pr, "PRGAIN": self._pr_gain}[self.curve]()
        heights = {"minoring": ops.minimum, "majoring": ops.maximum, "interpolation": _middle}
        terms = ops.multiply(_fall(x), heights[self.summation_method](y[:-1], y[1:]))
        return self._over_labels(terms)

    def _over_labels(self, terms: Any) -> Any:
        """The sum over the thresholds, of labels the mean."""
        areas = ops.sum(terms, axis=0)
        if not self.multi_label:
            return areas
        if self.label_weights is None:
            return ops.mean(areas)
        weights = np.asarray(self.label_weights, self.dtype.numpy)
        return ops.divide_no_nan(ops.sum(ops.multiply(areas, weights)), ops.sum(weights))

    def _recall(self) -> Any:
        return ops.divide_no_nan(self.true_positives, ops.add(self.true_positives, self.false_negatives))

    def _roc(self) -> tuple[Any, Any]:
        alarms = ops.divide_no_nan(self.false_positives, ops.add(self.false_positives, self.true_negatives))
        return alarms, self._recall()

    def _pr(self) -> tuple[Any, Any]:
        precision = ops.divide_no_nan(self.true_positives, ops.add(self.true_positives, self.false_positives))
        return self._recall(), precision

    def _pr_gain(self) -> tuple[Any, Any]:
        """Flach and Kull 2015, equation 3; recall gains below 0 are taken as 0."""
        positives = ops.add(self.true_positives, self.false_negatives)
        odds = ops.divide_no_nan(positives, ops.add(self.true_negatives, self.false_positives))
        none = ops.equal(self.true_positives, 0.0)

        def gain(wrong: Any, of_none: float) -> Any:
            share = ops.multiply(odds, ops.divide_no_nan(wrong, self.true_positives))
            return ops.where(none, of_none, ops.subtract(1.0, share))

        return ops.maximum(gain(self.false_negatives, 0.0), 0.0), gain(self.false_positives, 1.0)

    def _interpolated_pr(self) -> Any:
        """The area between two thresholds where true positives grow evenly with all positives (Davis and Goadrich 2006,
        section 4), integrated exactly."""
        true: Any = self.true_positives
        all_ = ops.add(true, self.false_positives)
        positives = ops.add(true, self.false_negatives)[1:]
        slope = ops.divide_no_nan(_fall(true), ops.maximum(_fall(all_), 0.0))
        intercept = ops.subtract(true[1:], ops.multiply(slope, all_[1:]))
        some = ops.logical_and(ops.greater(all_[:-1], 0.0), ops.greater(all_[1:], 0.0))
        ratio = ops.where(some, ops.divide_no_nan(all_[:-1], all_[1:]), 1.0)
        area = ops.multiply(slope, ops.add(_fall(true), ops.multiply(intercept, ops.log(ratio))))
        return ops.divide_no_nan(area, positives)

    def get_config(self) -> dict[str, Any]:
        own = {
            "num_thresholds": self.num_thresholds, "curve": self.curve,
            "summation_method": self.summation_method, "multi_label": self.multi_label,
            "num_labels": self.num_labels,
            "label_weights": None if self.label_weights is None else list(self.label_weights),
            "from_logits": self.from_logits,
        }  # fmt: skip
        given = {"thresholds": self.thresholds[1:-1]} if self._own_thresholds else {}
        return {**super().get_config(), **own, **given}


def _fall(values: Any) -> Any:
    """How much each value is above the next along axis 0."""
    return ops.subtract(values[:-1], values[1:])


def _middle(a: Any, b: Any) -> Any:
    return ops.multiply(ops.add(a, b), 0.5)
