"""Images in another size: every pixel of the result is a weighted sum along each axis in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unifront.dtypes import float32
from unifront.errors import ArgumentError, ShapeError
from unifront.ir.dims import Dim, maximum, minimum
from unifront.opset import elementwise as e
from unifront.opset import index, linalg, reduce, shape, slicing
from unifront.opset.elementwise import TensorLike
from unifront.opset.images import (
    as_given,
    computed_in,
    image_format,
    number,
    one_of,
    padded,
    part,
    positions,
    spatial_axes,
)  # fmt: skip
from unifront.opset.rules import dims_in, is_whole
from unifront.opset.tensor import replayed, type_of

INTERPOLATIONS = ("bilinear", "nearest", "lanczos3", "lanczos5", "bicubic", "area")
METHODS = {
    "linear": "bilinear", "bilinear": "bilinear", "trilinear": "bilinear", "triangle": "bilinear",
    "cubic": "bicubic", "bicubic": "bicubic", "tricubic": "bicubic",
    "lanczos3": "lanczos3", "lanczos5": "lanczos5",
}  # fmt: skip
_FEW = 4
"""So many pixels a sum are gathered one by one; more are a product with the matrix of all weights."""


def _triangle(x: Any) -> Any:
    return e.maximum(e.subtract(1.0, x), 0.0)


def _cubic(x: Any) -> Any:
    """Keys, "Cubic convolution interpolation for digital image processing", 1981, with a = -1/2."""
    near = e.add(e.multiply(e.multiply(e.subtract(e.multiply(x, 1.5), 2.5), x), x), 1.0)
    far = e.add(e.multiply(e.subtract(e.multiply(e.add(e.multiply(x, -0.5), 2.5), x), 4.0), x), 2.0)
    return e.where(e.less(x, 1.0), near, e.where(e.less(x, 2.0), far, 0.0))


def _lanczos(radius: float) -> Callable[[Any], Any]:
    def kernel(x: Any) -> Any:
        angle = e.multiply(x, np.pi)
        top = e.multiply(e.multiply(e.sin(angle), e.sin(e.divide(angle, radius))), radius)
        is_far = e.greater(x, 1e-3)
        bottom = e.square(e.where(is_far, angle, 1.0))
        return e.where(e.greater(x, radius), 0.0, e.where(is_far, e.divide(top, bottom), 1.0))

    return kernel


_KERNELS: dict[str, Callable[[Any], Any]] = {
    "bilinear": _triangle, "bicubic": _cubic, "lanczos3": _lanczos(3.0), "lanczos5": _lanczos(5.0),
}  # fmt: skip


def _weights(
    size: Dim, out: Dim, scale: Any, offset: Any, method: str, antialias: bool, like: Any, dtype: str
) -> Any:
    """How much of each of ``size`` pixels is in each of ``out``: ``[out, size]``.

    Args:
        scale: how many pixels of the result a pixel becomes; a scalar.
        offset: how far right the result is moved, in its pixels; a scalar.
    """
    own = positions(size, dtype, like)
    step = e.divide(1.0, scale)
    place = e.multiply(e.subtract(e.add(positions(out, dtype, like), 0.5), offset), step)
    center = shape.expand_dims(e.subtract(place, 0.5), 1)
    width = e.maximum(step, 1.0) if antialias else 1.0
    weights = _KERNELS[method](e.divide(e.abs(e.subtract(center, own)), width))
    total = reduce.sum(weights, axis=1, keepdims=True)
    is_some = e.greater(e.abs(total), 1000 * float(np.finfo(np.float32).eps))
    inside = e.logical_and(
        e.greater_equal(center, -0.5), e.less_equal(center, e.subtract(number(size, dtype, like), 0.5))
    )
    return e.where(e.logical_and(is_some, inside), e.divide(weights, e.where(is_some, total, 1.0)), 0.0)


def _shares(size: Dim, out: int, like: Any, dtype: str) -> Any:
    """The part of each of ``size`` pixels that lies in each of ``out`` equal parts of the axis: ``[out, size]``."""
    step = e.divide(number(size, dtype, like), float(out))
    start = shape.expand_dims(e.multiply(positions(out, dtype, like), step), 1)
    own = positions(size, dtype, like)
    common = e.subtract(e.minimum(e.add(start, step), e.add(own, 1.0)), e.maximum(start, own))
    return e.divide(e.maximum(common, 0.0), step)


def _mixed(x: Any, weights: Any, axis: int) -> Any:
    """The sums of the parts of ``x`` along ``axis`` with the weights ``[out, size]``."""
    known = type_of(x)
    if isinstance(weights, np.ndarray):
        if weights.shape[0] == weights.shape[1] and np.array_equal(weights, np.eye(len(weights))):
            return x
        count = int(np.count_nonzero(weights, 1).max(initial=0))
        if 0 < count <= _FEW:
            return _gathered(x, weights, axis, count)
        weights = weights.astype(known.dtype.numpy)
    else:
        weights = e.cast(weights, known.dtype)
    before, after = known.shape[:axis], known.shape[axis + 1 :]
    count_after: Dim = 1
    for size in after:
        count_after = count_after * size
    flat = shape.reshape(x, (*before, known.shape[axis], count_after))
    mixed = linalg.matmul(weights, flat)
    return shape.reshape(mixed, (*before, type_of(weights).shape[0], *after))


def _gathered(x: Any, weights: np.ndarray, axis: int, count: int) -> Any:
    known = type_of(x)
    largest = np.argsort(-np.abs(weights), axis=1, kind="stable")[:, :count]
    order = np.sort(largest, axis=1)
    chosen = np.take_along_axis(weights, order, 1).astype(known.dtype.numpy)
    result: Any = None
    for which in range(count):
        weight = chosen[:, which].reshape(-1, *(1,) * (known.rank - axis - 1))
        term = index.take(x, order[:, which].astype(np.int32), axis)
        term = e.multiply(term, weight)
        result = term if result is None else e.add(result, term)
    return result


def _nearest(x: Any, out: int, axis: int) -> Any:
    size = type_of(x).shape[axis]
    if size == out:
        return x
    step = e.divide(number(size, "float32", x), np.float32(out))
    place = e.floor(e.multiply(e.add(positions(out, "float32", x), 0.5), step))
    last = e.subtract(number(size, "float32", x), 1.0)
    return index.take(x, e.cast(e.minimum(place, last), "int32"), axis)


@replayed
def resize(
    images: TensorLike,
    size: Sequence[int],
    interpolation: str = "bilinear",
    antialias: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    fill_mode: str = "constant",
    fill_value: float = 0.0,
    data_format: str | None = None,
) -> Any:
    """Images in another height and width (keras.ops.image.resize). The centres of pixels are at halves.

    Args:
        images: ``[batch, height, width, channels]`` or one image, or as ``data_format`` says. Integers are rounded.
        size: ``(height, width)`` of the result.
        interpolation: ``"nearest"``, ``"bilinear"``, ``"bicubic"`` (Keys 1981), ``"lanczos3"``, ``"lanczos5"`` or
            ``"area"``.
        antialias: whether a smaller result is the mean of all that was there, weighted.
        crop_to_aspect_ratio: cut the middle out first, in the proportions of ``size``.
        pad_to_aspect_ratio: add ``fill_value`` first at two sides, so that nothing is distorted.
        fill_mode: ``"constant"`` is the only one.

    Raises `ArgumentError` for what is no size or no interpolation, `ShapeError` for what is no image.
    """
    wanted = _size(size)
    one_of("interpolation", interpolation, INTERPOLATIONS)
    one_of("fill_mode", fill_mode, ("constant",))
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ArgumentError("Only one of `pad_to_aspect_ratio` & `crop_to_aspect_ratio` can be `True`.")
    data_format = image_format(images, data_format)
    axes = spatial_axes(images, data_format)
    if 0 in (type_of(images).shape[axis] for axis in axes):
        raise ShapeError(f"resize: an image of {type_of(images)} has no pixels.")
    if crop_to_aspect_ratio:
        images = _cropped(images, axes, wanted)
    if pad_to_aspect_ratio:
        images = _framed(images, axes, wanted, fill_value)
    if interpolation == "nearest":
        for axis, out in zip(axes, wanted, strict=True):
            images = _nearest(images, out, axis)
        return images
    dtype = type_of(images).dtype
    own = computed_in(dtype)
    result = e.cast(images, own)
    for axis, out in zip(axes, wanted, strict=True):
        now = type_of(result).shape[axis]
        kind = "float64" if isinstance(now, int) else own.name
        if interpolation == "area":
            weights = _shares(now, out, result, kind)
        else:
            scale = e.divide(np.asarray(out, kind), number(now, kind, result))
            weights = _weights(now, out, scale, 0.0, interpolation, antialias, result, kind)
        result = _mixed(result, weights, axis)
    return as_given(result, dtype)


def _size(size: Any) -> tuple[int, int]:
    if not isinstance(size, list | tuple) or len(size) != 2 or not all(map(is_whole, size)):
        raise ArgumentError(f"Expected `size` to be a tuple of 2 integers. Received: size={size}")
    if size[0] <= 0 or size[1] <= 0:
        raise ArgumentError(f"`size` must have positive height and width. Received: size={size}")
    return int(size[0]), int(size[1])


def _cropped(images: Any, axes: Sequence[int], wanted: tuple[int, int]) -> Any:
    sizes = [type_of(images).shape[axis] for axis in axes]
    kept = (
        maximum(minimum(sizes[0], sizes[1] * wanted[0] // wanted[1]), 1),
        maximum(minimum(sizes[1], sizes[0] * wanted[1] // wanted[0]), 1),
    )
    for axis, size, keep in zip(axes, sizes, kept, strict=True):
        start = (size - keep) // 2
        images = part(images, axis, start, start + keep)
    return images


def _framed(images: Any, axes: Sequence[int], wanted: tuple[int, int], value: float) -> Any:
    sizes = [type_of(images).shape[axis] for axis in axes]
    whole = (
        maximum(sizes[0], sizes[1] * wanted[0] // wanted[1]),
        maximum(sizes[1], sizes[0] * wanted[1] // wanted[0]),
    )
    for axis, size, total in zip(axes, sizes, whole, strict=True):
        border = (total - size) // 2
        images = padded(images, axis, border, border, value)
    return images


@replayed
def scale_and_translate(
    images: TensorLike,
    output_shape: Sequence[Dim | None],
    scale: TensorLike,
    translation: TensorLike,
    spatial_dims: Sequence[int],
    method: str,
    antialias: bool = True,
) -> Any:
    """Images scaled and moved along some axes (keras.ops.image.scale_and_translate).

    Args:
        output_shape: of the result; outside ``spatial_dims`` that of ``images``, for which None may stand.
        scale: for each of ``spatial_dims``, how many pixels of the result a pixel becomes.
        translation: for each of them, how far the result is moved, in its pixels. Where no image is, the result is 0.
        method: ``"linear"``, ``"cubic"`` (also as ``"bilinear"`` …), ``"lanczos3"`` or ``"lanczos5"``.
        antialias: as of `resize`.
    """
    kernel = METHODS[one_of("method", method, tuple(METHODS))]
    known = type_of(images)
    if len(output_shape) != known.rank:
        raise ShapeError(
            f"scale_and_translate: output_shape {output_shape} has not the rank of images, {known}."
        )
    given = [own if size is None else size for size, own in zip(output_shape, known.shape, strict=True)]
    out = dims_in(given, "output_shape")
    dims = [axis % known.rank for axis in spatial_dims]
    own = computed_in(known.dtype)
    result = e.cast(images, own)
    factors, offsets = (e.cast(value, own) for value in (scale, translation))
    for which, axis in enumerate(dims):
        factor, offset = (slicing.get_item(value, min(which, _last(value))) for value in (factors, offsets))
        size = known.shape[axis]
        weights = _weights(size, out[axis], factor, offset, kernel, antialias, result, own.name)
        result = _mixed(result, weights, axis)
    if not known.dtype.is_float:
        low, high = (e.cast(function(images), float32) for function in (reduce.min, reduce.max))
        result = e.maximum(e.minimum(e.round(result), high), low)
    return as_given(result, known.dtype)


def _last(value: Any) -> int:
    size = type_of(value).shape[0]
    return size - 1 if isinstance(size, int) else 0
