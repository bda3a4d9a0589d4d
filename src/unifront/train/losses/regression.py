"""Losses of numbers: how far a prediction is from its target."""

from __future__ import annotations

import math
from typing import Any

from unifront import ops
from unifront.arguments import Positive, checked
from unifront.config import epsilon
from unifront.layers.arguments import Axis
from unifront.train.losses.base import DTypeOf, LossName, Reduction, StandardLoss, paired


def mean_squared_error(y_true: Any, y_pred: Any) -> Any:
    """``mean((y_true - y_pred)**2)`` over the last axis; targets and predictions have one shape.

    Example::

        uf.losses.mean_squared_error([[0.0, 2.0]], [[1.0, 1.0]])  # [1.0]
    """
    y_true, y_pred = paired(y_true, y_pred)
    return ops.mean(ops.square(ops.subtract(y_pred, y_true)), axis=-1)


def mean_absolute_error(y_true: Any, y_pred: Any) -> Any:
    """``mean(|y_true - y_pred|)`` over the last axis."""
    y_true, y_pred = paired(y_true, y_pred)
    return ops.mean(ops.abs(ops.subtract(y_pred, y_true)), axis=-1)


def mean_absolute_percentage_error(y_true: Any, y_pred: Any) -> Any:
    """``100 * mean(|y_true - y_pred| / max(|y_true|, epsilon))`` over the last axis."""
    y_true, y_pred = paired(y_true, y_pred)
    size = ops.maximum(ops.abs(y_true), epsilon())
    return ops.multiply(100.0, ops.mean(ops.abs(ops.divide(ops.subtract(y_true, y_pred), size)), axis=-1))


def mean_squared_logarithmic_error(y_true: Any, y_pred: Any) -> Any:
    """``mean((log(y_true + 1) - log(y_pred + 1))**2)`` over the last axis; numbers below epsilon count as epsilon."""
    first, second = (
        ops.log(ops.add(ops.maximum(y, epsilon()), 1.0)) for y in reversed(paired(y_true, y_pred))
    )
    return ops.mean(ops.square(ops.subtract(first, second)), axis=-1)


def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> Any:
    """Half the square of an error up to ``delta``, linear above, the mean over the last axis (Huber 1964)."""
    y_true, y_pred = paired(y_true, y_pred)
    error = ops.abs(ops.subtract(y_pred, y_true))
    quadratic = ops.multiply(ops.square(error), 0.5)
    linear = ops.subtract(ops.multiply(error, delta), 0.5 * delta**2)
    return ops.mean(ops.where(ops.less_equal(error, delta), quadratic, linear), axis=-1)


def log_cosh(y_true: Any, y_pred: Any) -> Any:
    """``mean(log(cosh(y_pred - y_true)))`` over the last axis: square where small, linear where large."""
    y_true, y_pred = paired(y_true, y_pred)
    error = ops.subtract(y_pred, y_true)  # log(cosh(x)) without the overflow of cosh
    exact = ops.subtract(ops.add(error, ops.softplus(ops.multiply(error, -2.0))), math.log(2.0))
    return ops.mean(exact, axis=-1)


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """Minus the cosine of the angle between both along ``axis``: -1 for one direction, 0 for a vector of zeros."""
    y_true, y_pred = paired(y_true, y_pred)

    def unit(x: Any) -> Any:  # the square is limited rather than the root, whose derivative at 0 is infinite
        squares = ops.sum(ops.square(x), axis=axis, keepdims=True)
        return ops.multiply(x, ops.rsqrt(ops.maximum(squares, epsilon() ** 2)))

    return ops.negative(ops.sum(ops.multiply(unit(y_true), unit(y_pred)), axis=axis))


# ---------------------------------------------------------------- as classes


class MeanSquaredError(StandardLoss):
    """`mean_squared_error`, reduced.

    Example::

        model.compile("adam", loss=uf.losses.MeanSquaredError())
    """

    function = staticmethod(mean_squared_error)

    @checked
    def __init__(
        self, reduction: Reduction = "sum_over_batch_size", name: LossName = "mean_squared_error",
        dtype: DTypeOf = None,
    ) -> None:  # fmt: skip
        super().__init__(name, reduction, dtype)


class MeanAbsoluteError(StandardLoss):
    """`mean_absolute_error`, reduced."""

    function = staticmethod(mean_absolute_error)

    @checked
    def __init__(
        self, reduction: Reduction = "sum_over_batch_size", name: LossName = "mean_absolute_error",
        dtype: DTypeOf = None,
    ) -> None:  # fmt: skip
        super().__init__(name, reduction, dtype)


class MeanAbsolutePercentageError(StandardLoss):
    """`mean_absolute_percentage_error`, reduced."""

    function = staticmethod(mean_absolute_percentage_error)

    @checked
    def __init__(
        self, reduction: Reduction = "sum_over_batch_size", name: LossName = "mean_absolute_percentage_error",
        dtype: DTypeOf = None,
    ) -> None:  # fmt: skip
        super().__init__(name, reduction, dtype)


class MeanSquaredLogarithmicError(StandardLoss):
    """`mean_squared_logarithmic_error`, reduced."""

    function = staticmethod(mean_squared_logarithmic_error)

    @checked
    def __init__(
        self, reduction: Reduction = "sum_over_batch_size", name: LossName = "mean_squared_logarithmic_error",
        dtype: DTypeOf = None,
    ) -> None:  # fmt: skip
        super().__init__(name, reduction, dtype)


class Huber(StandardLoss):
    """`huber`, reduced.

    Args:
        delta: where the loss turns from square to linear.
    """

    function = staticmethod(huber)
    arguments = ("delta",)

    @checked
    def __init__(
        self, delta: Positive = 1.0, reduction: Reduction = "sum_over_batch_size", name: LossName = "huber_loss",
        dtype: DTypeOf = None,
    ) -> None:  # fmt: skip
        super().__init__(name, reduction, dtype)
        self.delta = delta


class LogCosh(StandardLoss):
    """`log_cosh`, reduced."""

    function = staticmethod(log_cosh)

    @checked
    def __init__(
        self, reduction: Reduction = "sum_over_batch_size", name: LossName = "log_cosh", dtype: DTypeOf = None
    ) -> None:
        super().__init__(name, reduction, dtype)


class CosineSimilarity(StandardLoss):
    """`cosine_similarity`, reduced.

    Args:
        axis: along which the vectors lie.
    """

    function = staticmethod(cosine_similarity)
    arguments = ("axis",)

    @checked
    def __init__(
        self, axis: Axis = -1, reduction: Reduction = "sum_over_batch_size", name: LossName = "cosine_similarity",
        dtype: DTypeOf = None,
    ) -> None:  # fmt: skip
        super().__init__(name, reduction, dtype)
        self.axis = axis
