"""Keras's functions of normalization: compositions of the operations in `unifront.opset.norm` and others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unifront.arguments import Amount
from unifront.errors import ArgumentError, ShapeError
from unifront.opset import elementwise, norm, reduce
from unifront.opset.elementwise import TensorLike, floating
from unifront.opset.padding import pad
from unifront.opset.rules import axes_in, axis_in, is_whole, show
from unifront.opset.shape import expand_dims, squeeze
from unifront.opset.slicing import strided_slice
from unifront.opset.tensor import replayed, type_of

EPSILON = 1e-7
"""Keras's `keras.config.epsilon`, which keeps divisors and logarithms from zero."""


@replayed
def batch_normalization(
    x: TensorLike,
    mean: TensorLike,
    variance: TensorLike,
    axis: int,
    offset: TensorLike | None = None,
    scale: TensorLike | None = None,
    epsilon: Amount = 1e-3,
) -> Any:
    """``(x - mean) / sqrt(variance + epsilon) * scale + offset`` (Ioffe and Szegedy 2015; Keras).

    Args:
        x: floats of any shape.
        mean, variance: one for each place along ``axis``.
        offset, scale: likewise, or None.

    Raises `ShapeError` for vectors of another length.
    """
    x = floating(x)
    size = type_of(x).shape[axis_in(axis, type_of(x).rank)]
    for name, vector in (("mean", mean), ("variance", variance), ("offset", offset), ("scale", scale)):
        if vector is not None and type_of(vector).shape != (size,):
            raise ShapeError(
                f"`{name}` must be a vector of length {size}, as axis {axis} of {show(type_of(x).shape)}; it has "
                f"the shape {show(type_of(vector).shape)}."
            )
    return norm.batch_norm(x, mean, variance, scale, offset, axis=axis, epsilon=epsilon)


@replayed
def layer_normalization(
    x: TensorLike,
    gamma: TensorLike | None = None,
    beta: TensorLike | None = None,
    axis: int | Sequence[int] = -1,
    epsilon: Amount | None = None,
) -> Any:
    """``x`` with its mean and variance over ``axis`` taken to 0 and 1, times ``gamma`` plus ``beta`` (Ba et al. 2016).

    Args:
        gamma, beta: of the sizes of ``axis``, or None.
        axis: an int or several.
        epsilon: added to the variance, 1e-7 unless given.

    Raises `ShapeError` for a gamma or beta of another shape.
    """
    x = _with_axis(floating(x))
    axes = axes_in(axis, type_of(x).rank)
    gamma, beta = _inner(gamma, x, axes), _inner(beta, x, axes)
    fused = [one is None or _fits(one, x, axes) for one in (gamma, beta)]
    if all(fused):
        return norm.layer_norm(x, gamma, beta, axis=axes, epsilon=_epsilon(epsilon))
    y = norm.layer_norm(x, axis=axes, epsilon=_epsilon(epsilon))
    y = y if gamma is None else elementwise.multiply(y, gamma)
    return y if beta is None else elementwise.add(y, beta)


@replayed
def rms_normalization(
    x: TensorLike,
    scale: TensorLike | None = None,
    axis: int | Sequence[int] = -1,
    epsilon: Amount | None = None,
) -> Any:
    """``x / sqrt(mean(x**2) + epsilon) * scale``, the mean over ``axis`` (Zhang and Sennrich 2019).

    Args:
        scale: of the sizes of ``axis``, or None.
        axis: an int or several.
        epsilon: 1e-7 unless given.
    """
    x = _with_axis(floating(x))
    axes = axes_in(axis, type_of(x).rank)
    scale = _inner(scale, x, axes)
    if scale is None or _fits(scale, x, axes):
        return norm.rms_norm(x, scale, axis=axes, epsilon=_epsilon(epsilon))
    return elementwise.multiply(norm.rms_norm(x, axis=axes, epsilon=_epsilon(epsilon)), scale)


def _epsilon(given: float | None) -> float:
    return EPSILON if given is None else given


def _with_axis(x: TensorLike) -> Any:
    return x if type_of(x).rank else expand_dims(x, 0)


def _inner(vector: TensorLike | None, x: Any, axes: tuple[int, ...]) -> Any:
    """A scale in the dtype of ``x``; one of its rank that is 1 long outside ``axes`` as one over these."""
    if vector is None:
        return None
    type_ = type_of(vector)
    others = tuple(axis for axis in range(type_of(x).rank) if axis not in axes)
    if type_.rank == type_of(x).rank and others and all(type_.shape[axis] == 1 for axis in others):
        vector = squeeze(vector, others)
    return elementwise.cast(vector, type_of(x).dtype)


def _fits(vector: Any, x: Any, axes: tuple[int, ...]) -> bool:
    """Whether a scale is one over ``axes``; another one has the rank of ``x``, with which it broadcasts."""
    return type_of(vector).rank != type_of(x).rank or len(axes) == type_of(x).rank


def moments(
    x: TensorLike, axes: int | Sequence[int] | None, keepdims: bool = False, synchronized: bool = False
) -> tuple[Any, Any]:
    """The mean and the (biased) variance of ``x`` over ``axes``; of 16-bit floats computed in float32.

    Args:
        synchronized: False only: a step that is spread over devices takes its means over all of them anyway.
    """
    if synchronized:
        raise ArgumentError(
            "synchronized is False: a step that runs on several devices has the whole batch's statistics."
        )
    x = floating(x)
    dtype = type_of(x).dtype
    wide = elementwise.cast(x, "float32") if dtype.bits == 16 else x
    mean = reduce.mean(wide, axes, True)
    variance = reduce.mean(elementwise.square(elementwise.subtract(wide, mean)), axes, keepdims)
    if not keepdims:
        mean = reduce.mean(mean, axes, False)
    if dtype.bits == 16:  # Keras keeps both in the range of float16
        mean, variance = (
            elementwise.cast(elementwise.clip(one, -65504.0, 65504.0), dtype) for one in (mean, variance)
        )
    return mean, variance


def normalize(
    x: TensorLike, axis: int | Sequence[int] | None = -1, order: Any = 2, epsilon: Amount | None = None
) -> Any:
    """``x`` divided by its norm of ``order`` over ``axis``, which is at least ``epsilon`` (1e-7 unless given).

    Args:
        order: 1 for the sum of absolute values, 2 for the length, and so on. Over two axes 1 means the largest sum
            of absolute values along the first of them, the norm of a matrix.
    """
    if not is_whole(order) or order < 1:
        raise ArgumentError(f"Argument `order` must be an int >= 1. Received: order={order}")
    x, least = _with_axis(floating(x)), _epsilon(epsilon)
    if order == 2:
        dtype = type_of(x).dtype
        wide = elementwise.cast(x, "float32") if dtype.bits == 16 else x  # in 16 bits small squares are zeros
        squares = reduce.sum(elementwise.square(wide), axis, True)
        most = 1 / least if least else float("inf")
        # The root of zero has no slope that could be multiplied by zero.
        inverse = elementwise.rsqrt(elementwise.maximum(squares, least**2))
        return elementwise.cast(elementwise.multiply(wide, elementwise.minimum(inverse, most)), dtype)
    sizes = elementwise.abs(x)
    if isinstance(axis, Sequence) and len(axis) == 2:  # the norm of matrices, as in Keras
        if order > 2:
            raise ArgumentError(f"Matrices have norms of the orders 1 and 2; order={order} was given.")
        rows, columns = (one % type_of(x).rank for one in axis)
        longest = reduce.max(reduce.sum(sizes, rows, True), columns, True)
        return elementwise.divide(x, elementwise.maximum(longest, least))
    powers = sizes if order == 1 else elementwise.power(sizes, float(order))
    length = reduce.sum(powers, axis, True)
    if order > 1:
        length = elementwise.power(length, 1 / order)
    return elementwise.divide(x, elementwise.maximum(length, least))


@replayed
def local_response_normalization(
    x: TensorLike,
    size: int = 5,
    alpha: Amount = 1e-4,
    beta: Amount = 0.75,
    bias: Amount = 1.0,
    *,
    axis: int = -1,
) -> Any:
    """``x / (bias + alpha * squares)**beta``, with the sum of the squares of the ``size`` channels around each.

    Args:
        x: floats of any shape.
        size: how many neighbours along ``axis`` are summed; of an even number one more lies above than below, and those
            beyond an end count as 0.

    The paper takes 5, 1e-4, 0.75 and a bias of 2. Caffe, PyTorch and ONNX divide their ``alpha`` by ``size``;
    TensorFlow counts a radius, ``(size - 1) / 2``, and does not divide. Raises `ArgumentError` for a size below 1.

    Example:
        >>> ops.local_response_normalization(np.ones((1, 3)), size=3, alpha=1.0, beta=1.0)
        array([[0.33333333, 0.25      , 0.33333333]])

    Source: Krizhevsky et al. 2012, section 3.3; ONNX LRN-13.
    """
    if not is_whole(size) or size < 1:
        raise ArgumentError(f"local_response_normalization: size must be an int >= 1; it is {size!r}.")
    x = floating(x)
    rank = type_of(x).rank
    axis = axis_in(axis, rank)
    below, channels = (size - 1) // 2, type_of(x).shape[axis]
    widths = [(below, size - 1 - below) if one == axis else (0, 0) for one in range(rank)]
    squares, before = pad(elementwise.square(x), widths), (0,) * axis
    total = strided_slice(squares, (*before, 0), (*(None,) * axis, channels))
    for i in range(1, size):
        total = elementwise.add(total, strided_slice(squares, (*before, i), (*(None,) * axis, channels + i)))
    base = elementwise.add(elementwise.multiply(total, alpha), bias)
    return elementwise.divide(x, elementwise.power(base, beta))


def psnr(x1: TensorLike, x2: TensorLike, max_val: TensorLike) -> Any:
    """The peak signal-to-noise ratio in decibels: ``20 log10(max_val) - 10 log10(mean((x1 - x2)²))``.

    Raises `ShapeError` unless the shapes are the same.
    """
    one, other = type_of(x1).shape, type_of(x2).shape
    if one != other:
        raise ShapeError(f"Input shapes {show(one)} and {show(other)} must match for PSNR calculation.")
    error = reduce.mean(elementwise.square(elementwise.subtract(x1, x2)))
    top = elementwise.cast(max_val, type_of(error).dtype)
    tenth = 4.342944819032518  # 10 / ln(10)
    signal = elementwise.multiply(elementwise.log(top), 2 * tenth)
    return elementwise.subtract(signal, elementwise.multiply(elementwise.log(error), tenth))
