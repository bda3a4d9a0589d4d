"""Losses, with Keras's names, arguments and reductions. ``loss(y_true, y_pred)`` works on any tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Annotated, Any

from unifront import ops, tree
from unifront.arguments import Fraction, Positive, checked, meant, one_of
from unifront.dtypes import DTypeLike, dtype_of
from unifront.errors import ArgumentError, DTypeError, ShapeError, UnknownName
from unifront.layers.arguments import Axis
from unifront.layers.layer import snake_case
from unifront.opset.tensor import type_of
from unifront.serialization import (
    Configured,
    deserialize_keras_object,
    get_registered_object,
    serialize_keras_object,
)
from unifront.trace import carried_mask

EPSILON = 1e-7
"""Probabilities are kept this far from 0 and 1 before a logarithm (Keras's epsilon)."""


REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "none", None, "mean_with_sample_weight")


def _dtype_name(given: Any) -> str | None:
    return None if given is None else dtype_of(given).name


DTypeOf = Annotated[DTypeLike | None, meant(_dtype_name)]
"""A dtype in any of its spellings, kept by its name."""


@checked
@dataclass(frozen=True, kw_only=True)
class Loss(Configured):
    """A function of targets and predictions that gives one number for each example, and how they are reduced.

    Args:
        reduction: ``"sum_over_batch_size"`` or ``"mean"`` (the mean), ``"sum"``, ``"none"`` or None, or
            ``"mean_with_sample_weight"`` (the sum divided by the sum of the weights).
        name: how errors call it, instead of by its class.
        dtype: what targets and predictions are cast to; that of the predictions unless given.

    Raises `UnknownName` for a reduction that is none, `ArgumentError` for a value outside its range. For a
    loss of your own, write a function, or a subclass with a `call`.
    """

    reduction: Annotated[str | None, one_of(REDUCTIONS)] = "sum_over_batch_size"
    name: str | None = None
    dtype: DTypeOf = None

    def get_config(self) -> dict[str, Any]:
        """The arguments that make a loss like this one."""
        config = super().get_config()
        return config if self.dtype is not None else {k: v for k, v in config.items() if k != "dtype"}

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of each example (or step): the last axis is reduced. Overridden by every loss."""
        raise ArgumentError(f"{type(self).__name__} does not define call().")

    def counted(self, y_true: Any, y_pred: Any) -> Any:
        """Which examples (or steps) count at all, as booleans; None for all."""
        return None

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None, mask: Any = None) -> Any:
        """The reduced loss.

        Args:
            sample_weight: ``[batch]`` or the shape of the unreduced loss; multiplies it.
            mask: boolean, the shape of the unreduced loss; steps outside it do not count, so that a mean is
                one over the steps inside.
        """
        mask = carried_mask(y_pred) if mask is None else mask
        if (dtype := self.dtype) is not None:
            y_true, y_pred = (tree.map_leaves(lambda y: ops.cast(y, dtype), y) for y in (y_true, y_pred))
        losses = self.call(y_true, y_pred)
        own = type_of(losses).dtype

        def factor(given: Any) -> Any:
            return None if given is None else ops.cast(_like(given, losses), own)

        kept = _product(factor(mask), factor(self.counted(y_true, y_pred)))
        weights = _product(factor(sample_weight), kept)
        if weights is not None:
            losses = ops.multiply(losses, weights)
        if self.reduction in ("none", None):
            return losses
        total = ops.sum(losses)
        if self.reduction == "sum":
            return total
        counted = weights if self.reduction == "mean_with_sample_weight" else kept
        if counted is None:
            return ops.mean(losses)
        return _ratio(total, ops.sum(ops.multiply(ops.ones_like(losses), counted)))


def _product(a: Any, b: Any) -> Any:
    return a if b is None else b if a is None else ops.multiply(a, b)


def _ratio(total: Any, count: Any) -> Any:
    """``total / count``; 0 where nothing counts."""
    nothing = ops.equal(count, 0.0)
    return ops.where(nothing, 0.0, ops.divide(total, ops.where(nothing, 1.0, count)))


def _like(weight: Any, losses: Any) -> Any:
    """``weight`` with trailing axes of size one, so that it broadcasts to ``losses``."""
    missing = type_of(losses).rank - type_of(weight).rank
    for _ in range(missing):
        weight = ops.expand_dims(weight, -1)
    return weight if missing >= 0 else ops.reshape(weight, type_of(losses).shape)


def matched(y_true: Any, y_pred: Any) -> Any:
    """``y_true`` as a float of the shape of ``y_pred``; a last axis of size one may be missing."""
    true, pred = type_of(y_true), type_of(y_pred)
    for what, type_ in (("targets", true), ("predictions", pred)):
        if type_.dtype.is_complex:
            raise DTypeError(f"The {what} of a loss are real numbers, not {type_.dtype}.")
    y_true = ops.cast(y_true, pred.dtype)
    if true.rank == pred.rank - 1 and pred.shape[-1] == 1:
        return ops.expand_dims(y_true, -1)
    if true.rank == pred.rank + 1 and true.shape[-1] == 1:
        return ops.squeeze(y_true, -1)
    if true.rank != pred.rank or any(
        a != b and isinstance(a, int) and isinstance(b, int)
        for a, b in zip(true.shape, pred.shape, strict=True)
    ):
        raise ShapeError(f"The targets have the shape {true.shape}, the predictions {pred.shape}.")
    return y_true


def labels_of(y_true: Any, y_pred: Any) -> Any:
    """Integer labels of the shape of ``y_pred`` without its last axis."""
    true, pred = type_of(y_true), type_of(y_pred)
    if true.rank == pred.rank and true.shape[-1] == 1:
        y_true, true = ops.squeeze(y_true, -1), true.with_shape(true.shape[:-1])
    if true.rank != pred.rank - 1:
        raise ShapeError(
            f"Integer labels of shape {true.shape} do not fit predictions of shape {pred.shape}: "
            f"the labels have the predictions' shape without the last axis, {pred.shape[:-1]}. For one-hot "
            "targets use categorical_crossentropy."
        )
    return ops.cast(y_true, "int32")


@checked
@dataclass(frozen=True, kw_only=True)
class MeanSquaredError(Loss):
    """``mean((y_true - y_pred)**2)`` over the last axis."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return ops.mean(ops.square(ops.subtract(y_pred, matched(y_true, y_pred))), axis=-1)


@checked
@dataclass(frozen=True, kw_only=True)
class MeanAbsoluteError(Loss):
    """``mean(|y_true - y_pred|)`` over the last axis."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return ops.mean(ops.abs(ops.subtract(y_pred, matched(y_true, y_pred))), axis=-1)


@checked
@dataclass(frozen=True, kw_only=True)
class Huber(Loss):
    """Squared below ``delta``, linear above (Huber 1964)."""

    delta: Positive = 1.0

    def call(self, y_true: Any, y_pred: Any) -> Any:
        error = ops.abs(ops.subtract(y_pred, matched(y_true, y_pred)))
        quadratic = ops.multiply(ops.square(error), 0.5)
        linear = ops.subtract(ops.multiply(error, self.delta), 0.5 * self.delta**2)
        return ops.mean(ops.where(ops.less_equal(error, self.delta), quadratic, linear), axis=-1)


@checked
@dataclass(frozen=True, kw_only=True)
class SparseCategoricalCrossentropy(Loss):
    """Cross-entropy with integer labels.

    Args:
        from_logits: whether predictions are logits; else probabilities along the last axis.
        ignore_class: a label that does not count.
        axis: that of the classes in the predictions.
    """

    from_logits: bool = False
    ignore_class: int | None = None
    axis: Axis = -1

    def call(self, y_true: Any, y_pred: Any) -> Any:
        y_pred = _classes_last(y_pred, self.axis)
        labels = labels_of(y_true, y_pred)
        logits = y_pred if self.from_logits else _log_probabilities(y_pred)
        counted = None if self.ignore_class is None else ops.not_equal(labels, self.ignore_class)
        if counted is None:
            return ops.sparse_softmax_cross_entropy(logits, labels)
        losses = ops.sparse_softmax_cross_entropy(logits, ops.where(counted, labels, 0))
        return ops.where(counted, losses, 0.0)

    def counted(self, y_true: Any, y_pred: Any) -> Any:
        if self.ignore_class is None:
            return None
        return ops.not_equal(labels_of(y_true, _classes_last(y_pred, self.axis)), self.ignore_class)


@checked
@dataclass(frozen=True, kw_only=True)
class CategoricalCrossentropy(Loss):
    """Cross-entropy with one-hot (or any) target distributions along the last axis.

    Args:
        from_logits: whether predictions are logits; else probabilities along the last axis.
        label_smoothing: the share of the target spread evenly over the classes.
        axis: that of the classes.
    """

    from_logits: bool = False
    label_smoothing: Fraction = 0.0
    axis: Axis = -1

    def call(self, y_true: Any, y_pred: Any) -> Any:
        targets = _classes_last(matched(y_true, y_pred), self.axis)
        y_pred = _classes_last(y_pred, self.axis)
        if self.label_smoothing:
            classes = type_of(y_pred).shape[-1]
            if not isinstance(classes, int):
                raise ShapeError(f"label_smoothing needs a fixed number of classes, not {classes}.")
            targets = ops.add(ops.multiply(targets, 1 - self.label_smoothing), self.label_smoothing / classes)
        if self.from_logits:
            return ops.softmax_cross_entropy(y_pred, targets)
        return ops.negative(ops.sum(ops.multiply(targets, _log_probabilities(y_pred)), axis=-1))


@checked
@dataclass(frozen=True, kw_only=True)
class BinaryCrossentropy(Loss):
    """Cross-entropy of independent yes/no targets, the mean over the last axis.

    Args:
        from_logits: whether predictions are logits; else probabilities.
        label_smoothing: moves the targets this far toward 1/2.
        axis: that of which the mean is taken.
    """

    from_logits: bool = False
    label_smoothing: Fraction = 0.0
    axis: Axis = -1

    def call(self, y_true: Any, y_pred: Any) -> Any:
        targets = matched(y_true, y_pred)
        if self.label_smoothing:
            targets = ops.add(ops.multiply(targets, 1 - self.label_smoothing), 0.5 * self.label_smoothing)
        if self.from_logits:
            return ops.mean(ops.sigmoid_cross_entropy(y_pred, targets), axis=self.axis)
        p = ops.clip(y_pred, EPSILON, 1 - EPSILON)
        yes = ops.multiply(targets, ops.log(p))
        no = ops.multiply(ops.subtract(1.0, targets), ops.log(ops.subtract(1.0, p)))
        return ops.mean(ops.negative(ops.add(yes, no)), axis=self.axis)


def _classes_last(tensor: Any, axis: int) -> Any:
    return tensor if axis in (-1, type_of(tensor).rank - 1) else ops.moveaxis(tensor, axis, -1)


def _log_probabilities(p: Any) -> Any:
    normal = ops.divide(p, ops.sum(p, axis=-1, keepdims=True))
    return ops.log(ops.clip(normal, EPSILON, 1 - EPSILON))


@checked
@dataclass(frozen=True, kw_only=True)
class FunctionLoss(Loss):
    """A loss made of a user's function ``(y_true, y_pred) -> per-example losses``."""

    function: Callable[[Any, Any], Any]

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self.function(y_true, y_pred)


@checked
@dataclass(frozen=True, kw_only=True)
class SumOfLosses(Loss):
    """The sum of several losses of one output."""

    losses: tuple[Loss, ...]

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None, mask: Any = None) -> Any:
        return reduce(ops.add, (ops.mean(loss(y_true, y_pred, sample_weight, mask)) for loss in self.losses))


# ---------------------------------------------------------------- as functions: one loss for each example


def mean_squared_error(y_true: Any, y_pred: Any) -> Any:
    """`MeanSquaredError` of each example."""
    return MeanSquaredError().call(y_true, y_pred)


def mean_absolute_error(y_true: Any, y_pred: Any) -> Any:
    """`MeanAbsoluteError` of each example."""
    return MeanAbsoluteError().call(y_true, y_pred)


def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> Any:
    """`Huber` of each example."""
    return Huber(delta=delta).call(y_true, y_pred)


def sparse_categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, ignore_class: int | None = None, axis: int = -1
) -> Any:
    """`SparseCategoricalCrossentropy` of each example."""
    loss = SparseCategoricalCrossentropy(from_logits=from_logits, ignore_class=ignore_class, axis=axis)
    return loss.call(y_true, y_pred)


def categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Any:
    """`CategoricalCrossentropy` of each example."""
    loss = CategoricalCrossentropy(from_logits=from_logits, label_smoothing=label_smoothing, axis=axis)
    return loss.call(y_true, y_pred)


def binary_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Any:
    """`BinaryCrossentropy` of each example."""
    loss = BinaryCrossentropy(from_logits=from_logits, label_smoothing=label_smoothing, axis=axis)
    return loss.call(y_true, y_pred)


CLASSES: tuple[type[Loss], ...] = (
    MeanSquaredError, MeanAbsoluteError, Huber, SparseCategoricalCrossentropy, CategoricalCrossentropy,
    BinaryCrossentropy,
)  # fmt: skip
SHORT = {
    "mse": MeanSquaredError, "MSE": MeanSquaredError, "mae": MeanAbsoluteError, "MAE": MeanAbsoluteError,
    "bce": BinaryCrossentropy, "BCE": BinaryCrossentropy,
}  # fmt: skip
NAMES: dict[str, Callable[[], Loss]] = {
    **SHORT, **{snake_case(cls.__name__): cls for cls in CLASSES}, **{cls.__name__: cls for cls in CLASSES}
}  # fmt: skip


def get(loss: Any) -> Any:
    """The loss meant by a name, a description, a class, a `Loss` or a function; None stays None.

    A list means the sum of the losses in it. Raises `UnknownName` or `ArgumentError` for anything else.
    """
    if isinstance(loss, Mapping) and "class_name" in loss:
        loss = deserialize(loss)
    if isinstance(loss, list | tuple):
        found = tuple(get(one) for one in loss if one is not None)
        return found[0] if len(found) == 1 else SumOfLosses(losses=found) if found else None
    if isinstance(loss, str):
        known = get_registered_object(loss, module_objects=NAMES)
        if known is None:
            raise UnknownName("loss", loss, NAMES)
        loss = known
    if isinstance(loss, type) and issubclass(loss, Loss):
        loss = loss()
    if isinstance(loss, Loss | None):
        return loss
    if callable(loss) and not isinstance(loss, type):
        return FunctionLoss(function=loss, name=getattr(loss, "__name__", None))
    raise ArgumentError(f"A loss is a name, a uf.losses.Loss or a function (y_true, y_pred), not {loss!r}.")


def serialize(loss: Any) -> Any:
    """A loss or loss function as plain data. Source: ``keras.losses.serialize``."""
    return serialize_keras_object(loss)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """What `serialize`, here or in Keras, described. Raises `UnknownName` for a class that is not known."""
    return deserialize_keras_object(config, custom_objects, module_objects=NAMES)
