"""Shapes: what moves, joins, cuts and repeats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from unifront import ops
from unifront.ir.dims import Dim, DimExpr
from unifront.ir.types import Shape
from unifront.onnx.imports.node import Node, Row, axes_of, axis_of, rank
from unifront.onnx.imports.values import Narrow, Value, Weight, is_strings, sizes
from unifront.opset.rules import broadcast
from unifront.opset.tensor import type_of


def shape_of(value: Value) -> Shape:
    """The shape of any value that has one."""
    if isinstance(value, Narrow):
        value = value.tensor
    array = getattr(value, "array", value)
    return tuple(array.shape) if isinstance(array, np.ndarray) else type_of(array).shape


def _moving(function: Any, **given: Any) -> Row:
    """A row that only moves elements, of any type."""
    return Row(function, narrow="moves", **given)


def _shape(node: Node, x: Value) -> Any:
    dims = shape_of(x)
    start, end = node["start"] or 0, node["end"]
    return sizes(np.array([None, *dims], object)[1:][slice(start, end)])


def _size(node: Node, x: Value) -> Any:
    return sizes(np.asarray(math.prod(shape_of(x)), object))


def _reshape(node: Node, x: Any, shape: Sequence[Dim] | None = None) -> Any:
    wanted = node["shape"] if shape is None else shape
    own = type_of(x).shape
    if not node["allowzero"]:
        wanted = [
            own[i] if isinstance(dim, int) and dim == 0 and i < len(own) else dim
            for i, dim in enumerate(wanted)
        ]
    return ops.reshape(x, tuple(wanted))


def _flatten(node: Node, x: Any) -> Any:
    shape, axis = type_of(x).shape, node["axis"]
    axis = axis + len(shape) if axis < 0 else axis
    return ops.reshape(x, (math.prod(shape[:axis]), math.prod(shape[axis:])))


def _transpose(node: Node, x: Any) -> Any:
    axes = node["perm"]
    axes = tuple(range(rank(x)))[::-1] if axes is None else axes
    return (
        node.weight(x, tuple(axes))
        if isinstance(x, Weight) and x.array.size > 1
        else ops.transpose(node.number(x), axes)
    )


def _squeeze(node: Node, x: Any, axes: Any = None) -> Any:
    given = node["axes"] if axes is None else axes
    return ops.squeeze(x, None if given is None else axes_of(node, given, rank(x)))


def _unsqueeze(node: Node, x: Any, axes: Any = None) -> Any:
    given = node["axes"] if axes is None else axes
    return ops.expand_dims(x, axes_of(node, given, rank(x) + np.size(given)))


def _concat(node: Node, *xs: Any) -> Any:
    if any(is_strings(x) for x in xs):
        return np.concatenate([node.known(x) for x in xs], node["axis"])
    axis = 1 if node["axis"] is None else node["axis"]  # the default of version 1
    return ops.concatenate(list(xs), axis_of(node, axis, rank(xs[0])))


def _split(node: Node, x: Any, split: Any = None) -> Any:
    axis = axis_of(node, node["axis"] or 0, rank(x))
    lengths = node["split"] if split is None else [int(n) for n in split]
    count = len(node.proto.output)
    if lengths is None:
        dim = type_of(x).shape[axis]
        length = (dim + count - 1) // count
        lengths = [length] * (count - 1)
    else:
        lengths = list(lengths)[:-1]
    return tuple(ops.split(x, [sum(lengths[: i + 1]) for i in range(len(lengths))], axis))


def _expand(node: Node, x: Any, shape: tuple[Dim, ...]) -> Any:
    wanted = broadcast(type_of(x).shape, shape)
    return ops.broadcast_to(node.lazy(x, wanted), wanted)


def _tile(node: Node, x: Any, repeats: Any, axis: Any = None) -> Any:
    if axis is not None:  # version 1: so many times along one axis
        times = [1] * rank(x)
        times[axis_of(node, int(node.known(axis)), rank(x))] = int(node.known(repeats).reshape(-1)[0])
        return ops.tile(x, tuple(times))
    counts = node.dims(repeats)
    if len(counts) != rank(x):
        node.fail(f"{len(counts)} repetitions for {rank(x)} axes")
    shape = tuple(dim * n for dim, n in zip(type_of(x).shape, counts, strict=True))
    x = node.lazy(x, shape)
    if all(isinstance(n, int) for n in counts):
        return ops.tile(x, counts)
    own = type_of(x).shape
    spread = ops.reshape(x, tuple(one for dim in own for one in (1, dim)))
    return ops.reshape(
        ops.broadcast_to(spread, tuple(one for pair in zip(counts, own, strict=True) for one in pair)), shape
    )


def _slice(
    node: Node, x: Any, starts: Any = None, ends: Any = None, axes: Any = None, steps: Any = None
) -> Any:
    if starts is None:
        starts, ends, axes = node["starts"], node["ends"], node["axes"]
    starts, ends = tuple(starts), tuple(ends)
    places = axes_of(node, range(len(starts)) if axes is None else axes, rank(x))
    strides = [1] * len(starts) if steps is None else [int(step) for step in np.ravel(steps)]
    shape = type_of(x).shape
    for start, end, axis, step in zip(starts, ends, places, strides, strict=True):
        x = _cut(node, x, shape[axis], axis, start, end, step)
    return x


def _cut(node: Node, x: Any, dim: Dim, axis: int, start: Dim, end: Dim, step: int) -> Any:
    """``start:end:step`` along one axis."""
    if step == 0:
        node.fail("a slice with a step of 0")
    if step < 0:
        if not isinstance(dim, int):
            first = (
                start
                if isinstance(start, DimExpr)
                else None
                if start >= 2**31 - 1
                else -1 - start
                if start < 0
                else None
            )
            if first is None and isinstance(start, int) and start < 2**31 - 1 and start >= 0:
                node.fail("a slice that counts down from the front of an axis of free length")
            if isinstance(end, int) and -(2**30) < end < 0:
                last: Any = -1 - end
            elif isinstance(end, int) and end <= -(2**30):
                last = None
            else:
                node.fail("a slice that counts down to the front of an axis of free length")
            return _part(ops.flip(x, axis), axis, first, last, -step)
        if isinstance(start, DimExpr) or isinstance(end, DimExpr):
            node.fail("a slice that counts down between sizes that are free")
        first, last, _ = slice(start, end, step).indices(dim)
        return _part(ops.flip(x, axis), axis, dim - 1 - first, dim - 1 - last, -step)
    if isinstance(dim, int) and isinstance(start, int) and isinstance(end, int):
        start, end, _ = slice(start, end, step).indices(dim)
        return _part(x, axis, start, max(start, end), step)
    return _part(x, axis, start, None if isinstance(end, int) and end >= 2**31 - 1 else end, step)


def _part(x: Any, axis: int, start: Any, stop: Any, step: int) -> Any:
    before = axis
    return ops.strided_slice(
        x, (*(0,) * before, start), (*(None,) * before, stop), (*(1,) * before, step)
    )  # fmt: skip


def _pad(node: Node, x: Any, pads: Any = None, value: Any = None, axes: Any = None) -> Any:
    given = (node["pads"] or node["paddings"]) if pads is None else pads
    places = tuple(range(rank(x))) if axes is None else axes_of(node, axes, rank(x))
    flat = [int(n) for n in np.ravel(given)]
    if len(flat) != 2 * len(places):
        node.fail(f"{len(flat)} pads for {len(places)} axes")
    pairs = [(0, 0)] * rank(x)
    for i, axis in enumerate(places):
        pairs[axis] = (flat[i], flat[i + len(places)])
    number = node["value"] if value is None else node.known(value, "the value that pads").reshape(-1)[0]
    return padded(x, pairs, node["mode"] or "constant", 0 if number is None else number)


def padded(x: Any, pairs: Sequence[tuple[int, int]], mode: str, number: Any = 0) -> Any:
    """``x`` with more elements, or (where a pad is negative) fewer, at the ends of its axes."""
    if any(n < 0 for pair in pairs for n in pair):
        starts = tuple(max(-low, 0) for low, _ in pairs)
        stops = tuple(high if high < 0 else None for _, high in pairs)
        x = ops.strided_slice(x, starts, stops)
        pairs = [(max(low, 0), max(high, 0)) for low, high in pairs]
    if mode != "constant":
        return ops.pad(x, pairs, mode)
    dtype = type_of(x).dtype
    if dtype == "bool":
        return ops.cast(ops.pad(ops.cast(x, "uint8"), pairs, constant_values=int(number)), "bool")
    return ops.pad(x, pairs, constant_values=float(number) if dtype.is_float else int(number))


def _depth_to_space(node: Node, x: Any) -> Any:
    batch, channels, *space = type_of(x).shape
    size = node["blocksize"]
    blocks = (size,) * len(space)
    count = channels // size ** len(space)
    around = len(space)
    if (node["mode"] or "DCR") == "DCR":
        split = ops.reshape(x, (batch, *blocks, count, *space))
        first, blocks_at = 1 + around, range(1, 1 + around)
    else:
        split = ops.reshape(x, (batch, count, *blocks, *space))
        first, blocks_at = 1, range(2, 2 + around)
    pairs = [axis for i, at in enumerate(blocks_at) for axis in (2 + around + i, at)]
    return ops.reshape(
        ops.transpose(split, (0, first, *pairs)), (batch, count, *(dim * size for dim in space))
    )


def _space_to_depth(node: Node, x: Any) -> Any:
    batch, channels, *space = type_of(x).shape
    size, around = node["blocksize"], len(space)
    split = ops.reshape(x, (batch, channels, *(one for dim in space for one in (dim // size, size))))
    blocks, places = range(3, 3 + 2 * around, 2), range(2, 2 + 2 * around, 2)
    if node["mode"] == "CRD":
        order, count = (0, 1, *blocks, *places), channels * size**around
    else:
        order, count = (0, *blocks, 1, *places), channels * size**around
    return ops.reshape(ops.transpose(split, order), (batch, count, *(dim // size for dim in space)))


def _trilu(node: Node, x: Any, k: Any = None) -> Any:
    offset = 0 if k is None else int(k)
    part = ops.triu if node["upper"] != 0 else ops.tril
    dtype = type_of(x).dtype
    if dtype == "bool":
        return ops.cast(part(ops.cast(x, "int32"), offset), "bool")
    return ops.cast(part(x, offset), dtype)


def _identity(node: Node, x: Value) -> Value:
    return x


def _crop_pad(node: Node, x: Any, shape: tuple[Dim, ...]) -> Any:
    places = axes_of(node, node["axes"] or range(rank(x)), rank(x))
    pairs = [(0, 0)] * rank(x)
    for axis, wanted in zip(places, shape, strict=True):
        have = type_of(x).shape[axis]
        more = wanted - have
        if not isinstance(more, int):
            node.fail("cropping or padding an axis to or from a free length")
        # What is cut or added at the end is the larger half.
        before = more // 2 if more >= 0 else -((-more) // 2)
        pairs[axis] = (before, more - before)
    return padded(x, pairs, "constant")


def _reverse_sequence(node: Node, x: Any, lengths: Any) -> Any:
    batch, time = node["batch_axis"], node["time_axis"]
    shape = type_of(x).shape
    places = ops.iota(
        tuple(dim if axis in (batch, time) else 1 for axis, dim in enumerate(shape)), time, "int64", like=x
    )
    ends = ops.reshape(lengths, tuple(shape[batch] if axis == batch else 1 for axis in range(len(shape))))
    turned = ops.where(ops.less(places, ends), ops.subtract(ops.subtract(ends, 1), places), places)
    return ops.take_along_axis(x, turned, time)


TABLE = {
    "Shape": Row(_shape, raw=True),
    "Size": Row(_size, raw=True),
    "Reshape": _moving(_reshape, sizes=(1,)),
    "Flatten": _moving(_flatten),
    "Transpose": _moving(_transpose, weights=(0,)),
    "Squeeze": _moving(_squeeze, known=(1,)),
    "Unsqueeze": _moving(_unsqueeze, known=(1,)),
    "Concat": _moving(_concat),
    "Split": _moving(_split, known=(1,)),
    "Expand": _moving(_expand, sizes=(1,)),
    "Tile": _moving(_tile),
    "Slice": _moving(_slice, sizes=(1, 2), known=(3, 4)),
    "Pad": Row(_pad, known=(1, 3)),
    "DepthToSpace": _moving(_depth_to_space),
    "SpaceToDepth": _moving(_space_to_depth),
    "Trilu": Row(_trilu, known=(1,)),
    "Identity": Row(_identity, raw=True),
    "CenterCropPad": Row(_crop_pad, sizes=(1,)),
    "ReverseSequence": _moving(_reverse_sequence),
}
