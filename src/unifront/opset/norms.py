"""Norms of vectors and matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unifront.errors import ArgumentError, ShapeError
from unifront.opset import comparison, reduce
from unifront.opset import elementwise as e
from unifront.opset.elementwise import TensorLike
from unifront.opset.factorizations import svd
from unifront.opset.rules import axes_in, axis_in, show
from unifront.opset.shape import expand_dims, moveaxis, squeeze
from unifront.opset.tensor import type_of

_MATRIX_ORDERS = (None, "fro", "nuc", 1, -1, 2, -2, float("inf"), float("-inf"))


def cdist(x: TensorLike, y: TensorLike) -> Any:
    """The Euclidean distance of each vector of ``x`` to each of ``y`` (SciPy spatial.distance.cdist).

    Args:
        x: ``[..., m, d]``.
        y: ``[..., n, d]``. What is before the last two axes broadcasts; both are promoted to one float dtype.

    Returns ``[..., m, n]``. The gradient of a distance of 0 is 0. Raises `ShapeError` for fewer than two axes, or
    where the vectors are not equally long.

    Example::

        uf.ops.cdist(np.zeros((1, 2)), np.array([[3.0, 4.0]]))  # [[5.0]]
    """
    x, y = (e.floating(one) for one in e.promoted(x, y))
    shapes = [type_of(one).shape for one in (x, y)]
    if min(map(len, shapes)) < 2 or shapes[0][-1] != shapes[1][-1]:
        raise ShapeError(
            "cdist: the operands are [..., m, d] and [..., n, d]; the shapes are "
            f"{show(shapes[0])} and {show(shapes[1])}."
        )
    squares = reduce.sum(e.square(e.subtract(expand_dims(x, -2), expand_dims(y, -3))), axis=-1)
    apart = comparison.greater(squares, 0)
    return e.where(apart, e.sqrt(e.where(apart, squares, 1)), squares)


def norm(
    x: TensorLike,
    ord: int | float | str | None = None,
    axis: int | Sequence[int] | None = None,
    keepdims: bool = False,
) -> Any:
    """The norm of vectors or matrices (NumPy linalg.norm).

    Args:
        ord: of vectors any number; of matrices 1, -1, 2, -2, inf, -inf, ``"fro"`` or ``"nuc"``. None means the root
            of the sum of squares.
        axis: one axis with vectors, or two with the rows and the columns of matrices. None: all of ``x``, which is a
            vector or a matrix if an order is given.
        keepdims: leave the axes, one long.

    Integers and booleans become float32. Raises `ShapeError` for axes, `ArgumentError` for an order that there is none.
    """
    x = e.floating(x)
    rank = type_of(x).rank
    given = tuple(range(rank)) if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
    axes_in(given, rank)
    axes = tuple(axis_in(one, rank) for one in given)
    if ord is None and (axis is None or len(axes) <= 2):
        return _root_of_squares(x, axes, keepdims)
    if len(axes) == 1:
        return _vector_norm(x, ord, axes[0], keepdims)
    if len(axes) == 2:
        return _matrix_norm(x, ord, axes, keepdims)
    raise ShapeError(
        f"norm: axis names the axis of vectors or the two of matrices; these are {len(axes)}: {axes}."
    )


def _root_of_squares(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    size = e.abs(x) if type_of(x).dtype.is_complex else x
    return e.sqrt(reduce.sum(e.square(size), axis=axes, keepdims=keepdims))


def _vector_norm(x: Any, ord: Any, axis: int, keepdims: bool) -> Any:
    if isinstance(ord, str):
        raise ArgumentError(f"norm: the order of a vector's norm is a number, not {ord!r}.")
    if ord == 2:
        return _root_of_squares(x, (axis,), keepdims)
    size = e.abs(x)
    if ord in (float("inf"), float("-inf")):
        reduction = reduce.max if ord > 0 else reduce.min
        return reduction(size, axis=axis, keepdims=keepdims)
    if ord == 0:
        return reduce.sum(e.cast(e.not_equal(size, 0), type_of(size).dtype), axis=axis, keepdims=keepdims)
    if ord == 1:
        return reduce.sum(size, axis=axis, keepdims=keepdims)
    return e.power(reduce.sum(e.power(size, ord), axis=axis, keepdims=keepdims), 1 / ord)


def _matrix_norm(x: Any, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    if ord not in _MATRIX_ORDERS:
        raise ArgumentError(
            f"norm: the order of a matrix's norm is one of {_MATRIX_ORDERS[1:]}, not {ord!r}."
        )
    if ord == "fro":
        return _root_of_squares(x, axes, keepdims)
    if ord in ("nuc", 2, -2):
        values = svd(moveaxis(x, axes, (-2, -1)), compute_uv=False)
        reduction = {"nuc": reduce.sum, 2: reduce.max, -2: reduce.min}[ord]
        found = reduction(values, axis=-1)
        return expand_dims(found, sorted(axes)) if keepdims else found
    summed, other = axes if ord in (1, -1) else axes[::-1]
    sums = reduce.sum(e.abs(x), axis=summed, keepdims=True)
    reduction = reduce.max if ord > 0 else reduce.min
    found = reduction(sums, axis=other, keepdims=True)
    return found if keepdims else squeeze(found, axes)
