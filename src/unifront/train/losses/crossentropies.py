"""Losses of classes and of independent yes/no answers: cross-entropies and their kin."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Annotated, Any

from unifront import ops
from unifront.arguments import Amount, Fraction, Numbers, checked, within
from unifront.config import epsilon
from unifront.errors import ShapeError
from unifront.layers.arguments import Axis
from unifront.opset.elementwise import floating
from unifront.opset.tensor import type_of
from unifront.train.losses.base import DTypeOf, LossName, Reduction, StandardLoss, _arrays, labels_of, paired


def _classes_last(tensor: Any, axis: int) -> Any:
    return tensor if axis in (-1, type_of(tensor).rank - 1) else ops.moveaxis(tensor, axis, -1)


def _inside(p: Any) -> Any:
    """Probabilities kept off 0 and 1, where logarithms have no bound."""
    return ops.clip(p, epsilon(), 1 - epsilon())


def _shares(p: Any) -> Any:
    """What stands along the last axis as shares of its sum, kept off 0 and 1."""
    return _inside(ops.divide(p, ops.sum(p, axis=-1, keepdims=True)))


def _one_hot_pair(y_true: Any, y_pred: Any, axis: int, smoothing: float, name: str) -> tuple[Any, Any]:
    """Targets (smoothed) and predictions with the classes last."""
    y_true, y_pred = (_classes_last(y, axis) for y in paired(y_true, y_pred))
    if not type_of(y_pred).rank:
        raise ShapeError(f"{name}: the predictions have no axis of classes; their shape is ().")
    classes = type_of(y_pred).shape[-1]
    if classes == 1:
        warnings.warn(
            f"{name}: the predictions have the shape {type_of(y_pred).shape}, so there is one class, and nothing to "
            "learn. For two classes use binary_crossentropy.",
            SyntaxWarning,
            stacklevel=3,
        )
    if smoothing:
        dtype = type_of(y_pred).dtype
        spread = smoothing / classes if isinstance(classes, int) else None
        if spread is None:
            spread = ops.divide(smoothing, ops.full((), classes, dtype, like=y_pred))
        y_true = ops.add(ops.multiply(y_true, 1 - smoothing), spread)
    return y_true, y_pred


def categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Any:
    """``-sum(y_true * log(y_pred))`` over the classes.

    Args:
        y_true: one-hot, or any distribution.
        y_pred: of its shape; divided by its sum over the classes, or with ``from_logits`` logits.
        label_smoothing: the share of the target spread evenly over the classes.
        axis: that of the classes.
    """
    y_true, y_pred = _one_hot_pair(y_true, y_pred, axis, label_smoothing, "categorical_crossentropy")
    if from_logits:
        return ops.softmax_cross_entropy(y_pred, y_true)
    return ops.negative(ops.sum(ops.multiply(y_true, ops.log(_shares(y_pred))), axis=-1))


def categorical_focal_crossentropy(
    y_true: Any, y_pred: Any, alpha: Any = 0.25, gamma: float = 2.0, from_logits: bool = False,
    label_smoothing: float = 0.0, axis: int = -1,
) -> Any:  # fmt: skip
    """`categorical_crossentropy` with each class's part times ``alpha * (1 - y_pred)**gamma``: less for what is right
    already (Lin et al. 2017, arXiv:1708.02002).

    Args:
        alpha: a factor, or one for each class.
        gamma: how much less.
    """
    y_true, y_pred = _one_hot_pair(y_true, y_pred, axis, label_smoothing, "categorical_focal_crossentropy")
    p = _inside(ops.softmax(y_pred)) if from_logits else _shares(y_pred)
    entropies = ops.negative(ops.multiply(y_true, ops.log(p)))
    alpha = ops.cast(_arrays(alpha), type_of(p).dtype) if isinstance(alpha, list | tuple) else alpha
    factors = ops.multiply(ops.power(ops.subtract(1.0, p), gamma), alpha)
    return ops.sum(ops.multiply(factors, entropies), axis=-1)


def sparse_categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, ignore_class: int | None = None, axis: int = -1
) -> Any:
    """`categorical_crossentropy` with the number of the right class.

    Args:
        y_true: integers of the shape of ``y_pred`` without the classes, or with an axis of size one for them.
        ignore_class: a label whose loss is 0.
    """
    labels, y_pred, counted = _labelled(y_true, y_pred, axis, ignore_class)
    logits = y_pred if from_logits else ops.log(_shares(y_pred))
    if counted is not None:
        labels = ops.where(counted, labels, 0)
    losses = ops.sparse_softmax_cross_entropy(logits, labels)
    return losses if counted is None else ops.where(counted, losses, 0.0)


def _labelled(y_true: Any, y_pred: Any, axis: int, ignored: int | None) -> tuple[Any, Any, Any]:
    """Labels, predictions with the classes last, and which labels count (None: all)."""
    y_true, y_pred = _arrays(y_true), floating(_arrays(y_pred))
    labels = labels_of(y_true, y_pred, axis)
    return (
        labels,
        _classes_last(y_pred, axis),
        None if ignored is None else ops.not_equal(labels, ignored),
    )


def categorical_generalized_cross_entropy(y_true: Any, y_pred: Any, q: float) -> Any:
    """``(1 - p**q) / q`` for the probability ``p`` of the right class: between cross-entropy (``q`` to 0) and the
    absolute error (``q`` of 1), which bears wrong labels (Zhang and Sabuncu 2018, arXiv:1805.07836).

    Args:
        y_true: integers ``[...]``.
        y_pred: probabilities ``[..., classes]``.
        q: in (0, 1).
    """
    labels, y_pred, _ = _labelled(y_true, y_pred, -1, None)
    p = ops.squeeze(ops.take_along_axis(y_pred, ops.expand_dims(labels, -1), axis=-1), -1)
    return ops.divide(ops.subtract(1.0, ops.power(p, q)), q)


def _smoothed_answers(y_true: Any, smoothing: float) -> Any:
    return ops.add(ops.multiply(y_true, 1 - smoothing), 0.5 * smoothing) if smoothing else y_true


def binary_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Any:
    """``-y_true * log(y_pred) - (1 - y_true) * log(1 - y_pred)``, the mean over ``axis``.

    Args:
        y_pred: probabilities, or with ``from_logits`` logits.
        label_smoothing: moves the targets this far toward 1/2.
    """
    y_true, y_pred = paired(y_true, y_pred)
    y_true = _smoothed_answers(y_true, label_smoothing)
    if from_logits:
        return ops.mean(ops.sigmoid_cross_entropy(y_pred, y_true), axis=axis)
    return ops.mean(_of_answers(y_true, y_pred), axis=axis)


def _of_answers(y_true: Any, p: Any) -> Any:
    """The cross-entropy of each answer."""
    p = _inside(p)
    yes = ops.multiply(y_true, ops.log(p))
    no = ops.multiply(ops.subtract(1.0, y_true), ops.log(ops.subtract(1.0, p)))
    return ops.negative(ops.add(yes, no))


def binary_focal_crossentropy(
    y_true: Any, y_pred: Any, apply_class_balancing: bool = False, alpha: float = 0.25, gamma: float = 2.0,
    from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1,
) -> Any:  # fmt: skip
    """`binary_crossentropy` with each answer's part times ``(1 - p)**gamma``, ``p`` being the probability given to the
    right answer (Lin et al. 2017, arXiv:1708.02002).

    Args:
        apply_class_balancing: weigh answers "yes" by ``alpha`` and "no" by ``1 - alpha``.
        gamma: how much less what is right already counts.
    """
    y_true, y_pred = paired(y_true, y_pred)
    y_true = _smoothed_answers(y_true, label_smoothing)
    p = ops.sigmoid(y_pred) if from_logits else y_pred

    def by_answer(yes: Any, no: Any) -> Any:
        return ops.add(ops.multiply(y_true, yes), ops.multiply(ops.subtract(1.0, y_true), no))

    factor = ops.power(ops.subtract(1.0, by_answer(p, ops.subtract(1.0, p))), gamma)
    losses = ops.multiply(factor, _of_answers(y_true, p))
    if apply_class_balancing:
        losses = ops.multiply(by_answer(alpha, 1 - alpha), losses)
    return ops.mean(losses, axis=axis)


def kl_divergence(y_true: Any, y_pred: Any) -> Any:
    """``sum(y_true * log(y_true / y_pred))`` over the last axis, of probabilities (Kullback and Leibler 1951)."""
    y_true, y_pred = (ops.clip(y, epsilon(), 1.0) for y in paired(y_true, y_pred))
    return ops.sum(ops.multiply(y_true, ops.log(ops.divide(y_true, y_pred))), axis=-1)


def poisson(y_true: Any, y_pred: Any) -> Any:
    """``mean(y_pred - y_true * log(y_pred))`` over the last axis: of counts ``y_true`` and their expected number."""
    y_true, y_pred = paired(y_true, y_pred)
    logarithm = ops.log(ops.add(y_pred, epsilon()))
    return ops.mean(ops.subtract(y_pred, ops.multiply(y_true, logarithm)), axis=-1)


# ---------------------------------------------------------------- as classes


class CategoricalCrossentropy(StandardLoss):
    """`categorical_crossentropy`, reduced.

    Args:
        from_logits: whether predictions are logits; else probabilities.
        label_smoothing: the share of the target spread evenly over the classes.
        axis: that of the classes.
    """

    function = staticmethod(categorical_crossentropy)
    arguments = ("from_logits", "label_smoothing", "axis")

    @checked
    def __init__(
        self, from_logits: bool = False, label_smoothing: Fraction = 0.0, axis: Axis = -1,
        reduction: Reduction = "sum_over_batch_size", name: LossName = "categorical_crossentropy",
        dtype: DTypeOf = None,
    ) -> None:  # fmt: skip
        super().__init__(name, reduction, dtype)
        self.from_logits, self.label_smoothing, self.axis = from_logits, label_smoothing, axis


class CategoricalFocalCrossentropy(StandardLoss):
    """`categorical_focal_crossentropy`, reduced.

    Args:
        alpha: a factor, or a list with one for each class.
        gamma: how much less what is right already counts.
        from_logits, label_smoothing, axis: as of `CategoricalCrossentropy`.
    """

    function = staticmethod(categorical_focal_crossentropy)
    arguments = ("alpha", "gamma", "from_logits", "label_smoothing", "axis")

    @checked
    def __init__(
        self, alpha: Numbers = 0.25, gamma: Amount = 2.0, from_logits: bool = False, label_smoothing: Fraction = 0.0,
        axis: Axis = -1, reduction: Reduction = "sum_over_batch_size",
        name: LossName = "categorical_focal_crossentropy", dtype: DTypeOf = None,
    ) -> None:  # fmt: skip
        super().__init__(name, reduction, dtype)
        self.alpha, self.gamma = alpha, gamma
        self.from_logits, self.label_smoothing, self.axis = from_logits, label_smoothing, axis


class SparseCategoricalCrossentropy(StandardLoss):
    """`sparse_categorical_crossentropy`, reduced; a label to be ignored does not count in the mean.

    Args:
        from_logits: whether predictions are logits; else probabilities.
        ignore_class: a label that does not count.
        axis: that of the classes in the predictions.
    """

    function = staticmethod(sparse_categorical_crossentropy)
    arguments = ("from_logits", "ignore_class", "axis")
    keeps_targets = True

    @checked
    def __init__(
        self, from_logits: bool = False, ignore_class: int | None = None,
        reduction: Reduction = "sum_over_batch_size", axis: Axis = -1,
        name: LossName = "sparse_categorical_crossentropy", dtype: DTypeOf = None,
    ) -> None:  # fmt: skip
        super().__init__(name, reduction, dtype)
        self.from_logits, self.ignore_class, self.axis = from_logits, ignore_class, axis

    def counted(self, y_true: Any, y_pred: Any, losses: Any) -> Any:
        return _labelled(y_true, y_pred, self.axis, self.ignore_class)[2]

    def classes(self, shape: Sequence[Any]) -> Any:
        return shape[self.axis] if shape else None


class CategoricalGeneralizedCrossEntropy(StandardLoss):
    """`categorical_generalized_cross_entropy`, reduced.

    Args:
        q: in (0, 1); how much wrong labels are borne.
    """

    function = staticmethod(categorical_generalized_cross_entropy)
    arguments = ("q",)
    keeps_targets = True

    @checked
    def __init__(
        self, q: Annotated[float, within("(0, 1)")] = 0.5, reduction: Reduction = "sum_over_batch_size",
        name: LossName = "categorical_generalized_cross_entropy", dtype: DTypeOf = None,
    ) -> None:  # fmt: skip
        super().__init__(name, reduction, dtype)
        self.q = q

    def classes(self, shape: Sequence[Any]) -> Any:
        return shape[-1] if shape else None


class BinaryCrossentropy(StandardLoss):
    """`binary_crossentropy`, reduced.

    Args:
        from_logits: whether predictions are logits; else probabilities.
        label_smoothing: moves the targets this far toward 1/2.
        axis: that of which the mean is taken.
    """

    function = staticmethod(binary_crossentropy)
    arguments = ("from_logits", "label_smoothing", "axis")

    @checked
    def __init__(
        self, from_logits: bool = False, label_smoothing: Fraction = 0.0, axis: Axis = -1,
        reduction: Reduction = "sum_over_batch_size", name: LossName = "binary_crossentropy",
        dtype: DTypeOf = None,
    ) -> None:  # fmt: skip
        super().__init__(name, reduction, dtype)
        self.from_logits, self.label_smoothing, self.axis = from_logits, label_smoothing, axis


class BinaryFocalCrossentropy(StandardLoss):
    """`binary_focal_crossentropy`, reduced.

    Args:
        apply_class_balancing: weigh answers "yes" by ``alpha`` and "no" by ``1 - alpha``.
        gamma: how much less what is right already counts.
        from_logits, label_smoothing, axis: as of `BinaryCrossentropy`.
    """

    function = staticmethod(binary_focal_crossentropy)
    arguments = ("apply_class_balancing", "alpha", "gamma", "from_logits", "label_smoothing", "axis")

    @checked
    def __init__(
        self, apply_class_balancing: bool = False, alpha: Fraction = 0.25, gamma: Amount = 2.0,
        from_logits: bool = False, label_smoothing: Fraction = 0.0, axis: Axis = -1,
        reduction: Reduction = "sum_over_batch_size", name: LossName = "binary_focal_crossentropy",
        dtype: DTypeOf = None,
    ) -> None:  # fmt: skip
        super().__init__(name, reduction, dtype)
        self.apply_class_balancing, self.alpha, self.gamma = apply_class_balancing, alpha, gamma
        self.from_logits, self.label_smoothing, self.axis = from_logits, label_smoothing, axis


class KLDivergence(StandardLoss):
    """`kl_divergence`, reduced."""

    function = staticmethod(kl_divergence)

    @checked
    def __init__(
        self, reduction: Reduction = "sum_over_batch_size", name: LossName = "kl_divergence", dtype: DTypeOf = None
    ) -> None:  # fmt: skip
        super().__init__(name, reduction, dtype)


class Poisson(StandardLoss):
    """`poisson`, reduced."""

    function = staticmethod(poisson)

    @checked
    def __init__(
        self, reduction: Reduction = "sum_over_batch_size", name: LossName = "poisson", dtype: DTypeOf = None
    ) -> None:
        super().__init__(name, reduction, dtype)
