"""Losses with a margin: no loss for a prediction that is right by enough."""

from __future__ import annotations

from typing import Any

from unifront import ops
from unifront.arguments import checked
from unifront.train.losses.base import DTypeOf, LossName, Reduction, StandardLoss, paired


def _signs(y_true: Any) -> Any:
    """Targets that are all 0 or 1 as -1 or 1; others as they are."""
    binary = ops.all(ops.logical_or(ops.equal(y_true, 0.0), ops.equal(y_true, 1.0)))
    return ops.where(binary, ops.subtract(ops.multiply(2.0, y_true), 1.0), y_true)


def _shortfall(y_true: Any, y_pred: Any) -> Any:
    y_true, y_pred = paired(y_true, y_pred)
    return ops.maximum(ops.subtract(1.0, ops.multiply(_signs(y_true), y_pred)), 0.0)


def hinge(y_true: Any, y_pred: Any) -> Any:
    """``mean(max(1 - y_true * y_pred, 0))`` over the last axis.

    Args:
        y_true: -1 or 1; targets that are all 0 or 1 are taken as such.
    """
    return ops.mean(_shortfall(y_true, y_pred), axis=-1)


def squared_hinge(y_true: Any, y_pred: Any) -> Any:
    """``mean(max(1 - y_true * y_pred, 0)**2)`` over the last axis; targets as of `hinge`."""
    return ops.mean(ops.square(_shortfall(y_true, y_pred)), axis=-1)


def categorical_hinge(y_true: Any, y_pred: Any) -> Any:
    """``max(largest of the wrong classes - right class + 1, 0)`` along the last axis; ``y_true`` is one-hot."""
    y_true, y_pred = paired(y_true, y_pred)
    right = ops.sum(ops.multiply(y_true, y_pred), axis=-1)
    wrong = ops.max(ops.multiply(ops.subtract(1.0, y_true), y_pred), axis=-1)
    return ops.maximum(ops.add(ops.subtract(wrong, right), 1.0), 0.0)


class Hinge(StandardLoss):
    """`hinge`, reduced."""

    function = staticmethod(hinge)

    @checked
    def __init__(
        self, reduction: Reduction = "sum_over_batch_size", name: LossName = "hinge", dtype: DTypeOf = None
    ) -> None:
        super().__init__(name, reduction, dtype)


class SquaredHinge(StandardLoss):
    """`squared_hinge`, reduced."""

    function = staticmethod(squared_hinge)

    @checked
    def __init__(
        self, reduction: Reduction = "sum_over_batch_size", name: LossName = "squared_hinge", dtype: DTypeOf = None
    ) -> None:  # fmt: skip
        super().__init__(name, reduction, dtype)


class CategoricalHinge(StandardLoss):
    """`categorical_hinge`, reduced."""

    function = staticmethod(categorical_hinge)

    @checked
    def __init__(
        self, reduction: Reduction = "sum_over_batch_size", name: LossName = "categorical_hinge",
        dtype: DTypeOf = None,
    ) -> None:  # fmt: skip
        super().__init__(name, reduction, dtype)
