"""What was decided right and wrong at thresholds: counts, precision and recall, one of two with enough of the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from unifront import ops
from unifront.arguments import Fraction, Name, Size, checked, whole
from unifront.errors import ArgumentError
from unifront.layers.arguments import DTypeName
from unifront.train.metrics.base import MetricVariable
from unifront.train.metrics.thresholds import LOWEST, AtThresholds, Thresholds, even

ClassId = Annotated[int, whole(-(2**31), 2**31 - 1)] | None
"""The one class that is looked at; None for all."""


def _listed(thresholds: float | Sequence[float] | None, default: float = 0.5) -> list[float]:
    if thresholds is None:
        return [default]
    found = list(thresholds) if isinstance(thresholds, Sequence) else [thresholds]
    if not found:
        raise ArgumentError("thresholds is empty; give one, several, or None for the usual one.")
    return found


class _Count(AtThresholds):
    """One of the counts; a number, or a vector ``[thresholds]``."""

    accumulator: MetricVariable

    @checked
    def __init__(
        self, thresholds: Thresholds = None, name: Name | None = None, dtype: DTypeName = None
    ) -> None:
        super().__init__(_listed(thresholds), name, dtype)
        self.init_thresholds = thresholds

    def result(self) -> Any:
        return self.of_each(ops.add(self.accumulator, 0.0))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "thresholds": self.init_thresholds}


class TruePositives(_Count):
    """How many positives are predicted as such: above ``thresholds``, 0.5 unless given."""

    counted: ClassVar[Mapping[str, str]] = {"true_positives": "accumulator"}


class FalsePositives(_Count):
    """How many negatives are predicted to be positive: above ``thresholds``, 0.5 unless given."""

    counted: ClassVar[Mapping[str, str]] = {"false_positives": "accumulator"}


class TrueNegatives(_Count):
    """How many negatives are predicted as such: not above ``thresholds``, 0.5 unless given."""

    counted: ClassVar[Mapping[str, str]] = {"true_negatives": "accumulator"}


class FalseNegatives(_Count):
    """How many positives are predicted to be negative: not above ``thresholds``, 0.5 unless given."""

    counted: ClassVar[Mapping[str, str]] = {"false_negatives": "accumulator"}


class _Ratio(AtThresholds):
    """The share of the true positives in those and one other count."""

    goal = "max"
    true_positives: MetricVariable

    @checked
    def __init__(
        self,
        thresholds: Thresholds = None,
        top_k: Size | None = None,
        class_id: ClassId = None,
        name: Name | None = None,
        dtype: DTypeName = None,
    ) -> None:
        usual = 0.5 if top_k is None else LOWEST
        super().__init__(_listed(thresholds, usual), name, dtype, class_id, top_k)
        self.init_thresholds = thresholds

    def result(self) -> Any:
        (other,) = (getattr(self, name) for name in self.counted.values() if name != "true_positives")
        found = ops.divide_no_nan(self.true_positives, ops.add(self.true_positives, other))
        return self.of_each(found)

    def get_config(self) -> dict[str, Any]:
        own = {"thresholds": self.init_thresholds, "top_k": self.top_k, "class_id": self.class_id}
        return {**super().get_config(), **own}


class Precision(_Ratio):
    """The share of what is predicted to be positive that is.

    Args:
        thresholds: what a positive prediction lies above, 0.5 unless given; several give a vector.
        top_k: of each example only the ``top_k`` largest can be positive; without thresholds they all are.
        class_id: the one class that is looked at.
    """

    counted: ClassVar[Mapping[str, str]] = {
        "true_positives": "true_positives",
        "false_positives": "false_positives",
    }


class Recall(_Ratio):
    """The share of the positives that is predicted to be; arguments as of `Precision`."""

    counted: ClassVar[Mapping[str, str]] = {
        "true_positives": "true_positives",
        "false_negatives": "false_negatives",
    }


class _Best(AtThresholds):
    """The best of one ratio over the thresholds at which another is at least ``value``; 0 if there is none."""

    goal = "max"
    counted: ClassVar[Mapping[str, str]] = {
        name: name for name in ("true_positives", "false_positives", "true_negatives", "false_negatives")
    }
    true_positives: MetricVariable
    false_positives: MetricVariable
    true_negatives: MetricVariable
    false_negatives: MetricVariable

    def __init__(
        self, value: float, num_thresholds: int, class_id: int | None, name: Name | None, dtype: Any
    ) -> None:
        thresholds = [0.5] if num_thresholds == 1 else even(num_thresholds)
        super().__init__(thresholds, name, dtype, class_id)
        self.value, self.num_thresholds = value, num_thresholds

    def _sensitivity(self) -> Any:
        return ops.divide_no_nan(self.true_positives, ops.add(self.true_positives, self.false_negatives))

    def _specificity(self) -> Any:
        return ops.divide_no_nan(self.true_negatives, ops.add(self.true_negatives, self.false_positives))

    def _precision(self) -> Any:
        return ops.divide_no_nan(self.true_positives, ops.add(self.true_positives, self.false_positives))

    def _best(self, wanted: Any, enough: Any) -> Any:
        return ops.max(ops.where(ops.greater_equal(enough, self.value), wanted, 0.0))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_thresholds": self.num_thresholds, "class_id": self.class_id}


class SensitivityAtSpecificity(_Best):
    """The best sensitivity (recall) with a specificity of at least ``specificity``, over evenly spaced thresholds."""

    @checked
    def __init__(
        self,
        specificity: Fraction,
        num_thresholds: Size = 200,
        class_id: ClassId = None,
        name: Name | None = None,
        dtype: DTypeName = None,
    ) -> None:
        super().__init__(specificity, num_thresholds, class_id, name, dtype)
        self.specificity = specificity

    def result(self) -> Any:
        return self._best(self._sensitivity(), self._specificity())

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "specificity": self.specificity}


class SpecificityAtSensitivity(_Best):
    """The best specificity with a sensitivity (recall) of at least ``sensitivity``, over evenly spaced thresholds."""

    @checked
    def __init__(
        self,
        sensitivity: Fraction,
        num_thresholds: Size = 200,
        class_id: ClassId = None,
        name: Name | None = None,
        dtype: DTypeName = None,
    ) -> None:
        super().__init__(sensitivity, num_thresholds, class_id, name, dtype)
        self.sensitivity = sensitivity

    def result(self) -> Any:
        return self._best(self._specificity(), self._sensitivity())

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "sensitivity": self.sensitivity}


class PrecisionAtRecall(_Best):
    """The best precision with a recall of at least ``recall``, over evenly spaced thresholds."""

    @checked
    def __init__(
        self,
        recall: Fraction,
        num_thresholds: Size = 200,
        class_id: ClassId = None,
        name: Name | None = None,
        dtype: DTypeName = None,
    ) -> None:
        super().__init__(recall, num_thresholds, class_id, name, dtype)
        self.recall = recall

    def result(self) -> Any:
        return self._best(self._precision(), self._sensitivity())

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "recall": self.recall}


class RecallAtPrecision(_Best):
    """The best recall with a precision of at least ``precision``, over evenly spaced thresholds."""

    @checked
    def __init__(
        self,
        precision: Fraction,
        num_thresholds: Size = 200,
        class_id: ClassId = None,
        name: Name | None = None,
        dtype: DTypeName = None,
    ) -> None:
        super().__init__(precision, num_thresholds, class_id, name, dtype)
        self.precision = precision

    def result(self) -> Any:
        return self._best(self._sensitivity(), self._precision())

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "precision": self.precision}
