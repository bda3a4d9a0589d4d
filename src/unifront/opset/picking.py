"""Elements picked by their rank, by a list of conditions, by being among others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unifront.dtypes import DTypeLike, floatx, int32
from unifront.errors import ArgumentError, ShapeError
from unifront.opset import comparison, creation, index, reduce
from unifront.opset import elementwise as e
from unifront.opset.elementwise import TensorLike
from unifront.opset.rules import axis_in, is_whole, show
from unifront.opset.shape import expand_dims, reshape
from unifront.opset.tensor import replayed, type_of


def argpartition(x: TensorLike, kth: int, axis: int | None = -1) -> Any:
    """Positions (int32) along ``axis`` in an order in which no element before the ``kth`` is larger than it, and none
    behind it smaller (NumPy argpartition). The whole axis is sorted.

    Args:
        axis: None takes ``x`` flattened.

    Raises `ArgumentError` unless ``kth`` is an int, `ShapeError` where the axis has no such element.
    """
    if not is_whole(kth):
        raise ArgumentError(f"argpartition: kth is an int, not {kth!r}.")
    type_ = type_of(x)
    length = type_.size if axis is None else type_.shape[axis_in(axis, type_.rank)]
    if isinstance(length, int) and not -length <= kth <= length:
        raise ShapeError(
            f"argpartition: of {length} elements of the shape {show(type_.shape)} none is number {kth}."
        )
    return index.argsort(x, axis)


@replayed
def in_top_k(targets: TensorLike, predictions: TensorLike, k: int) -> Any:
    """Whether the prediction for each target is among the ``k`` highest of its row (TensorFlow in_top_k).

    Args:
        targets: integers ``[batch]``: the place of one class in each row.
        predictions: ``[batch, classes]``. All that are equal to the ``k``-th highest count as among them. A target
            that is no class is among none.

    Raises `ShapeError` where the two do not fit.
    """
    rows, places = type_of(predictions), type_of(targets)
    if rows.rank != places.rank + 1 or not rows.rank:
        raise ShapeError(
            f"in_top_k: targets of the shape {show(places.shape)} name no class in each row of predictions "
            f"of the shape {show(rows.shape)}."
        )
    classes = creation.full((), rows.shape[-1], places.dtype, like=predictions)
    known = comparison.logical_and(comparison.greater_equal(targets, 0), comparison.less(targets, classes))
    own = index.take_along_axis(predictions, expand_dims(e.where(known, targets, 0), -1), -1)
    higher = reduce.sum(e.cast(comparison.greater(predictions, own), int32), -1)
    finite = comparison.less(e.abs(e.subtract(own, own)), 1)  # of infinity and NaN the difference is NaN
    among = comparison.logical_and(comparison.less(higher, k), reshape(finite, places.shape))
    return comparison.logical_and(among, known)


@replayed
def multi_hot(
    inputs: TensorLike,
    num_classes: int | None = None,
    axis: int = -1,
    dtype: DTypeLike | None = None,
    sparse: bool = False,
    **kwargs: Any,
) -> Any:
    """1 at each class that a row of ``inputs`` names, 0 elsewhere (Keras multi_hot).

    Args:
        inputs: integers ``[..., names]``, or one such row: what is outside ``[0, num_classes)`` names no class.
        axis: where the classes stand in the result.
        dtype: of the result, ``floatx`` unless given.
        sparse: there are dense tensors only.

    Raises `ArgumentError` without ``num_classes``.
    """
    num_classes = kwargs.pop("num_tokens", num_classes)
    if kwargs or num_classes is None:
        raise ArgumentError(f"multi_hot: give num_classes; given were {sorted(kwargs) or 'none'}.")
    index.need_dense("multi_hot", sparse)
    rank = type_of(inputs).rank
    found = index.one_hot(inputs, num_classes, axis, floatx() if dtype is None else dtype)
    return reduce.max(found, 1 if rank > 1 else 0)


@replayed
def isin(x1: TensorLike, x2: TensorLike, assume_unique: bool = False, invert: bool = False) -> Any:
    """Whether each element of ``x1`` is among those of ``x2``, in the shape of ``x1`` (NumPy isin).

    Args:
        assume_unique: changes nothing: all are compared.
        invert: whether it is not.
    """
    same = comparison.equal(expand_dims(x1, -1), reshape(x2, (-1,)))
    found = reduce.any(same, -1)
    return comparison.logical_not(found) if invert else found


def select(condlist: Sequence[TensorLike], choicelist: Sequence[TensorLike], default: TensorLike = 0) -> Any:
    """Elements of the first of ``choicelist`` whose condition holds, else of ``default`` (NumPy select).

    Raises `ArgumentError` unless there is one choice for each condition, and one at least.
    """
    condlist, choicelist = list(condlist), list(choicelist)
    if len(condlist) != len(choicelist) or not condlist:
        raise ArgumentError(
            f"select: there is one choice for each condition; given were {len(condlist)} conditions and "
            f"{len(choicelist)} choices."
        )
    found = default
    for condition, choice in zip(condlist[::-1], choicelist[::-1], strict=True):
        found = e.where(condition, choice, found)
    return found
