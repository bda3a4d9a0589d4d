"""Images seen through a map of positions: each pixel of the result is looked up at a place of the image."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from unifront.errors import ArgumentError, ShapeError
from unifront.ir.dims import Dim
from unifront.opset import elementwise as e
from unifront.opset import index, shape, slicing
from unifront.opset.elementwise import TensorLike
from unifront.opset.image_filters import blurred
from unifront.opset.images import as_batch, as_given, computed_in, image_format, number, one_of, positions
from unifront.opset.random import fold_in, random_normal
from unifront.opset.rules import show
from unifront.opset.seeds import drawn_key
from unifront.opset.tensor import replayed, type_of

INTERPOLATIONS = ("nearest", "bilinear")
FILL_MODES = ("constant", "nearest", "wrap", "mirror", "reflect")
_FAR = 2.0**30


def _inside(place: Any, size: Dim, mode: str) -> tuple[Any, Any]:
    """Whole positions as ones that are there, and whether they were there (None: all count)."""
    count = number(size, "int32", place)
    if mode == "constant":
        valid = e.logical_and(e.greater_equal(place, 0), e.less(place, count))
        return e.minimum(e.maximum(place, 0), e.subtract(count, 1)), valid
    if mode == "nearest":
        return e.minimum(e.maximum(place, 0), e.subtract(count, 1)), None
    if mode == "wrap":
        return e.remainder(place, count), None
    if mode == "mirror":
        return _mirrored(place, e.subtract(count, 1)), None
    twice = _mirrored(e.add(e.multiply(place, 2), 1), e.multiply(count, 2))
    return e.floor_divide(e.subtract(twice, 1), 2), None


def _mirrored(place: Any, last: Any) -> Any:
    """Positions on a line that is mirrored at 0 and at ``last``."""
    period = e.maximum(e.multiply(last, 2), 1)
    return e.abs(e.subtract(e.remainder(e.add(place, last), period), last))


def _nodes(place: Any, order: int) -> list[tuple[Any, Any]]:
    """The whole positions around each place, and their weights (None: all of it)."""
    if not type_of(place).dtype.is_float:
        return [(e.cast(place, "int32"), None)]
    place = e.clip(place, -_FAR, _FAR)
    if order == 0:
        return [(e.cast(e.round(place), "int32"), None)]
    lower = e.floor(place)
    share = e.subtract(place, lower)
    at = e.cast(lower, "int32")
    return [(at, e.subtract(1.0, share)), (e.add(at, 1), share)]


def _looked_up(
    rows: Any, sizes: Sequence[Dim], places: Sequence[Any], first: Any, order: int, mode: str, value: Any
) -> Any:
    """The weighted sum of rows of ``rows[n, …]``, whose number is that of a position in an array of ``sizes``.

    Args:
        places: a tensor of positions along each of ``sizes``.
        first: what is added to a row's number: where the image begins; None for nothing.
        value: what stands where there is nothing.
    """
    dtype = type_of(rows).dtype
    trailing = type_of(rows).rank - 1
    axes = []
    for place, size in zip(places, sizes, strict=True):
        axes.append([(*_inside(at, size, mode), weight) for at, weight in _nodes(place, order)])
    result: Any = None
    for corner in itertools.product(*axes):
        row: Any = None
        for (at, _, _), size in zip(corner, sizes, strict=True):
            row = at if row is None else e.add(e.multiply(row, number(size, "int32", at)), at)
        found = e.cast(index.take(rows, row if first is None else e.add(row, first), 0), dtype)
        valid: Any = None
        weight: Any = None
        for _, is_there, share in corner:
            if is_there is not None:
                valid = is_there if valid is None else e.logical_and(valid, is_there)
            if share is not None:
                weight = share if weight is None else e.multiply(weight, share)
        if valid is not None:
            found = e.where(_widened(valid, trailing), found, e.cast(value, dtype))
        if weight is not None:
            found = e.multiply(found, e.cast(_widened(weight, trailing), dtype))
        result = found if result is None else e.add(result, found)
    return result


def _widened(x: Any, count: int) -> Any:
    rank = type_of(x).rank
    return shape.expand_dims(x, tuple(range(rank, rank + count))) if count else x


@replayed
def map_coordinates(
    inputs: TensorLike,
    coordinates: TensorLike | Sequence[TensorLike],
    order: int,
    fill_mode: str = "constant",
    fill_value: float = 0,
) -> Any:
    """The values of ``inputs`` at positions between its elements (keras.ops.image.map_coordinates; SciPy).

    Args:
        coordinates: ``[rank of inputs, …]``: the position along each axis.
        order: 0 for the nearest element, 1 for linear interpolation.
        fill_mode: what lies outside: ``"constant"`` (``fill_value``), ``"nearest"``, ``"wrap"``, ``"mirror"`` or
            ``"reflect"`` (with the edge twice).

    Returns:
        a tensor of the shape of one axis's positions, in the dtype of ``inputs``; integers are rounded.
    """
    one_of("fill_mode", fill_mode, FILL_MODES)
    if order not in (0, 1):
        raise ArgumentError(
            f"Invalid value for argument `order`. Expected one of [0, 1]. Received: order={order}"
        )
    if isinstance(coordinates, list | tuple):
        coordinates = shape.stack(coordinates, 0)
    known, where = type_of(inputs), type_of(coordinates)
    if where.rank < 2:
        raise ShapeError(
            f"Invalid coordinates rank: expected at least rank 2. Received input with shape: {show(where.shape)}"
        )
    if where.shape[0] != known.rank:
        raise ShapeError(
            "First dim of `coordinates` must be the same as the rank of `inputs`. Received inputs with shape: "
            f"{show(known.shape)} and coordinate leading dim of {where.shape[0]}"
        )
    own = computed_in(known.dtype)
    rows = shape.flatten(inputs)
    if order == 1 or fill_mode == "constant":
        rows = e.cast(rows, own)
    if where.dtype.is_float:
        coordinates = e.cast(coordinates, computed_in(where.dtype))
    places = [slicing.get_item(coordinates, axis) for axis in range(known.rank)]
    return as_given(_looked_up(rows, known.shape, places, None, order, fill_mode, fill_value), known.dtype)


def _sampled(images: Any, y: Any, x: Any, interpolation: str, mode: str, value: Any) -> Any:
    """Images ``[batch, height, width, channels]`` at the positions ``y`` and ``x``, ``[batch or 1, height, width]``."""
    known = type_of(images)
    batch, height, width, channels = known.shape
    own = computed_in(known.dtype)
    rows = shape.reshape(e.cast(images, own), (batch * height * width, channels))
    first = e.multiply(positions(batch, "int32", images), number(height * width, "int32", images))
    first = shape.reshape(first, (batch, 1, 1))
    order = INTERPOLATIONS.index(interpolation)
    return as_given(_looked_up(rows, (height, width), (y, x), first, order, mode, value), known.dtype)


def _grid(images: Any, dtype: str) -> tuple[Any, Any]:
    """The rows ``[height, 1]`` and columns ``[1, width]`` of images with the channels last."""
    _, height, width, _ = type_of(images).shape
    return (
        shape.expand_dims(positions(height, dtype, images), 1),
        shape.expand_dims(positions(width, dtype, images), 0),
    )


def _projected(images: Any, transforms: Any, interpolation: str, mode: str, value: Any) -> Any:
    """Images seen through ``[batch or 1, 8]`` projective maps from the result's positions to the images'."""
    own = computed_in(type_of(images).dtype).name
    y, x = _grid(images, own)
    a = [shape.expand_dims(c, (1, 2)) for c in shape.unstack(e.cast(transforms, own), 8, 1)]

    def line(one: Any, two: Any, three: Any) -> Any:
        return e.add(e.add(e.multiply(one, x), e.multiply(two, y)), three)

    depth = line(a[6], a[7], 1.0)
    return _sampled(
        images, e.divide(line(*a[3:6]), depth), e.divide(line(*a[:3]), depth), interpolation, mode, value
    )


@replayed
def affine_transform(
    images: TensorLike,
    transform: TensorLike,
    interpolation: str = "bilinear",
    fill_mode: str = "constant",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Any:
    """Images seen through a map of the plane (keras.ops.image.affine_transform).

    Args:
        images: ``[batch, height, width, channels]`` or one image, or as ``data_format`` says.
        transform: ``[batch, 8]`` or ``[8]``, ``(a0, a1, a2, b0, b1, b2, c0, c1)``: the pixel at (x, y) of the result is
            that at ``((a0 x + a1 y + a2) / k, (b0 x + b1 y + b2) / k)`` of the image, where ``k = c0 x + c1 y + 1``.
        interpolation: ``"bilinear"`` or ``"nearest"``.
        fill_mode: what lies outside, as of `map_coordinates`.
    """
    one_of("interpolation", interpolation, INTERPOLATIONS)
    one_of("fill_mode", fill_mode, FILL_MODES)
    data_format = image_format(images, data_format)
    known = type_of(transform)
    if known.rank not in (1, 2):
        raise ShapeError(
            "Invalid transform rank: expected rank 1 (single transform) or rank 2 (batch of transforms). "
            f"Received input with shape: {show(known.shape)}"
        )
    if known.shape[-1] != 8:
        raise ShapeError(f"A transform is 8 numbers; given was the shape {show(known.shape)}.")
    batch, back = as_batch(images, data_format)
    many = shape.expand_dims(transform, 0) if known.rank == 1 else transform
    return back(_projected(batch, many, interpolation, fill_mode, fill_value))


Matrix = list[list[Any]]


def _adjugate(m: Matrix) -> Matrix:
    def minor(i: int, j: int) -> Any:
        (a, b), (c, d) = ([m[r][k] for k in range(3) if k != i] for r in range(3) if r != j)
        found = e.subtract(e.multiply(a, d), e.multiply(b, c))
        return e.negative(found) if (i + j) % 2 else found

    return [[minor(i, j) for j in range(3)] for i in range(3)]


def _product(a: Matrix, b: Matrix) -> Matrix:
    def entry(i: int, j: int) -> Any:
        terms = [e.multiply(a[i][k], b[k][j]) for k in range(3)]
        return e.add(e.add(terms[0], terms[1]), terms[2])

    return [[entry(i, j) for j in range(3)] for i in range(3)]


def _from_basis(points: list[tuple[Any, Any]]) -> Matrix:
    """The map that takes the unit vectors, and their sum, to four points of the plane (Heckbert 1989, §2.2.3)."""
    one = e.add(e.multiply(points[0][0], 0.0), 1.0)
    columns: Matrix = [[point[0] for point in points[:3]], [point[1] for point in points[:3]], [one] * 3]
    fourth = [points[3][0], points[3][1], one]
    scales = []
    for row in _adjugate(columns):
        terms = [e.multiply(c, x) for c, x in zip(row, fourth, strict=True)]
        scales.append(e.add(e.add(terms[0], terms[1]), terms[2]))
    return [[e.multiply(c, s) for c, s in zip(row, scales, strict=True)] for row in columns]


def homography(start: Any, end: Any) -> Any:
    """The maps ``[batch, 8]`` that take the points ``end`` to ``start``, each ``[batch, 4, 2]``."""

    def pairs(points: Any) -> list[tuple[Any, Any]]:
        corners = [shape.unstack(corner, 2, 1) for corner in shape.unstack(points, 4, 1)]
        return [(corner[0], corner[1]) for corner in corners]

    found = _product(_from_basis(pairs(start)), _adjugate(_from_basis(pairs(end))))
    flat = [entry for row in found for entry in row]
    return shape.stack([e.divide(entry, flat[8]) for entry in flat[:8]], 1)


@replayed
def perspective_transform(
    images: TensorLike,
    start_points: TensorLike,
    end_points: TensorLike,
    interpolation: str = "bilinear",
    fill_value: float = 0,
    data_format: str | None = None,
) -> Any:
    """Images with four points moved to four others (keras.ops.image.perspective_transform).

    Args:
        images: ``[batch, height, width, channels]`` or one image, or as ``data_format`` says.
        start_points, end_points: ``[batch, 4, 2]`` or ``[4, 2]``, each point as ``(x, y)``.
        interpolation: ``"bilinear"`` or ``"nearest"``.
    """
    one_of("interpolation", interpolation, INTERPOLATIONS)
    data_format = image_format(images, data_format)
    for name, points in (("start_points", start_points), ("end_points", end_points)):
        known = type_of(points)
        if known.rank not in (2, 3) or known.shape[-2:] != (4, 2):
            raise ShapeError(
                f"Invalid {name} shape: expected (4,2) for a single image or (N,4,2) for a batch. "
                f"Received shape: {show(known.shape)}"
            )
    if type_of(start_points).shape != type_of(end_points).shape:
        raise ShapeError(
            "start_points and end_points must have the same shape. Received "
            f"start_points.shape={show(type_of(start_points).shape)}, "
            f"end_points.shape={show(type_of(end_points).shape)}"
        )
    batch, back = as_batch(images, data_format)
    own = computed_in(type_of(images).dtype)
    start, end = (
        e.cast(shape.expand_dims(p, 0) if type_of(p).rank == 2 else p, own)
        for p in (start_points, end_points)
    )
    return back(_projected(batch, homography(start, end), interpolation, "constant", fill_value))


@replayed
def elastic_transform(
    images: TensorLike,
    alpha: Any = 20.0,
    sigma: float = 5.0,
    interpolation: str = "bilinear",
    fill_mode: str = "reflect",
    fill_value: float = 0.0,
    seed: Any = None,
    data_format: str | None = None,
) -> Any:
    """Images bent at random (keras.ops.image.elastic_transform; Simard et al. 2003).

    Args:
        images: floats ``[batch, height, width, channels]`` or one image, or as ``data_format`` says.
        alpha: how far pixels are moved.
        sigma: how wide the noise is smoothed that moves them, in pixels.
        seed: an int, a `SeedGenerator`, or None; see `unifront.random`.
        interpolation, fill_mode, fill_value: as of `affine_transform`.
    """
    one_of("interpolation", interpolation, INTERPOLATIONS)
    one_of("fill_mode", fill_mode, FILL_MODES)
    data_format = image_format(images, data_format)
    batch, back = as_batch(images, data_format)
    known = type_of(batch)
    own = computed_in(known.dtype)
    kernel = int(6 * sigma) | 1
    key = drawn_key(seed)
    y, x = _grid(batch, own.name)

    def moved(place: Any, stream: int) -> Any:
        noise = random_normal(fold_in(key, stream), (*known.shape[:3], 1), 0.0, sigma, own, like=batch)
        smooth = blurred(noise, (kernel, kernel), (sigma, sigma))
        return e.add(place, e.multiply(shape.squeeze(smooth, 3), alpha))

    return back(_sampled(batch, moved(y, 0), moved(x, 1), interpolation, fill_mode, fill_value))
