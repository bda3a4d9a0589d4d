"""Counts of true and false positives and negatives at one or many thresholds: what the metrics of decisions keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from unifront import ops
from unifront.arguments import Fraction, Name
from unifront.dtypes import DType
from unifront.errors import ShapeError
from unifront.opset.tensor import type_of
from unifront.train.metrics.base import Metric
from unifront.train.metrics.inputs import check_fit, factor, masked, of_one_rank, spread, tensors

EPSILON = 1e-7
"""Keras's: how far from each other thresholds still count as evenly spaced."""
LOWEST = -1e10
"""What a prediction becomes that is not among the ``top_k``; below every threshold."""
COUNTS = ("true_positives", "false_positives", "true_negatives", "false_negatives")

Thresholds = Fraction | Sequence[Fraction] | None
"""One threshold in [0, 1] or several; None for the usual one."""


def is_even(thresholds: Sequence[float]) -> bool:
    """Whether ``thresholds`` are three or more that lie evenly from 0 to 1; the ends may be a little outside."""
    count = len(thresholds)
    return count > 2 and bool(np.allclose(np.clip(thresholds, 0, 1), even(count), atol=EPSILON))


def even(count: int) -> list[float]:
    """``count`` thresholds from 0 to 1."""
    return [i / (count - 1) for i in range(count)]


def counts(
    y_true: Any,
    y_pred: Any,
    thresholds: Sequence[float],
    dtype: DType,
    *,
    sample_weight: Any = None,
    top_k: int | None = None,
    class_id: int | None = None,
    by_label: bool = False,
    label_weights: Any = None,
) -> Mapping[str, Any]:
    """How much lies on which side of each of ``thresholds``, by the names of `COUNTS`.

    Args:
        y_true: anything but zero means yes.
        y_pred: probabilities, of the same shape. NaN lies below every threshold.
        dtype: of the counts.
        sample_weight: one for all, for each example or for each prediction.
        top_k: only so many of the last axis, the largest, can be positive.
        class_id: the one place of the last axis that is looked at.
        by_label: whether each place of the last axis has counts of its own; both have two axes then.
        label_weights: one for each place of the last axis.

    Returns:
        Of each count a vector ``[thresholds]``, or with ``by_label`` ``[thresholds, labels]``. Evenly spaced thresholds
        cost what one does.
    """
    counted = masked(sample_weight, y_pred, dtype)
    y_true, y_pred, counted = tensors(y_true, y_pred, counted)
    y_pred, y_true = of_one_rank(ops.cast(y_pred, dtype), ops.cast(ops.cast(y_true, "bool"), dtype))
    check_fit(y_true, y_pred)
    if top_k is not None:
        y_pred = _top(y_pred, top_k)
    weight = None if counted is None else factor(counted, y_pred, dtype)
    if class_id is not None:
        y_true, y_pred, weight = (_place(one, class_id) for one in (y_true, y_pred, weight))
    if label_weights is not None:
        each = spread(np.asarray(label_weights, dtype.numpy), y_pred)
        weight = each if weight is None else ops.multiply(weight, each)
    if not by_label:
        y_true, y_pred, weight = (
            None if x is None else ops.reshape(x, (-1,)) for x in (y_true, y_pred, weight)
        )
    no = ops.subtract(1.0, y_true)
    if weight is not None:
        y_true, no = ops.multiply(y_true, weight), ops.multiply(no, weight)
    return (_by_bucket if is_even(thresholds) else _by_comparison)(y_true, no, y_pred, thresholds)


def _top(y_pred: Any, k: int) -> Any:
    places = ops.top_k(y_pred, k)[1]
    kept = ops.sum(ops.one_hot(places, _classes(y_pred, 1, "top_k")), axis=-2)
    return ops.where(ops.greater(kept, 0.0), y_pred, LOWEST)


def _place(tensor: Any, class_id: int) -> Any:
    if tensor is None:
        return None
    size, shape = _classes(tensor, 2, "class_id"), type_of(tensor).shape
    if not -size <= class_id < size:
        raise ShapeError(f"There is no class {class_id} in predictions of the shape {shape}.")
    first = class_id % size
    return tensor[..., first : first + 1]


def _classes(tensor: Any, least: int, what: str) -> int:
    """The size of the last axis of ``tensor``, which has at least so many."""
    shape = type_of(tensor).shape
    if len(shape) < least or not isinstance(shape[-1], int):
        raise ShapeError(f"{what} needs predictions [batch, classes]; their shape is {shape}.")
    return shape[-1]


def _by_comparison(yes: Any, no: Any, y_pred: Any, thresholds: Sequence[float]) -> dict[str, Any]:
    dtype = type_of(y_pred).dtype
    levels = np.asarray(thresholds, dtype.numpy).reshape((-1,) + (1,) * type_of(y_pred).rank)
    above = ops.cast(ops.greater(ops.expand_dims(y_pred, 0), levels), dtype)
    below = ops.subtract(1.0, above)
    found = {
        "true_positives": (above, yes), "false_positives": (above, no),
        "true_negatives": (below, no), "false_negatives": (below, yes),
    }  # fmt: skip
    return {name: ops.sum(ops.multiply(side, weight), axis=1) for name, (side, weight) in found.items()}


def _by_bucket(yes: Any, no: Any, y_pred: Any, thresholds: Sequence[float]) -> dict[str, Any]:
    """Each prediction is put between two thresholds once; sums of the buckets above give the positives."""
    intervals = len(thresholds) - 1
    place = ops.subtract(ops.ceil(ops.multiply(ops.clip(y_pred, 0.0, 1.0), float(intervals))), 1.0)
    if thresholds[0] < 0.0:  # so that 0 itself lies above the first
        place = ops.maximum(place, 0.0)
    bucket = ops.cast(ops.where(ops.isnan(y_pred), -1.0, place), "int32")
    positives = {"true": _above(yes, bucket, len(thresholds)), "false": _above(no, bucket, len(thresholds))}
    return {
        "true_positives": positives["true"],
        "false_positives": positives["false"],
        "true_negatives": ops.subtract(ops.sum(no, axis=0), positives["false"]),
        "false_negatives": ops.subtract(ops.sum(yes, axis=0), positives["true"]),
    }


def _above(weights: Any, bucket: Any, count: int) -> Any:
    """The sum of the weights in each bucket and those after it; of each label, if there is an axis of them."""
    if type_of(bucket).rank == 2:
        labels = _classes(bucket, 2, "by_label")
        first = np.arange(labels, dtype=np.int32) * count
        places = ops.where(ops.less(bucket, 0), -1, ops.add(bucket, first))
        flat = ops.segment_sum(ops.reshape(weights, (-1,)), ops.reshape(places, (-1,)), labels * count)
        sums = ops.transpose(ops.reshape(flat, (labels, count)))
    else:
        sums = ops.segment_sum(weights, bucket, count)
    return ops.cumsum(sums, axis=0, reverse=True)


class AtThresholds(Metric):
    """A metric that keeps some of the `COUNTS` at thresholds."""

    counted: ClassVar[Mapping[str, str]] = {}
    """Which, and what the variables of them are called."""

    def __init__(
        self, thresholds: Sequence[float], name: Name | None, dtype: Any, class_id: int | None = None,
        top_k: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(dtype, name)
        self.thresholds = list(thresholds)
        self.class_id, self.top_k = class_id, top_k
        for variable in self.counted.values():
            setattr(self, variable, self.add_variable((len(self.thresholds),), name=variable))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in targets, where anything but zero means yes, and probabilities of one batch.

        Args:
            sample_weight: one for all, for each example or for each prediction.
        """
        found = counts(
            y_true, y_pred, self.thresholds, self.dtype, sample_weight=sample_weight, top_k=self.top_k,
            class_id=self.class_id,
        )  # fmt: skip
        for count, variable in self.counted.items():
            getattr(self, variable).assign_add(found[count])

    def of_each(self, values: Any) -> Any:
        """``values`` at the thresholds; the one itself if there is one."""
        return ops.reshape(values, ()) if len(self.thresholds) == 1 else values
