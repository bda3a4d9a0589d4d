"""Detection: boxes that do not overlap, and regions of images."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from unifront import ops
from unifront.onnx.imports.node import Node, Row, whole
from unifront.opset.tensor import type_of


def _corners(boxes: Any, centred: bool) -> tuple[Any, Any, Any, Any]:
    """The lower and higher ends of boxes along both axes."""
    a, b, c, d = (ops.get_item(boxes, (..., i)) for i in range(4))
    if centred:  # x and y of the centre, width, height
        half_width, half_height = ops.divide(c, 2.0), ops.divide(d, 2.0)
        return (
            ops.subtract(b, half_height),
            ops.subtract(a, half_width),
            ops.add(b, half_height),
            ops.add(a, half_width),
        )
    return ops.minimum(a, c), ops.minimum(b, d), ops.maximum(a, c), ops.maximum(b, d)


def _overlaps(boxes: Any, centred: bool) -> Any:
    """``[batch, boxes, boxes]``: the share of two boxes' union that both have."""
    ends = _corners(boxes, centred)
    low, left, high, right = ends
    area = ops.multiply(ops.subtract(high, low), ops.subtract(right, left))

    def pairs(join: Any, one: Any) -> Any:
        return join(ops.expand_dims(one, 2), ops.expand_dims(one, 1))

    height = ops.maximum(ops.subtract(pairs(ops.minimum, high), pairs(ops.maximum, low)), 0.0)
    width = ops.maximum(ops.subtract(pairs(ops.minimum, right), pairs(ops.maximum, left)), 0.0)
    common = ops.multiply(height, width)
    return ops.divide_no_nan(common, ops.subtract(pairs(ops.add, area), common))


def _non_max_suppression(
    node: Node, boxes: Any, scores: Any, most: Any = None, overlap: Any = None, least: Any = None
) -> Any:
    """The boxes of each class by score, without those that overlap a better one that stays (ONNX NonMaxSuppression)."""
    limit = 0 if most is None else int(most.reshape(-1)[0])
    threshold = 0.0 if overlap is None else float(overlap.reshape(-1)[0])
    batch, classes, count = type_of(scores).shape
    boxes, scores = node.traced(boxes), node.traced(scores)
    order = ops.argsort(ops.negative(scores), -1)  # [batch, classes, boxes]
    ranked = ops.take_along_axis(scores, order, -1)
    common = ops.greater(_overlaps(boxes, bool(node["center_point_box"])), threshold)
    rows = ops.reshape(order, (batch, classes, count, 1))
    table = ops.broadcast_to(ops.expand_dims(common, 1), (batch, classes, count, count))
    table = ops.take_along_axis(table, ops.broadcast_to(rows, (batch, classes, count, count)), 2)
    columns = ops.broadcast_to(ops.reshape(order, (batch, classes, 1, count)), (batch, classes, count, count))
    table = ops.take_along_axis(table, columns, 3)  # both axes by score
    alive = ops.ones_like(ranked, "bool")
    if least is not None:
        alive = ops.greater(ranked, np.asarray(float(least.reshape(-1)[0]), np.float32))
    places = ops.iota((1, 1, count), 2, "int32", like=ranked)
    number = ops.iota((count,), 0, "int32", like=ranked)

    def step(carry: Any, given: Any) -> Any:
        row, place = given
        own = ops.any(ops.logical_and(carry, ops.equal(places, place)), -1, True)
        gone = ops.logical_and(ops.logical_and(own, row), ops.greater(places, place))
        return ops.logical_and(carry, ops.logical_not(gone)), own

    kept, _ = ops.scan(step, alive, (ops.moveaxis(table, 2, 0), number))
    kept = ops.logical_and(kept, ops.less_equal(ops.cumsum(ops.cast(kept, "int32"), -1), limit))
    image, kind, place = ops.nonzero(kept)
    flat = ops.add(ops.multiply(ops.add(ops.multiply(image, classes), kind), count), place)
    chosen = ops.take(ops.flatten(order), flat, 0)
    return ops.cast(ops.stack([image, kind, ops.cast(chosen, "int32")], 1), "int64")


def _roi_align(node: Node, x: Any, rois: Any, batches: Any) -> Any:
    """The mean or largest of samples in each bin of each region (He et al. 2017)."""
    height, width = node["output_height"], node["output_width"]
    rows, columns = type_of(x).shape[2:]
    if not isinstance(rows, int) or not isinstance(columns, int):
        node.fail("regions of an image of free size")
    half = 0.5 if node["coordinate_transformation_mode"] == "half_pixel" else 0.0
    if node.version < 16:
        half = 0.0
    ratio = node["sampling_ratio"]
    scale = node["spatial_scale"]
    if ratio > 0:
        return _regions(node, x, rois, batches, (height, width), (ratio, ratio), half, scale)
    known = node.known(rois, "regions without a sampling_ratio")  # so many samples as each one is large
    results = []
    for i, (left, top, right, bottom) in enumerate(known * scale):
        sides = (bottom - top, right - left) if half else (max(bottom - top, 1.0), max(right - left, 1.0))
        counts = tuple(max(math.ceil(side / n), 1) for side, n in zip(sides, (height, width), strict=True))
        one = ops.strided_slice(batches, (i,), (i + 1,))
        results.append(_regions(node, x, known[i : i + 1], one, (height, width), counts, half, scale))
    return ops.concatenate(results, 0)


def _regions(
    node: Node,
    x: Any,
    rois: Any,
    batches: Any,
    out: tuple[int, int],
    counts: tuple[int, ...],
    half: float,
    scale: float,
) -> Any:
    edges = [ops.subtract(ops.multiply(ops.get_item(rois, (slice(None), i)), scale), half) for i in range(4)]
    image = ops.take(x, ops.cast(batches, "int32"), 0)  # [regions, channels, rows, columns]
    channels, rows, columns = (whole(node, dim, "a side of the image") for dim in type_of(image).shape[1:])
    axes = []
    for low, high, n, samples, size in (
        (edges[1], edges[3], out[0], counts[0], rows),
        (edges[0], edges[2], out[1], counts[1], columns),
    ):
        length = ops.subtract(high, low)
        length = length if half else ops.maximum(length, 1.0)
        node.room(n * samples)
        places = (np.arange(n * samples, dtype=np.float32) + 0.5) / samples
        where = ops.add(
            ops.expand_dims(low, 1), ops.multiply(ops.expand_dims(ops.divide(length, float(n)), 1), places)
        )
        axes.append(_interpolation(where, size))  # [regions, n * samples, size]
    if node["mode"] == "max":
        return _largest(image, axes, out, counts)
    tall, wide = axes
    strips = ops.matmul(ops.expand_dims(tall, 1), image)  # [regions, channels, n * samples, columns]
    taken = ops.matmul(strips, ops.swapaxes(ops.expand_dims(wide, 1), 2, 3))
    bins = ops.reshape(taken, (-1, channels, out[0], counts[0], out[1], counts[1]))
    return ops.mean(bins, (3, 5))


def _interpolation(where: Any, size: int) -> Any:
    """The weights of ``size`` pixels at positions: two neighbours share each; far outside there is nothing."""
    there = ops.logical_and(ops.greater_equal(where, -1.0), ops.less_equal(where, float(size)))
    inside = ops.clip(where, 0.0, size - 1.0)
    pixel = np.arange(size, dtype=np.float32)
    weights = ops.maximum(ops.subtract(1.0, ops.abs(ops.subtract(ops.expand_dims(inside, 2), pixel))), 0.0)
    return ops.multiply(weights, ops.cast(ops.expand_dims(there, 2), "float32"))


def _largest(image: Any, axes: list[Any], out: tuple[int, int], counts: tuple[int, ...]) -> Any:
    """The largest of the four weighted neighbours of all samples, as ONNX defines it (and not of their sums)."""
    tall, wide = axes
    rows, columns = type_of(image).shape[2:]
    # Weights are products of a row's and a column's sample, so all pairs are looked at.
    strips = ops.multiply(ops.expand_dims(tall, (1, 4)), ops.expand_dims(image, 2))
    low = np.float32(-np.inf)
    best_rows = ops.where(ops.expand_dims(ops.greater(tall, 0.0), (1, 4)), strips, low)
    parts = ops.reshape(best_rows, (-1, type_of(image).shape[1], out[0], counts[0] * rows, columns))
    cells = ops.multiply(ops.expand_dims(parts, 4), ops.expand_dims(wide, (1, 2, 3)))
    cells = ops.where(ops.expand_dims(ops.greater(wide, 0.0), (1, 2, 3)), cells, low)
    best = ops.max(cells, (3, 5))
    return ops.max(ops.reshape(best, (-1, type_of(image).shape[1], out[0], out[1], counts[1])), -1)


TABLE = {
    "NonMaxSuppression": Row(_non_max_suppression, known=(2, 3, 4)),
    "RoiAlign": Row(_roi_align),
}
