"""How often predictions are right."""

from __future__ import annotations

from typing import Any

from unifront import ops
from unifront.arguments import Name, Real, Size, checked
from unifront.dtypes import floatx
from unifront.layers.arguments import DTypeName
from unifront.opset.tensor import type_of
from unifront.train.losses import labels_of
from unifront.train.metrics.inputs import check_fit, of_one_rank, pair, tensors
from unifront.train.metrics.reductions import MeanOfFunction


def _matches(a: Any, b: Any) -> Any:
    return ops.cast(ops.equal(a, b), floatx())


def accuracy(y_true: Any, y_pred: Any) -> Any:
    """1 where both are equal, else 0."""
    return _matches(*pair(y_true, y_pred))


def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Any:
    """1 where a prediction lies on the target's side of ``threshold``, else 0 (Keras metrics.binary_accuracy)."""
    y_true, y_pred = of_one_rank(*tensors(y_true, y_pred))
    check_fit(y_true, y_pred)
    return _matches(y_true, ops.cast(ops.greater(y_pred, threshold), type_of(y_true).dtype))


def categorical_accuracy(y_true: Any, y_pred: Any) -> Any:
    """1 where the largest prediction is where the target is largest (Keras metrics.categorical_accuracy)."""
    y_true, y_pred = tensors(y_true, y_pred)
    check_fit(y_true, y_pred)
    return _matches(ops.argmax(y_true, axis=-1), ops.argmax(y_pred, axis=-1))


def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> Any:
    """1 where the largest prediction is the integer label's (Keras metrics.sparse_categorical_accuracy).

    Args:
        y_true: the shape of ``y_pred`` without its last axis, or with one of size one in its place.
    """
    y_true, y_pred = tensors(y_true, y_pred)
    return _matches(labels_of(y_true, y_pred), ops.argmax(y_pred, axis=-1))


def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> Any:
    """1 where the prediction at the largest target is among the ``k`` largest (Keras
    metrics.top_k_categorical_accuracy)."""
    y_true, y_pred = tensors(y_true, y_pred)
    check_fit(y_true, y_pred)
    return ops.cast(ops.in_top_k(ops.argmax(y_true, axis=-1), y_pred, k), floatx())


def sparse_top_k_categorical_accuracy(
    y_true: Any, y_pred: Any, k: int = 5, from_sorted_ids: bool = False
) -> Any:
    """1 where the label's prediction is among the ``k`` largest (Keras metrics.sparse_top_k_categorical_accuracy).

    Args:
        y_true: the shape of ``y_pred`` without its last axis, or with one of size one in its place.
        from_sorted_ids: ``y_pred`` are the numbers of classes, the likeliest first, as a retrieval gives them.
    """
    y_true, y_pred = tensors(y_true, y_pred)
    labels = labels_of(y_true, y_pred)
    if from_sorted_ids:
        wanted = ops.expand_dims(ops.cast(labels, type_of(y_pred).dtype), -1)
        found = ops.any(ops.equal(wanted, y_pred[..., :k]), -1)
    else:
        found = ops.in_top_k(labels, y_pred, k)
    return ops.reshape(ops.cast(found, floatx()), type_of(y_true).shape)


class Accuracy(MeanOfFunction):
    """How often predictions are equal to the targets."""

    goal = "max"

    @checked
    def __init__(self, name: Name | None = "accuracy", dtype: DTypeName = None) -> None:
        super().__init__(accuracy, name, dtype)


class BinaryAccuracy(MeanOfFunction):
    """How often a prediction lies on the target's side of ``threshold``, the mean over the last axis."""

    goal = "max"

    @checked
    def __init__(
        self, name: Name | None = "binary_accuracy", dtype: DTypeName = None, threshold: Real = 0.5
    ) -> None:
        super().__init__(binary_accuracy, name, dtype, threshold=threshold)
        self.threshold = threshold


class CategoricalAccuracy(MeanOfFunction):
    """How often the largest prediction is where the target is largest."""

    goal = "max"

    @checked
    def __init__(self, name: Name | None = "categorical_accuracy", dtype: DTypeName = None) -> None:
        super().__init__(categorical_accuracy, name, dtype)


class SparseCategoricalAccuracy(MeanOfFunction):
    """How often the largest prediction is the integer label's."""

    goal = "max"

    @checked
    def __init__(self, name: Name | None = "sparse_categorical_accuracy", dtype: DTypeName = None) -> None:
        super().__init__(sparse_categorical_accuracy, name, dtype)


class TopKCategoricalAccuracy(MeanOfFunction):
    """How often the class that the target is largest at is among the ``k`` that are predicted most."""

    goal = "max"

    @checked
    def __init__(
        self, k: Size = 5, name: Name | None = "top_k_categorical_accuracy", dtype: DTypeName = None
    ) -> None:
        super().__init__(top_k_categorical_accuracy, name, dtype, k=k)
        self.k = k


class SparseTopKCategoricalAccuracy(MeanOfFunction):
    """How often the label's class is among the ``k`` that are predicted most.

    Args:
        from_sorted_ids: predictions are the numbers of classes, the likeliest first.
    """

    goal = "max"

    @checked
    def __init__(
        self,
        k: Size = 5,
        name: Name | None = "sparse_top_k_categorical_accuracy",
        dtype: DTypeName = None,
        from_sorted_ids: bool = False,
    ) -> None:
        super().__init__(sparse_top_k_categorical_accuracy, name, dtype, k=k, from_sorted_ids=from_sorted_ids)
        self.k, self.from_sorted_ids = k, from_sorted_ids
