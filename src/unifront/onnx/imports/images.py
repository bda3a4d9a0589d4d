"""Images: other sizes, other places, patches."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unifront import ops
from unifront.ir.dims import Dim
from unifront.onnx.imports.conv import pairs_of, spread
from unifront.onnx.imports.node import Node, Row, axes_of, rank, whole
from unifront.onnx.imports.shape import padded
from unifront.opset.tensor import type_of

MANY_TAPS = 8
"""From so many elements on that each result is the sum of, a matrix says their weights."""


def _wanted(
    node: Node, shape: Sequence[Dim], axes: Sequence[int], scales: Any, sizes: Any
) -> tuple[list[Dim], list[float]]:
    """The new size and the scale of each axis."""
    if sizes is None:
        factors = [float(one) for one in np.ravel(node.known(scales, "the scales"))]
        new = [_scaled(node, shape[axis], factor) for axis, factor in zip(axes, factors, strict=True)]
        return new, factors
    old = [whole(node, shape[axis], "a side of the image") for axis in axes]
    target = [int(n) for n in np.ravel(node.known(sizes, "the size to resize to"))]
    factors = [n / m for n, m in zip(target, old, strict=True)]
    policy = node["keep_aspect_ratio_policy"]
    if policy in ("not_larger", "not_smaller"):
        factor = (min if policy == "not_larger" else max)(factors)
        factors = [factor] * len(axes)
        target = [math.floor(factor * m + 0.5) for m in old]
    return list(target), factors


def _scaled(node: Node, dim: Dim, factor: float) -> Dim:
    if isinstance(dim, int):  # in float32, as shape inference and runtimes have it: 5 times 1.8 is 9
        return math.floor(np.float32(dim) * np.float32(factor))
    if factor == int(factor):
        return dim * int(factor)
    if 1 / factor == int(1 / factor):
        return dim // int(1 / factor)
    return node.fail(f"an axis of free length times {factor}")


def _coordinates(node: Node, size: int, out: int, factor: float, roi: tuple[float, float]) -> np.ndarray:
    """Where each element of the result is among those that were there (ONNX Resize)."""
    node.room(out)
    i = np.arange(out, dtype=np.float64)
    half = (i + 0.5) / factor - 0.5
    mode = node["coordinate_transformation_mode"] or "asymmetric"
    if mode == "half_pixel":
        return half
    if mode == "asymmetric":
        return i / factor
    if mode == "pytorch_half_pixel":
        return half if out > 1 else np.zeros(out)
    if mode == "align_corners":
        return i * (size - 1) / (factor * size - 1) if out > 1 else np.zeros(out)
    if mode == "half_pixel_symmetric":
        share = out / (factor * size)
        return size / 2 * (1 - share) + half
    if mode == "tf_half_pixel_for_nn":
        return (i + 0.5) / factor
    if mode == "tf_crop_and_resize":
        start, end = roi
        if out > 1:
            return start * (size - 1) + i * (end - start) * (size - 1) / (factor * size - 1)
        return np.full(out, 0.5 * (start + end) * (size - 1))
    return node.fail(f"the coordinate_transformation_mode {mode!r}")


def _nearest(node: Node, where: np.ndarray, size: int) -> np.ndarray:
    rounding: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "round_prefer_floor": lambda x: np.ceil(x - 0.5), "round_prefer_ceil": lambda x: np.floor(x + 0.5),
        "floor": np.floor, "ceil": np.ceil,
    }  # fmt: skip
    return np.clip(rounding[node["nearest_mode"] or "floor"](where), 0, size - 1).astype(np.int64)


def _kernel(node: Node, distance: np.ndarray) -> np.ndarray:
    """The weight of an element so far away: a triangle, or Keys's cubic (1981)."""
    d = np.abs(distance)
    if node["mode"] in ("linear", "bilinear"):
        return np.clip(1 - d, 0, None)
    a = node["cubic_coeff_a"]
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def _taps(node: Node, where: np.ndarray, size: int, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """``[out, taps]``: the places that each result is made of, and their weights."""
    reach = 1 if node["mode"] in ("linear", "bilinear") else 2
    shrink = min(factor, 1.0) if node["antialias"] else 1.0
    count = math.ceil(reach / shrink)
    node.room(len(where) * 2 * count)
    first = np.floor(where).astype(np.int64)
    places = first[:, None] + np.arange(1 - count, count + 1)
    weights = _kernel(node, (places - where[:, None]) * shrink)
    if node["exclude_outside"]:
        weights = np.where((places < 0) | (places >= size), 0.0, weights)
    if node["exclude_outside"] or shrink < 1:
        weights = weights / weights.sum(1, keepdims=True)
    return np.clip(places, 0, size - 1), weights


def _resized(node: Node, x: Any, axis: int, out: int, factor: float, roi: tuple[float, float]) -> Any:
    """``x`` with another size of one axis."""
    size = whole(node, type_of(x).shape[axis], "a side of the image")
    where = _coordinates(node, size, out, factor, roi)
    if node["mode"] == "nearest":
        return ops.take(x, _nearest(node, where, size), axis)
    places, weights = _taps(node, where, size, factor)
    weights = weights.astype(type_of(x).dtype.numpy)
    if places.shape[1] > MANY_TAPS:
        node.room(out * size)
        matrix = np.zeros((out, size), np.float64)
        np.add.at(matrix, (np.arange(out)[:, None], places), weights)
        return ops.moveaxis(ops.tensordot(x, matrix.T.astype(weights.dtype), ((axis,), (0,))), -1, axis)
    shape = tuple(-1 if i == axis else 1 for i in range(rank(x)))
    parts = [
        ops.multiply(ops.take(x, places[:, tap], axis), weights[:, tap].reshape(shape))
        for tap in range(places.shape[1])
        if weights[:, tap].any()
    ]
    total = parts[0]
    for part in parts[1:]:
        total = ops.add(total, part)
    return total


def _resize(node: Node, x: Any, roi: Any = None, scales: Any = None, sizes: Any = None) -> Any:
    if node.version < 11:  # version 10: (x, scales)
        scales, roi = roi, None
    if scales is not None and np.size(scales) == 0:
        scales = None
    shape = type_of(x).shape
    axes = tuple(range(rank(x))) if node["axes"] is None else axes_of(node, node["axes"], rank(x))
    new, factors = _wanted(node, shape, axes, scales, sizes)
    crops = node["coordinate_transformation_mode"] == "tf_crop_and_resize"
    given = (
        np.ravel(node.known(roi, "the region")) if crops else np.tile([0.0, 1.0], (len(axes), 1)).T.ravel()
    )
    return _over_axes(
        node, x, axes, new, factors, [(given[i], given[i + len(axes)]) for i in range(len(axes))]
    )


def _over_axes(
    node: Node, x: Any, axes: Sequence[int], new: Sequence[Dim], factors: Sequence[float], rois: Any
) -> Any:
    dtype = type_of(x).dtype
    crops = node["coordinate_transformation_mode"] == "tf_crop_and_resize"
    wide = ops.cast(x, "float32") if not dtype.is_float and node["mode"] != "nearest" else x
    for axis, out, factor, roi in zip(axes, new, factors, rois, strict=True):
        size = type_of(wide).shape[axis]
        if not isinstance(size, int) or not isinstance(out, int):
            wide = _free(node, wide, axis, out, factor)
        elif out != size or factor != 1 or crops:
            before = wide
            wide = _resized(node, wide, axis, out, factor, roi)
            if crops:
                where = _coordinates(node, size, out, factor, roi)
                outside = ((where < 0) | (where > size - 1)).reshape(
                    [-1 if i == axis else 1 for i in range(rank(before))]
                )
                number = np.asarray(node["extrapolation_value"], type_of(wide).dtype.numpy)
                wide = ops.where(outside, number, wide)
    if wide is not x and not dtype.is_float and node["mode"] != "nearest":
        wide = ops.round(wide)
    return ops.cast(wide, dtype)


def _free(node: Node, x: Any, axis: int, out: Dim, factor: float) -> Any:
    """An axis of free length: left as it is, or every element repeated."""
    if factor == 1:
        return x
    same = node["coordinate_transformation_mode"] in (None, "asymmetric", "half_pixel", "pytorch_half_pixel")
    if node["mode"] != "nearest" or factor != int(factor) or not same:
        node.fail(f"an axis of free length resized by {factor} ({node['mode']}); give its size")
    if (
        node["coordinate_transformation_mode"] in (None, "asymmetric")
        and (node["nearest_mode"] or "floor") != "floor"
    ):
        node.fail(f"an axis of free length resized with nearest_mode {node['nearest_mode']!r}; give its size")
    return ops.repeat(x, int(factor), axis)


def _upsample(node: Node, x: Any, scales: Any = None) -> Any:
    factors = [float(one) for one in (node["scales"] if scales is None else np.ravel(scales))]
    new = [_scaled(node, dim, factor) for dim, factor in zip(type_of(x).shape, factors, strict=True)]
    return _over_axes(node, x, range(rank(x)), new, factors, [(0.0, 1.0)] * rank(x))


# ---------------------------------------------------------------- sampling


def _denormalized(grid: Any, size: int, aligned: bool) -> Any:
    """Positions from -1 to 1 as positions of pixels."""
    if aligned:
        return ops.multiply(ops.add(grid, 1.0), (size - 1) / 2)
    return ops.divide(ops.subtract(ops.multiply(ops.add(grid, 1.0), float(size)), 1.0), 2.0)


def _reflected(x: Any, low: float, high: float) -> Any:
    """Positions thrown back into ``[low, high]`` at both ends."""
    span = high - low
    if span == 0:
        return ops.add(ops.multiply(x, 0.0), low)
    away = ops.mod(ops.subtract(x, low), 2 * span)
    return ops.add(ops.minimum(away, ops.subtract(2 * span, away)), low)


def _cubic_weights(part: Any, tap: int) -> Any:
    """Keys's cubic with a = -0.75 at the distance of the tap -1, 0, 1 or 2 from ``part`` in [0, 1)."""
    a = -0.75
    d = ops.abs(ops.subtract(part, float(tap)))
    if tap in (0, 1):
        return ops.add(ops.multiply(ops.multiply(ops.subtract(ops.multiply(d, a + 2), a + 3), d), d), 1.0)
    inner = ops.add(ops.multiply(ops.subtract(ops.multiply(d, a), 5 * a), d), 8 * a)
    return ops.subtract(ops.multiply(inner, d), 4 * a)


def _grid_sample(node: Node, x: Any, grid: Any) -> Any:
    mode = {"bilinear": "linear", "bicubic": "cubic"}.get(node["mode"], node["mode"])
    aligned, filling = bool(node["align_corners"]), node["padding_mode"]
    sizes = [whole(node, dim, "a side of the image") for dim in type_of(x).shape[2:]]
    where = []
    for axis, size in enumerate(sizes):
        place = _denormalized(ops.get_item(grid, (..., len(sizes) - 1 - axis)), size, aligned)
        low, high = (0.0, size - 1.0) if aligned else (-0.5, size - 0.5)
        place = ops.round(place) if mode == "nearest" else place
        if filling == "border":
            place = ops.clip(place, 0.0, size - 1.0)
        elif filling == "reflection":
            place = ops.where(
                ops.logical_or(ops.less(place, low), ops.greater(place, high)),
                _reflected(place, low, high),
                place,
            )
        where.append(place)
    taps = {"nearest": (0,), "linear": (0, 1), "cubic": (-1, 0, 1, 2)}[mode]
    return _sampled(node, x, where, taps, mode, filling, aligned)


def _sampled(
    node: Node, x: Any, where: Sequence[Any], taps: Sequence[int], mode: str, filling: str, aligned: bool
) -> Any:
    """``x[batch, channels, *sizes]`` at positions ``[batch, *out]`` of each spatial axis."""
    shape = type_of(x).shape
    sizes = [whole(node, dim, "a side of the image") for dim in shape[2:]]
    out = type_of(where[0]).shape
    rows = ops.reshape(x, (*shape[:2], math.prod(sizes)))
    firsts = [ops.floor(place) if mode != "nearest" else ops.round(place) for place in where]
    parts = [ops.subtract(place, first) for place, first in zip(where, firsts, strict=True)]
    total: Any = None
    for combination in itertools.product(taps, repeat=len(sizes)):
        weight: Any = None
        inside: Any = None
        flat: Any = None
        for axis, tap in enumerate(combination):
            place = ops.add(firsts[axis], float(tap))
            size = sizes[axis]
            if mode != "nearest":
                share = _share(parts[axis], tap, mode)
                weight = share if weight is None else ops.multiply(weight, share)
            if filling == "zeros":
                within = ops.logical_and(ops.greater_equal(place, 0.0), ops.less(place, float(size)))
                inside = within if inside is None else ops.logical_and(inside, within)
            elif filling == "reflection":
                place = _reflected(place, *((0.0, size - 1.0) if aligned else (-0.5, size - 0.5)))
            number = ops.cast(ops.clip(ops.round(place), 0.0, size - 1.0), "int32")
            flat = number if flat is None else ops.add(ops.multiply(flat, size), number)
        picked = ops.take_along_axis(rows, ops.reshape(flat, (out[0], 1, math.prod(out[1:]))), 2)
        picked = ops.reshape(picked, (*shape[:2], *out[1:]))
        if inside is not None:
            picked = ops.where(ops.expand_dims(inside, 1), picked, ops.zeros_like(picked))
        if weight is not None:
            picked = ops.multiply(picked, ops.cast(ops.expand_dims(weight, 1), type_of(x).dtype))
        total = picked if total is None else ops.add(total, picked)
    return total


def _share(part: Any, tap: int, mode: str) -> Any:
    if mode == "cubic":
        return _cubic_weights(part, tap)
    return part if tap else ops.subtract(1.0, part)


# ---------------------------------------------------------------- patches


def _col2im(node: Node, x: Any, image: Any, block: Any) -> Any:
    """Columns added up at their places in the image: the transpose of taking patches."""
    sizes, window = [int(n) for n in np.ravel(image)], [int(n) for n in np.ravel(block)]
    count = len(sizes)
    strides, dilation = spread(node, "strides", count), spread(node, "dilations", count)
    pairs = pairs_of(node["pads"] or (0,) * 2 * count)
    full = [n + low + high for n, (low, high) in zip(sizes, pairs, strict=True)]
    steps = [
        (n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(full, window, strides, dilation, strict=True)
    ]
    batch, columns = type_of(x).shape[:2]
    channels = columns // math.prod(window)
    patches = ops.reshape(x, (batch, channels, *window, *steps))
    total: Any = None
    for place in itertools.product(*map(range, window)):
        part = ops.get_item(patches, (slice(None), slice(None), *place))
        part = _dilated(part, strides)
        starts = [p * d for p, d in zip(place, dilation, strict=True)]
        around = [
            (a, n - a - ((c - 1) * s + 1)) for a, n, c, s in zip(starts, full, steps, strides, strict=True)
        ]
        part = padded(part, [(0, 0), (0, 0), *around], "constant")
        total = part if total is None else ops.add(total, part)
    return padded(total, [(0, 0), (0, 0), *((-low, -high) for low, high in pairs)], "constant")


def _dilated(x: Any, strides: Sequence[int]) -> Any:
    """Zeros between the elements of the spatial axes."""
    for axis, stride in enumerate(strides, 2):
        if stride > 1:
            size = type_of(x).shape[axis]
            wide = ops.expand_dims(x, axis + 1)
            wide = padded(
                wide, [(0, stride - 1) if i == axis + 1 else (0, 0) for i in range(rank(wide))], "constant"
            )
            shape = type_of(x).shape
            x = ops.reshape(wide, (*shape[:axis], size * stride, *shape[axis + 1 :]))
            x = ops.strided_slice(x, (0,) * (axis + 1), (*(None,) * axis, size * stride - stride + 1))
    return x


def _deform_conv(node: Node, x: Any, kernel: Any, offset: Any, bias: Any = None, mask: Any = None) -> Any:
    """A convolution whose elements are each taken at a place of its own (Dai et al. 2017; Zhu et al. 2019)."""
    kernel, bias = node.weight(kernel), None if bias is None else node.weight(bias)
    out, _, *window = (whole(node, dim, "a side of the kernel") for dim in type_of(kernel).shape)
    count = len(window)
    strides, dilation = spread(node, "strides", count), spread(node, "dilations", count)
    pairs = pairs_of(node["pads"] or (0,) * 2 * count)
    batch, channels, *_ = type_of(x).shape
    steps = [whole(node, dim, "a side of the offsets") for dim in type_of(offset).shape[2:]]
    many, groups, places = node["offset_group"], node["group"], math.prod(window)
    shifts = ops.reshape(offset, (batch, many, places, count, *steps))
    where = []
    offsets = np.array(list(itertools.product(*map(range, window))), np.float32)  # [places, axes]
    for axis in range(count):
        base = np.arange(steps[axis], dtype=np.float32) * strides[axis] - pairs[axis][0]
        base = base.reshape([-1 if i == axis else 1 for i in range(count)])
        own = (offsets[:, axis] * dilation[axis]).reshape(places, *(1,) * count) + base
        where.append(ops.add(ops.get_item(shifts, (slice(None), slice(None), slice(None), axis)), own))
    parts = ops.reshape(x, (batch * many, channels // many, *type_of(x).shape[2:]))
    flat = [ops.reshape(one, (batch * many, places, *steps)) for one in where]
    taken = _sampled(node, parts, flat, (0, 1), "linear", "zeros", aligned=False)
    if mask is not None:
        taken = ops.multiply(taken, ops.reshape(mask, (batch * many, 1, places, *steps)))
    taken = ops.reshape(taken, (batch, groups, channels // groups * places, math.prod(steps)))
    matrix = ops.reshape(kernel, (groups, out // groups, channels // groups * places))
    y = ops.reshape(ops.matmul(matrix, taken), (batch, out, *steps))
    return y if bias is None else ops.add(y, ops.reshape(bias, (-1, *(1,) * count)))


TABLE = {
    "Resize": Row(_resize, known=(1, 2)),
    "Upsample": Row(_upsample, known=(1,)),
    "GridSample": Row(_grid_sample),
    "Col2Im": Row(_col2im, known=(1, 2)),
    "DeformConv": Row(_deform_conv, weights=(1, 3)),
}
UNSUPPORTED = {("", "ImageDecoder"): "files of images are decoded on the host; give the model pixels"}
