"""Pooling, channels first."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from unifront import ops
from unifront.onnx.imports.conv import FIRST, Pairs, padding, pairs_of, spread
from unifront.onnx.imports.node import Node, Row, rank
from unifront.onnx.imports.shape import padded
from unifront.opset.tensor import type_of


def _window(node: Node, x: Any) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    count = rank(x) - 2
    return (
        spread(node, "kernel_shape", count),
        spread(node, "strides", count),
        spread(node, "dilations", count),
    )


def _pairs(node: Node, x: Any, window: Any, strides: Any, dilation: Any) -> tuple[Pairs, Pairs] | None:
    """The pads, and with what the last window needs beyond them (ceil_mode); None for "same" over a free size."""
    sizes = type_of(x).shape[2:]
    found = padding(node, sizes, window, strides, dilation)
    if isinstance(found, str):
        return None
    if not node["ceil_mode"] or (node["auto_pad"] or "NOTSET") not in ("NOTSET",):
        return found, found
    longer = []
    for n, k, s, d, (low, high) in zip(sizes, window, strides, dilation, found, strict=True):
        if not isinstance(n, int):
            node.fail("ceil_mode over an axis of free length")
        reach = d * (k - 1) + 1
        count = -(-(n + low + high - reach) // s) + 1
        if (count - 1) * s >= n + low:  # a window that would begin in the padding at the end
            count -= 1
        longer.append((low, max(high, (count - 1) * s + reach - n - low)))
    return found, longer


PLACES = 5_000
"""Places that a window may have which is written out, one slice for each; ONNX's own tests have 80 by 60."""


def _windows(
    node: Node, x: Any, window: Sequence[int], strides: Sequence[int], dilation: Sequence[int]
) -> list[Any]:
    """For each place in the window the elements there, of all windows: ``x`` is padded already."""
    if math.prod(window) > PLACES:
        node.fail(f"a window of {math.prod(window)} places; at most {PLACES} are written out")
    sizes = type_of(x).shape[2:]
    counts = [
        (n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(sizes, window, strides, dilation, strict=True)
    ]
    parts = []
    for place in itertools.product(*map(range, window)):
        starts = [p * d for p, d in zip(place, dilation, strict=True)]
        stops = [b + (c - 1) * s + 1 for b, c, s in zip(starts, counts, strides, strict=True)]
        parts.append(ops.strided_slice(x, (0, 0, *starts), (None, None, *stops), (1, 1, *strides)))
    return parts


def _fits(pairs: Pairs, window: Sequence[int]) -> bool:
    """Whether every window has an element of the input, as `unifront.ops.max_pool` asks for."""
    return all(max(pair) < k for pair, k in zip(pairs, window, strict=True))


def _lowest(dtype: Any) -> float:
    return -math.inf if dtype.is_float else np.iinfo(dtype.numpy).min


def _max_pool(node: Node, x: Any) -> Any:
    window, strides, dilation = _window(node, x)
    found = _pairs(node, x, window, strides, dilation)
    dtype = type_of(x).dtype
    plain = dtype.is_float and set(dilation) == {1} and not node.wants(1)
    if found is None:
        if not plain:
            node.fail("auto_pad with dilations, positions or integers over axes of free length")
        return ops.max_pool(x, window, strides, "same", FIRST)
    pairs = found[1]
    if plain and 3 <= rank(x) <= 5 and _fits(pairs, window) and min(n for p in pairs for n in p) >= 0:
        return ops.max_pool(x, window, strides, pairs, FIRST)
    parts = _windows(node, padded(x, [(0, 0), (0, 0), *pairs], "constant", _lowest(dtype)) if dtype.is_float else
                     _padded_integers(x, pairs), window, strides, dilation)  # fmt: skip
    stacked = ops.stack(parts, 0)
    best = ops.max(stacked, 0)
    if not node.wants(1):
        return best
    return best, _positions(node, x, stacked, pairs, window, strides, dilation)


def _padded_integers(x: Any, pairs: Pairs) -> Any:
    dtype = type_of(x).dtype
    return padded(x, [(0, 0), (0, 0), *pairs], "constant", _lowest(dtype))


def _positions(
    node: Node, x: Any, stacked: Any, pairs: Pairs, window: Any, strides: Any, dilation: Any
) -> Any:
    """Where the largest of each window is, counted through the whole input."""
    shape = type_of(x).shape
    which = ops.argmax(stacked, 0)
    counts: Any = type_of(which).shape[2:]
    column = node["storage_order"] == 1
    places = np.array(list(itertools.product(*map(range, window))), np.int64)  # [window, axis]
    order = range(len(window)) if column else reversed(range(len(window)))
    total: Any = ops.zeros((), "int64", like=which)
    step: Any = np.int64(1)
    for axis in order:
        base = np.arange(counts[axis], dtype=np.int64) * strides[axis] - pairs[axis][0]
        base = base.reshape([-1 if i == axis else 1 for i in range(len(window))])
        inside = ops.add(ops.take(places[:, axis] * dilation[axis], which, 0), base)
        total = ops.add(total, ops.multiply(inside, step))
        step = step * shape[2 + axis]
    images = ops.iota((shape[0], 1, *(1,) * len(window)), 0, "int64", like=which)
    channels = ops.iota((1, shape[1], *(1,) * len(window)), 1, "int64", like=which)
    before = ops.add(ops.multiply(images, shape[1]), channels)
    return ops.add(ops.multiply(before, step), total)


def average_pool(node: Node, x: Any) -> Any:
    """The row of AveragePool."""
    window, strides, dilation = _window(node, x)
    found = _pairs(node, x, window, strides, dilation)
    if found is None:
        return ops.average_pool(x, window, strides, "same", FIRST)
    pads, longer = found
    counted = node["count_include_pad"] == 1
    inner = pads if counted else [(0, 0)] * len(window)
    outer = [(low - a, high - b) for (low, high), (a, b) in zip(longer, inner, strict=True)]
    x = padded(x, [(0, 0), (0, 0), *inner], "constant")
    if set(dilation) == {1} and _fits(outer, window) and 3 <= rank(x) <= 5:
        return ops.average_pool(x, window, strides, outer, FIRST)
    ones = ops.ones((1, 1, *type_of(x).shape[2:]), type_of(x).dtype, like=x)
    around = [(0, 0), (0, 0), *outer]
    sums, counts = (
        ops.sum(ops.stack(_windows(node, padded(one, around, "constant"), window, strides, dilation), 0), 0)
        for one in (x, ones)
    )
    return ops.divide(sums, counts)


def _lp_pool(node: Node, x: Any) -> Any:
    window, strides, dilation = _window(node, x)
    found = _pairs(node, x, window, strides, dilation)
    if found is None:
        node.fail("auto_pad over axes of free length")
    p = float(node["p"])
    powers = ops.power(ops.abs(x), p)
    parts = _windows(node, padded(powers, [(0, 0), (0, 0), *found[1]], "constant"), window, strides, dilation)
    return ops.power(ops.sum(ops.stack(parts, 0), 0), 1 / p)


def _spatial(x: Any) -> tuple[int, ...]:
    return tuple(range(2, rank(x)))


def _global_lp(node: Node, x: Any) -> Any:
    p = float(node["p"])
    return ops.power(ops.sum(ops.power(ops.abs(x), p), _spatial(x), True), 1 / p)


def _max_unpool(node: Node, x: Any, positions: Any, shape: Any = None) -> Any:
    count = rank(x) - 2
    window, strides = spread(node, "kernel_shape", count), spread(node, "strides", count)
    pairs = pairs_of(node["pads"] or (0,) * 2 * count)
    own = type_of(x).shape
    least = (*own[:2], *((n - 1) * s + k - low - high
                         for n, s, k, (low, high) in zip(own[2:], strides, window, pairs, strict=True)))  # fmt: skip
    wanted = least if shape is None else shape
    flat = ops.zeros((math.prod(least),), type_of(x).dtype, like=x)
    flat = ops.scatter_update(flat, ops.reshape(positions, (-1, 1)), ops.flatten(x))
    placed = ops.reshape(flat, least)
    if wanted == least:
        return placed
    return padded(placed, [(0, want - have) for want, have in zip(wanted, least, strict=True)], "constant")


def _max_roi_pool(node: Node, x: Any, rois: Any) -> Any:
    """The largest of each bin of each region (Girshick 2015), whose edges are rounded to whole pixels."""
    height, width = node["pooled_shape"]
    scale = node["spatial_scale"]
    sides: Any = type_of(x).shape
    rows, columns = sides[2:]
    boxes = ops.round(ops.multiply(ops.get_item(rois, (slice(None), slice(1, None))), scale))
    image = ops.take(x, ops.cast(ops.get_item(rois, (slice(None), 0)), "int32"), 0)

    def inside(low: Any, high: Any, bins: int, size: int) -> Any:
        """``[regions, bins, size]``: which pixels are in which bin."""
        length = ops.maximum(ops.add(ops.subtract(high, low), 1), 1.0)
        step = ops.expand_dims(ops.divide(length, float(bins)), 1)
        number = np.arange(bins, dtype=np.float32)[None]
        begin = ops.add(ops.floor(ops.multiply(step, number)), ops.expand_dims(low, 1))
        end = ops.add(ops.ceil(ops.multiply(step, number + 1)), ops.expand_dims(low, 1))
        pixel = np.arange(size, dtype=np.float32)[None, None]
        return ops.logical_and(
            ops.greater_equal(pixel, ops.expand_dims(begin, 2)), ops.less(pixel, ops.expand_dims(end, 2))
        )

    left, top, right, bottom = (ops.get_item(boxes, (slice(None), i)) for i in range(4))
    tall, wide = inside(top, bottom, height, rows), inside(left, right, width, columns)
    lowest = np.asarray(-np.inf, type_of(x).dtype.numpy)
    by_row = ops.where(ops.reshape(wide, (-1, 1, 1, width, columns)), ops.expand_dims(image, 3), lowest)
    strips = ops.max(by_row, -1)  # [regions, channels, rows, width]
    bins = ops.where(ops.reshape(tall, (-1, 1, height, rows, 1)), ops.expand_dims(strips, 2), lowest)
    best = ops.max(bins, 3)
    return ops.where(ops.isneginf(best), ops.zeros_like(best), best)


TABLE = {
    "MaxPool": Row(_max_pool),
    "AveragePool": Row(average_pool),
    "LpPool": Row(_lp_pool),
    "GlobalAveragePool": Row(lambda node, x: ops.mean(x, _spatial(x), True)),
    "GlobalMaxPool": Row(lambda node, x: ops.max(x, _spatial(x), True)),
    "GlobalLpPool": Row(_global_lp),
    "MaxUnpool": Row(_max_unpool, sizes=(2,)),
    "MaxRoiPool": Row(_max_roi_pool),
}
