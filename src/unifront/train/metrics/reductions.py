"""Sums and means of values, and of what a function of targets and predictions gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

from unifront import ops
from unifront.arguments import Name, checked
from unifront.dtypes import DType
from unifront.layers.arguments import DTypeName
from unifront.layers.nesting import snake_case
from unifront.opset.tensor import type_of
from unifront.serialization import deserialize_keras_object, serialize_keras_object
from unifront.train.metrics.base import Metric
from unifront.train.metrics.inputs import masked, of_one_rank, spread, tensors


def _by_example(
    values: Any, weight: Any, reduce: Callable[..., Any], dtype: DType
) -> tuple[Any, Any]:  # fmt: skip
    """One number for each example and its weight, or None; later axes are reduced, as Keras does it.

    Values without a batch axis stay as they are.
    """
    kept = masked(weight, values, dtype)
    values, weight = tensors(values, kept)
    values = ops.cast(values, dtype)
    if weight is not None:
        values, weight = of_one_rank(values, ops.cast(weight, dtype))
        rank = type_of(weight).rank
        values = _later(values, rank, reduce)
        weight = spread(weight, values)
        values, weight = ops.multiply(values, weight), _later(weight, 1, reduce)
    return _later(values, 1, reduce), weight


def _later(values: Any, first: int, reduce: Callable[..., Any]) -> Any:
    """``values`` without the axes from ``first`` on."""
    rank = type_of(values).rank
    return reduce(values, axis=tuple(range(first, rank))) if rank > first else values


def _sum(values: Any) -> Any:
    return ops.sum(values) if type_of(values).rank else values


class Sum(Metric):
    """The weighted sum of values.

    Example::

        total = uf.metrics.Sum()
        total.update_state([1, 3, 5, 7], sample_weight=[1, 1, 0, 0])
        total.result()  # 4.0
    """

    @checked
    def __init__(self, name: Name | None = "sum", dtype: DTypeName = None) -> None:
        super().__init__(dtype, name)
        self.total = self.add_variable((), "zeros", name="total")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Take in ``values``, a tensor of any shape.

        Args:
            sample_weight: one for all, for each example or for each value; multiplies them.
        """
        values, _ = _by_example(values, sample_weight, ops.sum, self.dtype)
        self.total.assign_add(_sum(ops.stop_gradient(values)))

    def result(self) -> Any:
        return ops.add(self.total, 0.0)


class Mean(Metric):
    """The weighted mean of values over examples: ``sum(value * weight) / sum(weight)``.

    Example::

        loss = uf.metrics.Mean(name="loss")
    """

    @checked
    def __init__(self, name: Name | None = "mean", dtype: DTypeName = None) -> None:
        super().__init__(dtype, name)
        self.total = self.add_variable((), "zeros", name="total")
        self.count = self.add_variable((), "zeros", name="count")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Take in ``values``, a tensor of any shape: of each example the mean counts.

        Args:
            sample_weight: one for all, for each example or for each value.
        """
        values, weight = _by_example(values, sample_weight, ops.mean, self.dtype)
        size = type_of(values).shape[0] if type_of(values).rank else 1
        count = ops.full((), size, self.dtype, like=values) if weight is None else _sum(weight)
        self.total.assign_add(_sum(values))
        self.count.assign_add(count)

    def result(self) -> Any:
        return ops.divide_no_nan(self.total, self.count)


class MeanMetricWrapper(Mean):
    """The mean over examples of a function ``fn(y_true, y_pred, **kwargs)`` that gives one value for each, or several.

    Steps outside the mask of the predictions do not count.

    Args:
        fn: the function, written in ops.
        kwargs: what it gets by keyword.

    Example::

        def error(y_true, y_pred):
            return uf.ops.abs(y_true - y_pred)

        metric = uf.metrics.MeanMetricWrapper(error)
    """

    @checked
    def __init__(
        self, fn: Callable[..., Any], name: Name | None = None, dtype: DTypeName = None, **kwargs: Any
    ) -> None:
        called = getattr(fn, "__name__", None) or getattr(fn, "name", None)
        super().__init__(name or called or snake_case(type(fn).__name__), dtype)
        self.fn, self.options = fn, kwargs

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]  # as in Keras
        """Take in targets and predictions of one batch.

        Args:
            sample_weight: one for all, for each example or for each value of the function.
        """
        counted = masked(sample_weight, y_pred, self.dtype)
        y_true, y_pred, counted = tensors(y_true, y_pred, counted)
        own = type_of(y_pred).dtype
        if own.is_float and own.bits < self.dtype.bits:  # in 16 bits 1 - 1e-7 is 1
            y_pred = ops.cast(y_pred, self.dtype)
        super().update_state(self.fn(y_true, y_pred, **self.options), counted)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "fn": serialize_keras_object(self.fn),
            **serialize_keras_object(self.options),
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        return cls(**{name: deserialize_keras_object(value) for name, value in config.items()})


class MeanOfFunction(MeanMetricWrapper):
    """The mean of a function that the class names; plain data tell it without the function."""

    def get_config(self) -> dict[str, Any]:
        return {**Metric.get_config(self), **self.options}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        return cls(**config)
