"""How much predicted and true classes overlap: intersection over union."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np

from unifront import ops
from unifront.arguments import Name, Real, checked, whole
from unifront.dtypes import DType, int32
from unifront.errors import ArgumentError
from unifront.layers.arguments import Axis, DTypeName
from unifront.opset.tensor import type_of
from unifront.train.metrics.base import Metric
from unifront.train.metrics.inputs import factor, masked, tensors

EPSILON = 1e-7
"""Keras's: what keeps denominators from being 0."""
ClassIds = Sequence[Annotated[int, whole(0)]]
Classes = Annotated[int, whole(1, 46_340)]
"""As many as have a matrix of counts whose places are int32."""
Ignored = Annotated[int, whole()] | None


def confusion_matrix(
    y_true: Any, y_pred: Any, classes: int, weight: Any, dtype: DType, ignored: int | None = None
) -> Any:
    """``[classes, classes]``: how much is of the class of the row and predicted to be of that of the column.

    Args:
        y_true, y_pred: integer classes, vectors. Others than there are do not count.
        weight: one for each; None for 1.
        ignored: a true class that does not count.
    """
    place = ops.add(ops.multiply(y_true, classes), y_pred)
    inside = _inside(y_true, classes, ignored), _inside(y_pred, classes, None)
    place = ops.where(ops.logical_and(*inside), place, -1)
    weight = ops.ones_like(y_true, dtype=dtype) if weight is None else weight
    return ops.reshape(ops.segment_sum(weight, place, classes * classes), (classes, classes))


def _inside(labels: Any, classes: int, ignored: int | None) -> Any:
    found = ops.logical_and(ops.greater_equal(labels, 0), ops.less(labels, classes))
    return found if ignored is None else ops.logical_and(found, ops.not_equal(labels, ignored))


class IoU(Metric):
    """The mean over ``target_class_ids`` of intersection over union: ``tp / (tp + fp + fn)``.

    Args:
        num_classes: how many there are; what is of another does not count.
        target_class_ids: the classes of which the mean is taken, without those that are neither true nor predicted.
        dtype: of the counts, int32 unless given: give a float for weights that are none.
        ignore_class: a true class that does not count, such as that of unlabelled pixels.
        sparse_y_true, sparse_y_pred: whether these are integer classes; else one value for each class along ``axis``.

    Source: ``keras.metrics.IoU``.

    Example::

        overlap = uf.metrics.IoU(num_classes=2, target_class_ids=[0])
        overlap.update_state([0, 0, 1, 1], [0, 1, 0, 1])
        overlap.result()  # 0.3333
    """

    goal = "max"

    @checked
    def __init__(
        self,
        num_classes: Classes,
        target_class_ids: ClassIds,
        name: Name | None = None,
        dtype: DTypeName = None,
        ignore_class: Ignored = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: Axis = -1,
    ) -> None:
        super().__init__(dtype or int32, name)
        if not target_class_ids or max(target_class_ids) >= num_classes:
            raise ArgumentError(
                f"{type(self).__name__}: target_class_ids is a list of some of the {num_classes} classes, not "
                f"{list(target_class_ids)}."
            )
        self.num_classes, self.target_class_ids = num_classes, list(target_class_ids)
        self.ignore_class, self.axis = ignore_class, axis
        self.sparse_y_true, self.sparse_y_pred = sparse_y_true, sparse_y_pred
        self.total_cm = self.add_variable((num_classes, num_classes), name="total_confusion_matrix")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in targets and predictions of one batch.

        Args:
            sample_weight: one for all, for each example, or for each class given.
        """
        counted = masked(sample_weight, y_pred, self.dtype)
        y_true, y_pred, counted = tensors(y_true, y_pred, counted)
        y_true = y_true if self.sparse_y_true else ops.argmax(y_true, axis=self.axis)
        y_pred = y_pred if self.sparse_y_pred else ops.argmax(y_pred, axis=self.axis)
        weight = None if counted is None else self._weight(counted, y_true)
        y_true, y_pred = (ops.reshape(ops.cast(y, int32), (-1,)) for y in (y_true, y_pred))
        found = confusion_matrix(y_true, y_pred, self.num_classes, weight, self.dtype, self.ignore_class)
        self.total_cm.assign_add(found)

    def _weight(self, weight: Any, labels: Any) -> Any:
        """A vector, one weight for each of ``labels``."""
        given, wanted = type_of(weight), type_of(labels)
        if given.dtype.is_float and not self.dtype.is_float:
            warnings.warn(
                f"The sample weight is a float, and {type(self).__name__} counts in {self.dtype}: casting takes its "
                "fraction off. Give the metric dtype='float32'.",
                stacklevel=3,
            )
        if given.rank == 1 and given.shape[0] == wanted.size:  # one for each already
            return ops.cast(weight, self.dtype)
        return ops.reshape(factor(weight, labels, self.dtype), (-1,))

    def result(self) -> Any:
        matrix = ops.cast(self.total_cm, "float64" if self.dtype == "float64" else "float32")
        hits = ops.diagonal(matrix)
        union = ops.subtract(ops.add(ops.sum(matrix, axis=0), ops.sum(matrix, axis=1)), hits)
        wanted = np.asarray(self.target_class_ids, np.int32)
        hits, union = ops.take(hits, wanted, axis=0), ops.take(union, wanted, axis=0)
        there = ops.greater(union, 1e-9)
        overlap = ops.where(there, ops.divide(hits, ops.add(union, EPSILON)), 0.0)
        count = ops.sum(ops.cast(there, type_of(matrix).dtype))
        return ops.divide(ops.sum(overlap), ops.add(count, EPSILON))

    def get_config(self) -> dict[str, Any]:
        own = (
            "num_classes", "target_class_ids", "ignore_class", "sparse_y_true", "sparse_y_pred", "axis"
        )  # fmt: skip
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


class BinaryIoU(IoU):
    """`IoU` of two classes, where what is predicted at ``threshold`` or above is of class 1."""

    @checked
    def __init__(
        self,
        target_class_ids: ClassIds = (0, 1),
        threshold: Real = 0.5,
        name: Name | None = None,
        dtype: DTypeName = None,
    ) -> None:
        super().__init__(2, target_class_ids, name, dtype)
        self.threshold = threshold

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Take in targets, 0 or 1, and probabilities of one batch."""
        counted = masked(sample_weight, y_pred, self.dtype)
        y_true, y_pred, counted = tensors(y_true, y_pred, counted)
        super().update_state(y_true, ops.greater_equal(y_pred, self.threshold), counted)

    def get_config(self) -> dict[str, Any]:
        own = {"target_class_ids": self.target_class_ids, "threshold": self.threshold}
        return {**Metric.get_config(self), **own}


class MeanIoU(IoU):
    """`IoU` over all classes."""

    @checked
    def __init__(
        self,
        num_classes: Classes,
        name: Name | None = None,
        dtype: DTypeName = None,
        ignore_class: Ignored = None,
        sparse_y_true: bool = True,
        sparse_y_pred: bool = True,
        axis: Axis = -1,
    ) -> None:
        super().__init__(
            num_classes, range(num_classes), name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis
        )

    def get_config(self) -> dict[str, Any]:
        return _without(super().get_config(), "target_class_ids")


class OneHotIoU(IoU):
    """`IoU` with one-hot targets; predictions are one value for each class too, unless ``sparse_y_pred``."""

    @checked
    def __init__(
        self,
        num_classes: Classes,
        target_class_ids: ClassIds,
        name: Name | None = None,
        dtype: DTypeName = None,
        ignore_class: Ignored = None,
        sparse_y_pred: bool = False,
        axis: Axis = -1,
    ) -> None:
        super().__init__(num_classes, target_class_ids, name, dtype, ignore_class, False, sparse_y_pred, axis)

    def get_config(self) -> dict[str, Any]:
        return _without(super().get_config(), "sparse_y_true")


class OneHotMeanIoU(MeanIoU):
    """`IoU` over all classes with one-hot targets; arguments as of `OneHotIoU`."""

    @checked
    def __init__(
        self,
        num_classes: Classes,
        name: Name | None = None,
        dtype: DTypeName = None,
        ignore_class: Ignored = None,
        sparse_y_pred: bool = False,
        axis: Axis = -1,
    ) -> None:
        super().__init__(num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis)

    def get_config(self) -> dict[str, Any]:
        return _without(super().get_config(), "sparse_y_true")


def _without(config: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key != name}
