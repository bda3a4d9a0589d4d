"""Images smoothed, their edges, and how alike two images are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unifront.backends import backend_of
from unifront.errors import ArgumentError, ShapeError
from unifront.ir.dims import Dim
from unifront.opset import conv, padding, reduce, shape
from unifront.opset import elementwise as e
from unifront.opset.arrays import to_numpy
from unifront.opset.elementwise import TensorLike
from unifront.opset.images import as_batch, as_given, computed_in, image_format, part
from unifront.opset.rules import is_whole
from unifront.opset.tensor import replayed, type_of


def _bell(size: int, sigma: Any, dtype: str) -> Any:
    """The weights ``[size]`` of a Gaussian window."""
    place = np.arange(size, dtype=dtype) - (size - 1) / 2
    weights = e.exp(e.multiply(e.square(e.divide(place.astype(dtype), sigma)), -0.5))
    return e.divide(weights, reduce.sum(weights))


def _along(images: Any, weights: Any, axis: int, padding: str) -> Any:
    """Images with the channels last, each channel convolved along one axis."""
    channels = type_of(images).shape[3]
    size = type_of(weights).shape[0]
    form: tuple[Dim, ...] = (size, 1, 1, 1) if axis == 1 else (1, size, 1, 1)
    kernel = shape.broadcast_to(shape.reshape(weights, form), (*form[:2], channels, 1))
    return conv.depthwise_conv(images, kernel, strides=1, padding=padding, data_format="channels_last")


def blurred(images: Any, kernel_size: Sequence[int], sigma: Sequence[Any]) -> Any:
    """Float images with the channels last, smoothed; ``kernel_size`` as (rows, columns), ``sigma`` as (x, y)."""
    own = type_of(images).dtype.name
    down, across = _bell(kernel_size[0], sigma[1], own), _bell(kernel_size[1], sigma[0], own)
    return _along(_along(images, e.cast(down, own), 1, "same"), e.cast(across, own), 2, "same")


@replayed
def gaussian_blur(
    images: TensorLike,
    kernel_size: Any = (3, 3),
    sigma: Any = (1.0, 1.0),
    data_format: str | None = None,
) -> Any:
    """Images smoothed by a Gaussian window (keras.ops.image.gaussian_blur); outside of them is 0.

    Args:
        images: ``[batch, height, width, channels]`` or one image, or as ``data_format`` says.
        kernel_size: how many rows and columns the window has.
        sigma: its standard deviations along x and y; numbers or a tensor of two.
    """
    data_format = image_format(images, data_format)
    given = to_numpy(kernel_size).tolist() if backend_of(kernel_size) is not None else kernel_size
    if (
        not isinstance(given, list | tuple)
        or len(given) != 2
        or not all(is_whole(n) and n > 0 for n in given)
    ):
        raise ArgumentError(f"gaussian_blur: kernel_size is two positive ints, not {kernel_size!r}.")
    known = type_of(images)
    own = computed_in(known.dtype)
    batch, back = as_batch(e.cast(images, own), data_format)
    if hasattr(sigma, "dtype"):
        sigma = shape.unstack(e.cast(sigma, own), 2, 0)
    return as_given(back(blurred(batch, [int(n) for n in given], sigma)), known.dtype)


@replayed
def sobel_edges(images: TensorLike, data_format: str | None = None) -> Any:
    """The slopes of images down and across, ``[…, 2]`` (keras.ops.image.sobel_edges; Sobel's weights, unscaled).

    Args:
        images: ``[batch, height, width, channels]``, or as ``data_format`` says; the edges are mirrored.

    Raises `ShapeError` for one image, or for fewer than two rows or columns.
    """
    data_format = image_format(images, data_format)
    known = type_of(images)
    if known.rank != 4:
        raise ShapeError(
            f"Invalid images rank: expected rank 4 (batch of images). Received: images.shape={known.shape}"
        )
    batch, _ = as_batch(e.floating(images), data_format)
    wide = padding.pad(batch, [(0, 0), (1, 1), (1, 1), (0, 0)], "reflect")

    def three(x: Any, axis: int) -> tuple[Any, Any, Any]:
        size = type_of(x).shape[axis] - 2
        return (part(x, axis, 0, size), part(x, axis, 1, size + 1), part(x, axis, 2, size + 2))

    def smooth(x: Any, axis: int) -> Any:
        before, here, after = three(x, axis)
        return e.add(e.add(before, e.multiply(here, 2.0)), after)

    def slope(x: Any, axis: int) -> Any:
        before, _, after = three(x, axis)
        return e.subtract(after, before)

    found = shape.stack([slope(smooth(wide, 2), 1), slope(smooth(wide, 1), 2)], -1)
    return shape.moveaxis(found, 3, 1) if data_format == "channels_first" else found


@replayed
def ssim(
    image1: TensorLike,
    image2: TensorLike,
    max_val: float = 1.0,
    filter_size: int = 11,
    filter_sigma: float = 1.5,
    k1: float = 0.01,
    k2: float = 0.03,
    data_format: str | None = None,
) -> Any:
    """How alike the structure of two images is, 1 for equal ones (keras.ops.image.ssim; Wang et al. 2004).

    Args:
        image1, image2: ``[batch, height, width, channels]`` or one image, or as ``data_format`` says.
        max_val: the largest value that a pixel can have.
        filter_size, filter_sigma: of the Gaussian window in which structure is compared.
        k1, k2: what keeps quotients of small numbers steady.

    Returns:
        ``[batch]``, or a scalar for one image.
    """
    data_format = image_format(image1, data_format)
    image_format(image2, data_format)
    known = type_of(image1)
    own = computed_in(known.dtype)
    a, b = (as_batch(e.cast(image, own), data_format)[0] for image in (image1, image2))
    window = np.asarray(_bell(filter_size, np.asarray(filter_sigma, "float64"), "float64")).astype(own.numpy)

    def mean(x: Any) -> Any:
        return _along(_along(x, window, 1, "valid"), window, 2, "valid")

    mean_a, mean_b = mean(a), mean(b)
    product, squares = e.multiply(mean_a, mean_b), e.add(e.square(mean_a), e.square(mean_b))
    covariance = e.subtract(mean(e.multiply(a, b)), product)
    variances = e.subtract(mean(e.add(e.square(a), e.square(b))), squares)
    first, second = (k1 * max_val) ** 2, (k2 * max_val) ** 2
    top = e.multiply(e.add(e.multiply(product, 2.0), first), e.add(e.multiply(covariance, 2.0), second))
    bottom = e.multiply(e.add(squares, first), e.add(variances, second))
    found = reduce.mean(e.divide(top, bottom), axis=(1, 2, 3))
    return e.cast(shape.squeeze(found, 0) if known.rank == 3 else found, known.dtype)
