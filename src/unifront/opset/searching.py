"""Places of values in sorted ones, and counts by place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from unifront.dtypes import bool_, int32
from unifront.errors import ArgumentError, DTypeError, ShapeError
from unifront.ir import facts
from unifront.ir.types import TensorType
from unifront.opset import comparison, reduce
from unifront.opset import elementwise as e
from unifront.opset.casting import TensorLike, cast, floating, promoted
from unifront.opset.creation import bind_size, full
from unifront.opset.ranges import linspace
from unifront.opset.rules import need_rank, same_dtype, show
from unifront.opset.segments import segment_sum
from unifront.opset.shape import stack, unstack
from unifront.opset.spec import OpSpec, Sample, register
from unifront.opset.tensor import bind, replayed, type_of


def _search_rule(sorted_sequence: TensorType, values: TensorType, right: bool) -> TensorType:
    need_rank(sorted_sequence, 1, "sorted_sequence")
    if same_dtype(sorted_sequence, values).kind not in "iuf":
        raise DTypeError(f"searchsorted takes numbers, not {values.dtype}.")
    return values.with_dtype(int32)


def _search_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for size, shape, right in (
        ((5), (3,), False),
        (4, (2, 3), True),
        (3, (), False),
        (0, (2,), True),
        (2, (0,), True),
    ):
        yield Sample((np.sort(rng.normal(size=size)), rng.normal(size=shape)), {"right": right})
    for right in (False, True):  # equal ones
        found = np.array([1, 2, 2, 5], "int32"), np.array([0, 1, 2, 3, 5, 6], "int32")
        yield Sample(found, {"right": right})


SEARCHSORTED = register(
    OpSpec(
        "searchsorted",
        _search_rule,
        lambda sorted_sequence, values, right: np.searchsorted(
            sorted_sequence, values, "right" if right else "left"
        ).astype(np.int32),
        _search_samples,
        "NumPy searchsorted",
        {"right": bool},
        differentiable=False,
        facts=facts.along(None, "float32", keeps_zeros=False, sign="not negative"),
    )
)


def searchsorted(sorted_sequence: TensorLike, values: TensorLike, side: str = "left") -> Any:
    """Before which element of ``sorted_sequence`` each of ``values`` belongs, int32 (NumPy searchsorted).

    Args:
        sorted_sequence: numbers in ascending order, of one dimension.
        side: ``"left"`` or ``"right"`` of elements that are equal to the value.

    The two are promoted to one dtype. Raises `ShapeError` for other ranks, `ArgumentError` for another side.
    """
    if side not in ("left", "right"):
        raise ArgumentError(f"searchsorted: side is 'left' or 'right', not {side!r}.")
    sorted_sequence, values = promoted(sorted_sequence, values)
    return bind(SEARCHSORTED, sorted_sequence, values, right=side == "right")


def digitize(x: TensorLike, bins: TensorLike) -> Any:
    """The number of the bin that each element of ``x`` falls in, int32 (NumPy digitize).

    Args:
        bins: the edges in ascending order, of one dimension; each belongs to the bin above it.
    """
    if type_of(x).dtype is bool_:
        x = cast(x, int32)
    return searchsorted(bins, x, "right")


@replayed
def bincount(
    x: TensorLike, weights: TensorLike | None = None, minlength: int = 0, sparse: bool = False
) -> Any:
    """How often each number from 0 on occurs in ``x`` (NumPy bincount).

    Args:
        x: integers from 0 up, of one dimension or two: then each row is counted by itself.
        weights: of the shape of ``x``: what each element counts.
        minlength: how many counts there are at least. There are more if ``x`` has larger numbers.
        sparse: is False; unifront has no sparse tensors.

    The counts are int32, with ``weights`` of the dtype in which they meet ``x``. Under ``jax.jit``, which needs sizes,
    use `segment_sum`. Raises `DTypeError` for other numbers, `ShapeError` for other ranks.
    """
    if sparse:
        raise ArgumentError("bincount: unifront has no sparse tensors; leave sparse=False.")
    given = type_of(x)
    if not given.dtype.is_integer:
        raise DTypeError(f"bincount: x holds integers, not {given.dtype}.")
    if given.rank not in (1, 2):
        raise ShapeError(f"bincount: x has one dimension or two, not the shape {show(given.shape)}.")
    if weights is None:
        counted = e.add(e.multiply(cast(x, int32), 0), 1)
    else:
        counted = promoted(x, weights)[1]
        if type_of(counted).shape != given.shape:
            raise ShapeError(
                f"bincount: weights of shape {show(type_of(counted).shape)} do not fit x of shape {show(given.shape)}."
            )
    places = cast(x, int32)
    size = e.maximum(e.add(reduce.max(places, initial=-1), 1), minlength)
    length: Any
    (length,) = type_of(bind_size(size, "bins")).shape
    if given.rank == 1:
        return segment_sum(counted, places, length)
    rows = zip(unstack(counted), unstack(places), strict=True)
    return stack([segment_sum(row, place, length) for row, place in rows])


@replayed
def histogram(x: TensorLike, bins: int = 10, range: tuple[float, float] | None = None) -> tuple[Any, Any]:
    """How many elements of ``x`` fall in each of ``bins`` bins of one width, int32, and their edges (NumPy histogram).

    Args:
        x: numbers, of one dimension; integers become float32.
        bins: how many bins.
        range: where the first begins and the last ends; None: the smallest and the largest of ``x``.

    An edge belongs to the bin above it, the last one to the last bin; what is outside the range is not counted.
    """
    if not isinstance(bins, int) or isinstance(bins, bool):
        raise DTypeError(f"Argument `bins` must be of type `int`, not {bins!r}.")
    if bins < 0:
        raise ArgumentError(f"Argument `bins` should be a non-negative integer, not {bins}.")
    x = floating(_vector(x))
    if range is not None and (not isinstance(range, list | tuple) or range):
        bounds = isinstance(range, list | tuple) and len(range) == 2
        if not bounds or not all(isinstance(one, int | float | np.number) for one in range):
            raise ArgumentError(f"Argument `range` must be a tuple of two elements, not {range!r}.")
        if range[1] < range[0]:
            raise ArgumentError(
                f"The second element of `range` must be greater than the first; given was {range}."
            )
        low, high = (full((), float(one), type_of(x).dtype, like=x) for one in range)
    else:
        low, high = reduce.min(x, initial=np.inf), reduce.max(x, initial=-np.inf)
        nothing = comparison.greater(low, high)
        low, high = e.where(nothing, 0.0, low), e.where(nothing, 1.0, high)
    flat = comparison.equal(low, high)
    low, high = e.where(flat, e.subtract(low, 0.5), low), e.where(flat, e.add(high, 0.5), high)
    edges = linspace(low, high, bins + 1)
    place = e.subtract(searchsorted(edges, x, "right"), 1)
    place = e.where(comparison.equal(x, high), bins - 1, place)
    counts = segment_sum(cast(e.add(e.multiply(place, 0), 1), int32), place, bins)
    return counts, edges


def _vector(x: TensorLike) -> Any:
    if type_of(x).rank != 1:
        raise ShapeError(
            f"histogram: Input tensor must be 1-dimensional, not of shape {show(type_of(x).shape)}."
        )
    return x
