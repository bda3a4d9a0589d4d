"""Losses of whole structures: regions of a picture, sequences of labels, embeddings beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np

from unifront import ops
from unifront.arguments import Amount, checked, meant, within
from unifront.config import epsilon
from unifront.errors import ArgumentError, ShapeError
from unifront.opset.elementwise import floating
from unifront.opset.rules import show
from unifront.opset.tensor import type_of
from unifront.train.losses.base import DTypeOf, LossName, Reduction, StandardLoss, _arrays, paired


def _axes(given: Any) -> Any:
    """Axes as Keras takes them: None for all, an int or several."""
    if given is None or (isinstance(given, int | np.integer) and not isinstance(given, bool)):
        return given
    if isinstance(given, Sequence) and all(type(axis) is int for axis in given):
        return tuple(given)
    raise ArgumentError(f"Axes are None, an int or several ints, not {given!r}.")


RegionAxes = Annotated[int | Sequence[int] | None, meant(_axes)]
"""Over which axes a region extends; None for all."""


def dice(y_true: Any, y_pred: Any, axis: int | Sequence[int] | None = None) -> Any:
    """``1 - 2 * overlap / (sum(y_true) + sum(y_pred))`` over ``axis`` (Dice 1945).

    Args:
        y_true, y_pred: how much each element belongs to the region, in [0, 1].
        axis: over which the regions extend; None for all.
    """
    y_true, y_pred = paired(y_true, y_pred)
    axis = _axes(axis)
    overlap = ops.sum(ops.multiply(y_true, y_pred), axis=axis)
    both = ops.add(ops.add(ops.sum(y_true, axis=axis), ops.sum(y_pred, axis=axis)), epsilon())
    return ops.subtract(1.0, ops.divide(ops.multiply(2.0, overlap), both))


def tversky(
    y_true: Any, y_pred: Any, alpha: float = 0.5, beta: float = 0.5, axis: int | Sequence[int] | None = None
) -> Any:
    """``1 - overlap / (overlap + alpha * missed + beta * added)`` over ``axis`` (Salehi et al. 2017,
    arXiv:1706.05721); `dice` where both factors are 1/2.

    Args:
        alpha: the factor of what ``y_true`` has and ``y_pred`` has not, as Keras counts them; ``beta`` of the reverse.
    """
    y_true, y_pred = paired(y_true, y_pred)
    axis = _axes(axis)

    def common(a: Any, b: Any) -> Any:
        return ops.sum(ops.multiply(a, b), axis=axis)

    overlap = common(y_true, y_pred)
    missed, added = common(ops.subtract(1.0, y_pred), y_true), common(y_pred, ops.subtract(1.0, y_true))
    wrong = ops.add(ops.multiply(missed, alpha), ops.multiply(added, beta))
    return ops.subtract(1.0, ops.divide(overlap, ops.add(ops.add(overlap, wrong), epsilon())))


def circle(
    y_true: Any, y_pred: Any, ref_labels: Any = None, ref_embeddings: Any = None, remove_diagonal: bool = True,
    gamma: float = 80, margin: float = 0.4,
) -> Any:  # fmt: skip
    """How far embeddings of one label are from each other, and how near those of others (Sun et al. 2020,
    arXiv:2002.10857).

    Args:
        y_true: integer labels ``[batch]`` or ``[batch, 1]``.
        y_pred: embeddings of length one ``[batch, features]``.
        ref_labels, ref_embeddings: what to compare with; the batch itself unless given.
        remove_diagonal: whether an embedding is not compared with the one at its place.
        gamma: the scale, ``margin`` the relaxation of the paper.
    """
    labels, embeddings = _arrays(y_true), floating(_arrays(y_pred))
    others = embeddings if ref_embeddings is None else ops.cast(ref_embeddings, type_of(embeddings).dtype)
    mine, theirs = (
        ops.reshape(ops.cast(one, "int32"), shape)
        for one, shape in (
            (labels, (-1, 1)),
            (labels if ref_labels is None else _arrays(ref_labels), (1, -1)),
        )
    )
    alike = ops.equal(mine, theirs)
    unlike = ops.logical_not(alike)
    if remove_diagonal:
        place, place_of_other = (
            ops.cumsum(ops.ones_like(one), axis) for axis, one in enumerate((mine, theirs))
        )
        alike = ops.logical_and(alike, ops.not_equal(place, place_of_other))
    distances = ops.maximum(ops.subtract(1.0, ops.matmul(embeddings, ops.transpose(others))), 0.0)
    lowest = float(np.finfo(np.float32).min) / 2 if type_of(distances).dtype.bits > 16 else -3e4

    def total(which: Any, weights: Any, offsets: Any) -> Any:
        # What is not among `which` gets a number that no sum notices. Minus infinity would have no gradient.
        scores = ops.multiply(ops.multiply(ops.maximum(weights, 0.0), offsets), gamma)
        return ops.logsumexp(ops.where(which, scores, lowest), axis=1)

    positive = total(alike, ops.add(distances, margin), ops.subtract(distances, margin))
    negative = total(unlike, ops.subtract(1 + margin, distances), ops.subtract(1 - margin, distances))
    return ops.softplus(ops.add(positive, negative))


def ctc(y_true: Any, y_pred: Any) -> Any:
    """``-log`` of the probability of the labels over all ways to spread them over the steps (Graves et al. 2006).

    Args:
        y_true: labels ``[batch, labels]`` from 1; 0 is the blank, and what pads short rows.
        y_pred: logits ``[batch, steps, classes]``.
    """
    y_true, y_pred = _arrays(y_true), floating(_arrays(y_pred))
    for what, y, rank, form in (
        ("targets", y_true, 2, "[batch, labels]"), ("predictions", y_pred, 3, "[batch, steps, classes]"),
    ):  # fmt: skip
        if type_of(y).rank != rank:
            raise ShapeError(f"ctc: the {what} are {form}; their shape is {show(type_of(y).shape)}.")
    labels = ops.cast(y_true, "int32")
    count = ops.sum(ops.cast(ops.not_equal(labels, 0), "int32"), axis=-1)
    steps = ops.multiply(ops.ones_like(count), ops.full((), type_of(y_pred).shape[1], "int32", like=labels))
    return ops.ctc_loss(labels, y_pred, count, steps, mask_index=0)


# ---------------------------------------------------------------- as classes


class Dice(StandardLoss):
    """`dice`, reduced.

    Args:
        axis: over which the regions extend; None for all.
    """

    function = staticmethod(dice)
    arguments = ("axis",)

    @checked
    def __init__(
        self, reduction: Reduction = "sum_over_batch_size", name: LossName = "dice", axis: RegionAxes = None,
        dtype: DTypeOf = None,
    ) -> None:  # fmt: skip
        super().__init__(name, reduction, dtype)
        self.axis = axis


class Tversky(StandardLoss):
    """`tversky`, reduced.

    Args:
        alpha, beta: the factors of what is missed and what is added.
        axis: over which the regions extend; None for all.
    """

    function = staticmethod(tversky)
    arguments = ("alpha", "beta", "axis")

    @checked
    def __init__(
        self, alpha: Amount = 0.5, beta: Amount = 0.5, reduction: Reduction = "sum_over_batch_size",
        name: LossName = "tversky", axis: RegionAxes = None, dtype: DTypeOf = None,
    ) -> None:  # fmt: skip
        super().__init__(name, reduction, dtype)
        self.alpha, self.beta, self.axis = alpha, beta, axis


class Circle(StandardLoss):
    """`circle` within the batch, reduced; embeddings without a loss do not count in the mean.

    Args:
        gamma: the scale, ``margin`` the relaxation, in [0, 1].
        remove_diagonal: whether an embedding is not compared with itself.
    """

    function = staticmethod(circle)
    arguments = ("gamma", "margin", "remove_diagonal")
    keeps_targets = True

    @checked
    def __init__(
        self, gamma: Amount = 80.0, margin: Annotated[float, within("[0, 1]")] = 0.4, remove_diagonal: bool = True,
        reduction: Reduction = "sum_over_batch_size", name: LossName = "circle", dtype: DTypeOf = None,
    ) -> None:  # fmt: skip
        super().__init__(name, reduction, dtype)
        self.gamma, self.margin, self.remove_diagonal = gamma, margin, remove_diagonal

    def counted(self, y_true: Any, y_pred: Any, losses: Any) -> Any:
        return ops.greater(losses, 0.0)


class CTC(StandardLoss):
    """`ctc`, reduced."""

    function = staticmethod(ctc)
    keeps_targets = True
    lengths_differ = True

    @checked
    def __init__(
        self, reduction: Reduction = "sum_over_batch_size", name: LossName = "ctc", dtype: DTypeOf = None
    ) -> None:
        super().__init__(name, reduction, dtype)

    def classes(self, shape: Sequence[Any]) -> Any:
        return shape[-1] if shape else None
