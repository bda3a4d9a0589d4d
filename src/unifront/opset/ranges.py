"""Numbers at even distances between two ends, and the windows of signal processing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from unifront.dtypes import DTypeLike, dtype_of, floatx, int32, promote
from unifront.errors import ArgumentError
from unifront.opset import comparison, creation
from unifront.opset import elementwise as e
from unifront.opset.elementwise import TensorLike
from unifront.opset.rules import axis_in, broadcast, whole
from unifront.opset.shape import broadcast_to, moveaxis
from unifront.opset.tensor import Tensor, is_tensor, replayed, to_numpy, type_of


def _count(value: Any, name: str) -> int:
    """A number of elements: an int, or an integer scalar that is an array."""
    if isinstance(value, Tensor):
        raise ArgumentError(f"{name} has no value while a graph is traced; give an int.")
    if is_tensor(value) and type_of(value).dtype.is_integer and not type_of(value).shape:
        value = int(to_numpy(value))
    return whole(value, name)


def _ends(start: Any, stop: Any, dtype: DTypeLike | None) -> tuple[Any, Any, Any]:
    """The two ends as floats of one shape, and the dtype of the result."""
    known = [type_of(one).dtype if is_tensor(one) else one for one in (start, stop)]
    work = promote(*(1.0 if isinstance(one, list | tuple) else one for one in known), 1.0)
    if not any(is_tensor(one) for one in (start, stop)):
        work = floatx()
    wanted = work if dtype is None else dtype_of(dtype)
    if wanted.is_float and wanted.bits > work.bits:
        work = wanted
    first, last = (e.cast(one, work) for one in (start, stop))
    shape = broadcast(type_of(first).shape, type_of(last).shape)
    return broadcast_to(first, shape), broadcast_to(last, shape), wanted


def _numbers(*given: Any) -> list[Any]:
    """The arguments if they all are Python's numbers."""
    known = all(isinstance(one, int | float) and not isinstance(one, bool) for one in given)
    return [float(one) for one in given] if known else []


def _as(values: Any, dtype: DTypeLike | None) -> np.ndarray:
    """NumPy's numbers in the dtype asked for; integers are rounded down."""
    kind = floatx() if dtype is None else dtype_of(dtype)
    return np.asarray(np.floor(values) if kind.is_integer else values).astype(kind.numpy)


@replayed
def linspace(
    start: TensorLike,
    stop: TensorLike,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: DTypeLike | None = None,
    axis: int = 0,
) -> Any:
    """``num`` numbers at even distances from ``start`` to ``stop`` (NumPy linspace).

    Args:
        start, stop: numbers or tensors, which broadcast.
        endpoint: whether ``stop`` is the last of them.
        retstep: give the distance too, as a pair.
        dtype: of the result; a float unless given. Integers are rounded down.
        axis: where the numbers stand in the result.

    Raises `ArgumentError` for a negative ``num``.
    """
    count = _count(num, "linspace: num")
    if numbers := _numbers(start, stop):
        values, step = np.linspace(numbers[0], numbers[1], count, endpoint, retstep=True)
        return (_as(values, dtype), _as(step, None)) if retstep else _as(values, dtype)
    first, last, wanted = _ends(start, stop, dtype)
    values, step = _line(first, last, count, endpoint, like=first)
    if wanted.is_integer:
        values = e.floor(values)
    values = e.cast(values, wanted)
    place = axis_in(axis, type_of(values).rank)
    values = moveaxis(values, 0, place) if place else values
    return (values, step) if retstep else values


def _line(first: Any, last: Any, count: int, endpoint: bool, like: Any) -> tuple[Any, Any]:
    """`linspace` along axis 0, and the step."""
    type_ = type_of(first)
    gaps = count - 1 if endpoint else count
    span = e.subtract(last, first)
    step = e.divide(span, float(gaps)) if gaps > 0 else e.multiply(span, float("nan"))
    places = creation.iota((count, *(1,) * type_.rank), 0, int32, like=like)
    parts = e.divide(e.cast(places, type_.dtype), float(max(gaps, 1)))
    values = e.add(e.multiply(span, parts), first)
    if endpoint and count > 1:  # to the bit
        values = e.where(comparison.equal(places, count - 1), last, values)
    return values, step


@replayed
def logspace(
    start: TensorLike,
    stop: TensorLike,
    num: int = 50,
    endpoint: bool = True,
    base: float | TensorLike = 10,
    dtype: DTypeLike | None = None,
    axis: int = 0,
) -> Any:
    """``base`` to the powers that `linspace` gives (NumPy logspace); the other arguments are those of `linspace`."""
    if base is None:
        raise ArgumentError("logspace: base is a number or a tensor, not None.")
    if numbers := _numbers(start, stop, base):
        powers = np.linspace(numbers[0], numbers[1], _count(num, "logspace: num"), endpoint)
        return _as(np.power(numbers[2], powers), dtype)
    first, last, wanted = _ends(start, stop, dtype)
    powers = linspace(first, last, num, endpoint, axis=axis)
    found = e.power(e.cast(base, type_of(powers).dtype), powers)
    return e.cast(e.floor(found) if wanted.is_integer else found, wanted)


@replayed
def geomspace(
    start: TensorLike,
    stop: TensorLike,
    num: int = 50,
    endpoint: bool = True,
    dtype: DTypeLike | None = None,
    axis: int = 0,
) -> Any:
    """``num`` numbers from ``start`` to ``stop``, each the same multiple of the one before (NumPy geomspace).

    Args:
        start, stop: numbers or tensors of one sign, none of them 0; the other arguments are those of `linspace`.
    """
    if numbers := _numbers(start, stop):
        count = _count(num, "geomspace: num")
        try:
            return _as(np.geomspace(numbers[0], numbers[1], count, endpoint), dtype)
        except ValueError as error:
            raise ArgumentError(f"geomspace: {error}.") from None
    first, last, wanted = _ends(start, stop, dtype)
    count = _count(num, "geomspace: num")
    line, _ = _line(e.log(e.abs(first)), e.log(e.abs(last)), count, endpoint, like=first)
    found = e.multiply(e.sign(first), e.exp(line))
    places = creation.iota((count, *(1,) * type_of(first).rank), 0, int32, like=first)
    if endpoint and count > 1:  # both ends to the bit
        found = e.where(comparison.equal(places, count - 1), last, found)
    found = e.where(comparison.equal(places, 0), first, found)
    found = e.cast(e.floor(found) if wanted.is_integer else found, wanted)
    place = axis_in(axis, type_of(found).rank)
    return moveaxis(found, 0, place) if place else found


def _window(x: Any, name: str, values: Callable[[int], np.ndarray]) -> np.ndarray:
    """A window of ``x`` points, as NumPy makes it in float64, in the default float dtype.

    A scalar that is an array of another dtype is taken where it holds a whole number, as in Keras.
    """
    if (
        is_tensor(x)
        and not isinstance(x, Tensor)
        and not type_of(x).shape
        and not type_of(x).dtype.is_integer
    ):
        number = float(to_numpy(x))
        x = int(number) if number.is_integer() else number
    return values(_count(x, f"{name}: x, the number of points,")).astype(floatx().numpy)


def bartlett(x: int | TensorLike) -> Any:
    """The triangular window of ``x`` points, which ends in zeros (NumPy bartlett).

    Args:
        x: an int, or an integer scalar that is an array.
    """
    return _window(x, "bartlett", np.bartlett)


def blackman(x: int | TensorLike) -> Any:
    """Blackman's window of ``x`` points, a sum of three cosines (NumPy blackman); see `bartlett`."""
    return _window(x, "blackman", np.blackman)


def hamming(x: int | TensorLike) -> Any:
    """Hamming's window of ``x`` points, a raised cosine above 0.08 (NumPy hamming); see `bartlett`."""
    return _window(x, "hamming", np.hamming)


def hanning(x: int | TensorLike) -> Any:
    """Hann's window of ``x`` points, a raised cosine (NumPy hanning); see `bartlett`."""
    return _window(x, "hanning", np.hanning)


def kaiser(x: int | TensorLike, beta: float | TensorLike) -> Any:
    """Kaiser's window of ``x`` points (NumPy kaiser); see `bartlett`.

    Args:
        beta: its shape, from 0 (all ones) up: the higher the narrower.
    """
    if isinstance(beta, Tensor):
        raise ArgumentError("kaiser: beta has no value while a graph is traced; give a number.")
    given = to_numpy(beta) if is_tensor(beta) else beta
    if (
        isinstance(given, list)
        or np.shape(given)
        or not isinstance(given, int | float | np.ndarray)
        or np.iscomplexobj(given)
    ):
        raise ArgumentError(f"kaiser: beta is a number, not {beta!r}.")
    shape = float(given)
    return _window(x, "kaiser", lambda count: np.kaiser(count, shape))
