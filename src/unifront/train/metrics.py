"""Metrics, with Keras's names. A metric keeps what it adds up as variables, of any shape, which a graph updates.

Within a step the state stays on the device; it is read a few times a second, and `Metric.result` is then computed on
the host, by the same ops.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self
from weakref import ref

import numpy as np

from unifront import ops
from unifront.arguments import Name, Real, checked
from unifront.backends import use_backend
from unifront.dtypes import DType, DTypeLike, floatx
from unifront.errors import ArgumentError, UnknownName
from unifront.layers import initializers
from unifront.layers.arguments import DTypeName
from unifront.opset.tensor import is_building, type_of, update
from unifront.serialization import deserialize_keras_object, serialize_keras_object
from unifront.train import losses
from unifront.train.losses import labels_of, matched
from unifront.weights import MOVING, Overlay, Variable, overlaid


class MetricVariable(Variable):
    """A variable that a metric keeps; `Metric.reset_state` and each epoch start it again."""

    def __init__(
        self, path: str, shape: Sequence[int], dtype: DTypeLike, initializer: Callable[..., Any]
    ) -> None:
        super().__init__(path, shape, dtype, initial=self.start, trainable=False)
        self.initializer = initializer
        self.follows = False
        self._claimed: ref[object] | None = None

    def claim(self, session: object) -> bool:
        """Keep the state for ``session`` alone; False if another one has it that still lives."""
        with MOVING:
            holder = None if self._claimed is None else self._claimed()
            if holder is None:
                self._claimed = ref(session)
            return holder is None or holder is session

    def release(self, session: object) -> None:
        """End a `claim`; those of others stay."""
        with MOVING:
            if self._claimed is not None and self._claimed() in (session, None):
                self._claimed = None

    def start(self) -> np.ndarray:
        """The value before the first batch."""
        drawn = self.initializer(self.shape, self.dtype, np.random.default_rng(0))
        return np.asarray(drawn, self.dtype.numpy)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "initializer": self.initializer, "follows": self.follows}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._claimed = None


class Metric:
    """What all metrics share. A metric of your own makes its state in ``__init__`` and defines two methods, in ops:

        class Positives(uf.metrics.Metric):
            def __init__(self, name="positives"):
                super().__init__(name=name)
                self.count = self.add_weight(shape=(), name="count")

            def update_state(self, y_true, y_pred, sample_weight=None):
                self.count.assign_add(uf.ops.sum(uf.ops.cast(uf.ops.greater(y_pred, 0), self.dtype)))

            def result(self):
                return self.count

    Args:
        name: how logs call it.
        dtype: of its state; that of the model's computation, at least float32, unless given.

    ``goal`` says to callbacks whether less (``"min"``) or more (``"max"``) is better; None: not known.
    """

    goal: ClassVar[str | None] = None

    @checked
    def __init__(self, name: Name | None = None, dtype: DTypeName = None) -> None:
        self.name = name or _snake(type(self).__name__)
        self._dtype: DType | None = dtype  # type: ignore[assignment]  # converted by its check
        self._variables: list[MetricVariable] = []

    @property
    def dtype(self) -> DType:
        """The dtype of the state."""
        return self._dtype or floatx()

    @property
    def variables(self) -> list[MetricVariable]:
        """What the metric keeps."""
        return list(self._variables)

    def add_variable(
        self, shape: Sequence[int] = (), initializer: Any = "zeros", dtype: DTypeLike | None = None,
        name: str | None = None,
    ) -> MetricVariable:  # fmt: skip
        """A variable of the metric's state.

        Args:
            shape: static sizes.
            initializer: a name, or a callable ``(shape, dtype, numpy Generator) -> array``.
            dtype: the metric's unless given.
        """
        sizes = tuple(int(size) for size in shape)
        path = f"{self.name}/{name or f'variable_{len(self._variables)}'}"
        variable = MetricVariable(path, sizes, dtype or self.dtype, initializers.get(initializer))
        variable.follows = dtype is None
        self._variables.append(variable)
        return variable

    add_weight = add_variable

    def computed_in(self, dtype: DType) -> None:
        """Keep the state in ``dtype`` from now on, unless one was asked for."""
        if self._dtype is None:
            for variable in self._variables:
                if variable.follows and variable.dtype != dtype:
                    variable.retype(dtype)
            self._dtype = dtype

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Take in one batch. Overridden by every metric."""
        raise ArgumentError(f"{type(self).__name__} does not define update_state().")

    def result(self) -> Any:
        """The metric of all batches since the last reset: a scalar, or a dict of them. Overridden by every metric."""
        raise ArgumentError(f"{type(self).__name__} does not define result().")

    def reset_state(self) -> None:
        """Forget all batches."""
        for variable in self._variables:
            if is_building():
                update(variable, variable.start())
            else:
                variable.assign(variable.start())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """`update_state`, then `result`."""
        self.update_state(*args, **kwargs)
        return self.result()

    def result_of(self, values: Mapping[int, np.ndarray]) -> Any:
        """`result` on the host, for the values that variables (by their ids) have."""
        with overlaid(Overlay(dict(values))), use_backend("numpy"):
            return self.result()

    def get_config(self) -> dict[str, Any]:
        """The arguments that make a metric like this one."""
        return {"name": self.name, "dtype": None if self._dtype is None else self._dtype.name}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """A new metric from what `get_config` gave, here or in Keras."""
        return cls(**config)

    def __repr__(self) -> str:
        arguments = {k: v for k, v in self.get_config().items() if v is not None}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in arguments.items())})"


def _snake(name: str) -> str:
    return "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")


class Mean(Metric):
    """The weighted mean of values: ``sum(value * weight) / sum(weight)``.

    Example::

        loss = uf.metrics.Mean(name="loss")
    """

    @checked
    def __init__(self, name: Name | None = "mean", dtype: DTypeName = None) -> None:
        super().__init__(name, dtype)
        self.total = self.add_variable((), "zeros", name="total")
        self.count = self.add_variable((), "zeros", name="count")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Take in ``values``, a tensor of any shape, each counted ``sample_weight`` times (it broadcasts)."""
        values = ops.cast(values, self.total.dtype)
        if sample_weight is None:
            count: Any = _size(values, self.count.dtype)
        else:
            count = ops.cast(losses._like(sample_weight, values), self.total.dtype)
            if type_of(count).shape != type_of(values).shape:
                count = ops.multiply(count, ops.ones_like(values))
            values = ops.multiply(values, count)
            count = ops.sum(count) if type_of(count).rank else count
        self.total.assign_add(ops.sum(values) if type_of(values).rank else values)
        self.count.assign_add(count)

    def result(self) -> Any:
        nothing = ops.equal(self.count, 0.0)
        return ops.where(nothing, 0.0, ops.divide(self.total, ops.where(nothing, 1.0, self.count)))


def _size(values: Any, dtype: DType) -> Any:
    """How many elements ``values`` has, as a scalar."""
    return ops.full((), _product(type_of(values).shape), dtype, like=values)


def _product(shape: Sequence[Any]) -> Any:
    found: Any = 1
    for size in shape:
        found = size if isinstance(found, int) and found == 1 else found * size
    return found


class Sum(Metric):
    """The weighted sum of values."""

    @checked
    def __init__(self, name: Name | None = "sum", dtype: DTypeName = None) -> None:
        super().__init__(name, dtype)
        self.total = self.add_variable((), "zeros", name="total")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        """Take in ``values``, a tensor of any shape, each times ``sample_weight`` (it broadcasts)."""
        values = ops.stop_gradient(ops.cast(values, self.total.dtype))
        if sample_weight is not None:
            weights = ops.cast(losses._like(sample_weight, values), self.total.dtype)
            values = ops.multiply(values, weights)
        self.total.assign_add(ops.sum(values))

    def result(self) -> Any:
        return ops.add(self.total, 0.0)


class MeanOverExamples(Mean):
    """The mean of one value for each example (or step), which a subclass gives by `values`."""

    def values(self, y_true: Any, y_pred: Any) -> Any:
        """One float for each example (or step). Overridden by every such metric."""
        raise ArgumentError(f"{type(self).__name__} does not define values().")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # type: ignore[override]  # as in Keras
        """Take in targets and predictions of one batch."""
        super().update_state(self.values(y_true, y_pred), sample_weight)


class SparseCategoricalAccuracy(MeanOverExamples):
    """How often the largest prediction is the integer label's."""

    goal = "max"

    @checked
    def __init__(self, name: Name | None = "sparse_categorical_accuracy", dtype: DTypeName = None) -> None:
        super().__init__(name, dtype)

    def values(self, y_true: Any, y_pred: Any) -> Any:
        hit = ops.equal(labels_of(y_true, y_pred), ops.argmax(y_pred, axis=-1))
        return ops.cast(hit, type_of(y_pred).dtype)


class CategoricalAccuracy(MeanOverExamples):
    """How often the largest prediction is where the target is largest."""

    goal = "max"

    @checked
    def __init__(self, name: Name | None = "categorical_accuracy", dtype: DTypeName = None) -> None:
        super().__init__(name, dtype)

    def values(self, y_true: Any, y_pred: Any) -> Any:
        hit = ops.equal(ops.argmax(matched(y_true, y_pred), axis=-1), ops.argmax(y_pred, axis=-1))
        return ops.cast(hit, type_of(y_pred).dtype)


class BinaryAccuracy(MeanOverExamples):
    """How often a prediction lies on the target's side of ``threshold``, the mean over the last axis."""

    goal = "max"

    @checked
    def __init__(
        self, name: Name | None = "binary_accuracy", dtype: DTypeName = None, threshold: Real = 0.5
    ) -> None:
        super().__init__(name, dtype)
        self.threshold = threshold

    def values(self, y_true: Any, y_pred: Any) -> Any:
        above = ops.cast(ops.greater(y_pred, self.threshold), type_of(y_pred).dtype)
        hit = ops.equal(matched(y_true, y_pred), above)
        return ops.mean(ops.cast(hit, type_of(y_pred).dtype), axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "threshold": self.threshold}


class MeanSquaredError(MeanOverExamples):
    """The mean squared error."""

    goal = "min"

    @checked
    def __init__(self, name: Name | None = "mean_squared_error", dtype: DTypeName = None) -> None:
        super().__init__(name, dtype)

    def values(self, y_true: Any, y_pred: Any) -> Any:
        return losses.MeanSquaredError().call(y_true, y_pred)


class MeanAbsoluteError(MeanOverExamples):
    """The mean absolute error."""

    goal = "min"

    @checked
    def __init__(self, name: Name | None = "mean_absolute_error", dtype: DTypeName = None) -> None:
        super().__init__(name, dtype)

    def values(self, y_true: Any, y_pred: Any) -> Any:
        return losses.MeanAbsoluteError().call(y_true, y_pred)


class MeanMetricWrapper(MeanOverExamples):
    """The mean of a function ``fn(y_true, y_pred, **options)`` that gives values."""

    @checked
    def __init__(
        self, fn: Callable[..., Any], name: Name | None = None, dtype: DTypeName = None, **options: Any
    ) -> None:
        super().__init__(name or getattr(fn, "__name__", "metric"), dtype)
        self.fn, self.options = fn, options

    def values(self, y_true: Any, y_pred: Any) -> Any:
        return self.fn(y_true, y_pred, **self.options)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "fn": serialize_keras_object(self.fn), **self.options}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        return cls(**{**config, "fn": deserialize_keras_object(config["fn"])})


NAMES: dict[str, Callable[..., Metric]] = {
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
    "categorical_accuracy": CategoricalAccuracy,
    "binary_accuracy": BinaryAccuracy,
    "mse": MeanSquaredError,
    "mean_squared_error": MeanSquaredError,
    "mae": MeanAbsoluteError,
    "mean_absolute_error": MeanAbsoluteError,
}
_ACCURACIES = ("accuracy", "acc")


def serialize(metric: Metric) -> Any:
    """A metric as plain data. Source: ``keras.metrics.serialize``."""
    return serialize_keras_object(metric)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """What `serialize`, here or in Keras, described. Raises `UnknownName` for a class that is not known."""
    return deserialize_keras_object(config, custom_objects, module_objects=NAMES)


def get(metric: Any, true_shape: Sequence[Any], pred_shape: Sequence[Any]) -> Metric:
    """The metric meant by a name, a `Metric` or a function; ``"accuracy"`` by the shapes of both."""
    if isinstance(metric, Mapping) and "class_name" in metric:
        metric = deserialize(metric)
    if isinstance(metric, Metric):
        return metric
    if isinstance(metric, str) and metric in _ACCURACIES:
        if tuple(pred_shape[-1:]) == (1,):
            return BinaryAccuracy(name=metric)
        sparse = len(true_shape) < len(pred_shape) or tuple(true_shape[-1:]) == (1,)
        return (SparseCategoricalAccuracy if sparse else CategoricalAccuracy)(name=metric)
    if isinstance(metric, str):
        if metric not in NAMES:
            raise UnknownName("metric", metric, [*NAMES, *_ACCURACIES])
        return NAMES[metric](name=metric)
    if callable(metric) and not isinstance(metric, type):
        return MeanMetricWrapper(metric)
    raise ArgumentError(
        f"A metric is a name, a uf.metrics.Metric or a function (y_true, y_pred), not {metric!r}."
    )
