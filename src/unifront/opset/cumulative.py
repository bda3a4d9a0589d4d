"""Running sums and products, differences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from unifront.dtypes import DTypeLike, bool_
from unifront.errors import ArgumentError
from unifront.ir import facts
from unifront.ir.types import TensorType
from unifront.opset import elementwise as e
from unifront.opset.casting import TensorLike, cast, floating
from unifront.opset.comparison import not_equal
from unifront.opset.making import counted, number_rule
from unifront.opset.reduce import sum as sum_
from unifront.opset.rules import axis_in
from unifront.opset.shape import flatten, reshape
from unifront.opset.slicing import get_item
from unifront.opset.spec import OpSpec, Sample, register
from unifront.opset.tensor import bind, replayed, type_of


def _cumsum_rule(x: TensorType, axis: int, reverse: bool, exclusive: bool) -> TensorType:
    axis_in(axis, x.rank)
    return number_rule(x, (), True)


def _cumsum(x: np.ndarray, axis: int, reverse: bool, exclusive: bool) -> np.ndarray:
    x = np.moveaxis(x, axis, 0)[:: -1 if reverse else 1]
    if exclusive:
        x = np.concatenate([np.zeros_like(x[:1]), x[:-1]])
    return np.moveaxis(np.cumsum(x, axis=0)[:: -1 if reverse else 1], 0, axis)


def _cumsum_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, axis, reverse, exclusive in (
        ((4,), 0, False, False), ((2, 3), 1, True, False), ((3, 2), 0, False, True),
        ((2, 3, 1), 1, True, True), ((2, 0), 1, False, True),
    ):  # fmt: skip
        yield Sample((rng.normal(size=shape),), {"axis": axis, "reverse": reverse, "exclusive": exclusive})
    yield Sample((np.arange(4, dtype="int32"),), {"axis": 0, "reverse": False, "exclusive": True})


CUMSUM = register(
    OpSpec(
        "cumsum", _cumsum_rule, _cumsum, _cumsum_samples, "ONNX CumSum; NumPy cumsum",
        {"axis": int, "reverse": bool, "exclusive": bool},
        facts=facts.along(facts.ALONG_AXIS, "float32", keeps_zeros=True, sign="kept"),
    )
)  # fmt: skip


def _running(function: Callable[..., Any], x: TensorLike, axis: int | None, dtype: DTypeLike | None) -> Any:
    x = counted(x if dtype is None else cast(x, dtype))
    return function(flatten(x), 0) if axis is None else function(x, axis_in(axis, type_of(x).rank))


def cumsum(
    x: TensorLike,
    axis: int | None = None,
    dtype: DTypeLike | None = None,
    *,
    reverse: bool = False,
    exclusive: bool = False,
) -> Any:
    """Running sums of ``x`` along ``axis``, None: of the flattened ``x`` (ONNX CumSum; NumPy cumsum).

    Args:
        dtype: in which they are computed; None: that of ``x``, of booleans int32.
        reverse: sum from the end.
        exclusive: leave each element out of its own sum.
    """
    return _running(
        lambda x, axis: bind(CUMSUM, x, axis=axis, reverse=bool(reverse), exclusive=bool(exclusive)),
        x, axis, dtype,
    )  # fmt: skip


def _cumprod_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, axis in (((4,), 0), ((2, 3), 1), ((3, 2), 0), ((2, 0), 1), ((2, 3, 1), 2)):
        yield Sample((np.copysign(rng.uniform(0.5, 1.5, shape), rng.normal(size=shape)),), {"axis": axis})
    yield Sample((np.array([[3, 0, 2], [1, -2, 5]], "int32"),), {"axis": 1})


CUMPROD = register(
    OpSpec(
        "cumprod",
        lambda x, axis: number_rule(x, (), True) if axis_in(axis, x.rank) is not None else x,
        lambda x, axis: np.cumprod(x, axis=axis, dtype=x.dtype),
        _cumprod_samples,
        "NumPy cumprod; ONNX CumProd-26",
        {"axis": int},
        facts=facts.along(facts.ALONG_AXIS, "float32", keeps_zeros=True, sign="any"),
    )
)


def cumprod(x: TensorLike, axis: int | None = None, dtype: DTypeLike | None = None) -> Any:
    """Running products of ``x`` along ``axis``, None: of the flattened ``x`` (NumPy cumprod).

    Args:
        dtype: in which they are computed; None: that of ``x``, of booleans int32.
    """
    return _running(lambda x, axis: bind(CUMPROD, x, axis=axis), x, axis, dtype)


def nancumsum(x: TensorLike, axis: int | None = None, dtype: DTypeLike | None = None) -> Any:
    """`cumsum`, to which nan adds nothing (NumPy nancumsum)."""
    return cumsum(_without_nan(x, 0), axis, dtype)


def nancumprod(x: TensorLike, axis: int | None = None, dtype: DTypeLike | None = None) -> Any:
    """`cumprod`, which nan does not change (NumPy nancumprod)."""
    return cumprod(_without_nan(x, 1), axis, dtype)


def _without_nan(x: TensorLike, neutral: int) -> Any:
    return e.where(not_equal(x, x), neutral, x) if type_of(x).dtype.kind in "fc" else x


@replayed
def diff(a: TensorLike, n: int = 1, axis: int = -1) -> Any:
    """Differences of neighbours along ``axis``, ``n`` times over (NumPy diff); of booleans, whether they differ.

    Raises `ArgumentError` if ``n`` is negative, `ShapeError` for an axis that ``a`` has not.
    """
    if n < 0:
        raise ArgumentError(f"diff: n is an int from 0 up, not {n}.")
    axis = axis_in(axis, type_of(a).rank)
    subtract = not_equal if type_of(a).dtype == bool_ else e.subtract
    length = type_of(a).shape[axis]
    for _ in range(min(n, length) if isinstance(length, int) else n):  # nothing has no differences either
        a = subtract(_part(a, axis, slice(1, None)), _part(a, axis, slice(None, -1)))
    return a


def _part(x: TensorLike, axis: int, part: slice) -> Any:
    return get_item(x, (*(slice(None),) * axis, part))


@replayed
def trapezoid(y: TensorLike, x: TensorLike | None = None, dx: TensorLike = 1.0, axis: int = -1) -> Any:
    """The integral of ``y`` along ``axis`` by the trapezoidal rule (NumPy trapezoid).

    Args:
        x: the places of the samples, of the shape of ``y`` or of its axis; None: ``dx`` apart.
        dx: the distance of the samples where there is no ``x``.

    Integers and booleans become float32.
    """
    y = floating(y)
    axis, rank = axis_in(axis, type_of(y).rank), type_of(y).rank
    width: Any = dx
    if x is not None:
        x = floating(x)
        if type_of(x).rank == 1:
            width = reshape(diff(x), (-1, *(1,) * (rank - 1 - axis)))
        else:
            width = diff(x, axis=axis)
    sums = e.add(_part(y, axis, slice(1, None)), _part(y, axis, slice(None, -1)))
    return e.multiply(sum_(e.multiply(sums, width), axis), 0.5)
