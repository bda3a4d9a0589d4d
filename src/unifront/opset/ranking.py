"""Where elements stand among others."""

from __future__ import annotations

from typing import Any

from unifront.dtypes import int32
from unifront.errors import ShapeError
from unifront.opset import elementwise as e
from unifront.opset import reduce
from unifront.opset.creation import iota
from unifront.opset.elementwise import TensorLike
from unifront.opset.rules import alike, show, whole
from unifront.opset.shape import expand_dims
from unifront.opset.tensor import replayed, type_of


@replayed
def in_top_k(targets: TensorLike, predictions: TensorLike, k: int) -> Any:
    """Whether fewer than ``k`` predictions are larger than that of the target (Keras ops.in_top_k; tf.math.in_top_k).

    Args:
        targets: ``[n]``, the positions of the targets. That of one which there is not is false.
        predictions: ``[n, classes]``. Where the target's is NaN the result is false.

    Returns booleans, ``[n]``. Raises `ShapeError` if they do not fit.

    Example::

        uf.ops.in_top_k(np.array([1, 0]), np.array([[0.2, 0.8], [0.3, 0.7]]), k=1)  # [True, False]
    """
    own, theirs = type_of(targets).shape, type_of(predictions).shape
    if len(own) != 1 or len(theirs) != 2 or not alike(own, theirs[:1]):
        raise ShapeError(
            f"in_top_k: the targets are [n] and the predictions [n, classes]; they are {show(own)} and {show(theirs)}."
        )
    classes = iota((1, theirs[1]), 1, like=predictions)
    is_target = e.equal(classes, expand_dims(e.cast(targets, int32), -1))
    value = reduce.sum(e.where(is_target, predictions, 0), axis=-1, keepdims=True)
    larger = reduce.sum(e.cast(e.greater(predictions, value), int32), axis=-1)
    known = reduce.any(e.logical_and(is_target, e.equal(value, value)), axis=-1)
    return e.logical_and(known, e.less(larger, whole(k, "in_top_k: k")))
