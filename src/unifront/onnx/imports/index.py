"""Elements by position: gathering, scattering, sorting, and what is there."""

from __future__ import annotations

from typing import Any

import numpy as np

from unifront import ops
from unifront.ir.dims import Dim
from unifront.onnx.imports.node import Node, Row, axis_of, rank
from unifront.onnx.imports.values import is_strings
from unifront.opset.tensor import type_of


def _gather(node: Node, x: Any, indices: Any) -> Any:
    axis = axis_of(node, node["axis"], rank(x))
    if is_strings(x):
        return np.take(x, node.known(indices), axis)
    return ops.take(x, indices, axis)


def _gather_elements(node: Node, x: Any, indices: Any) -> Any:
    axis = axis_of(node, node["axis"], rank(x))
    wanted = type_of(indices).shape
    starts = tuple(0 for _ in wanted)
    stops = tuple(None if i == axis else dim for i, dim in enumerate(wanted))
    return ops.take_along_axis(ops.strided_slice(x, starts, stops), indices, axis)


def _gather_nd(node: Node, x: Any, indices: Any) -> Any:
    batch = node["batch_dims"] or 0
    shape, where = type_of(x).shape, type_of(indices).shape
    depth = where[-1]
    if not isinstance(depth, int):
        node.fail("positions of which the number of axes is free")
    flat = _flat_positions(indices, shape, batch, depth)
    joined: Dim = 1
    for dim in shape[: batch + depth]:
        joined = joined * dim
    rows = ops.reshape(x, (joined, *shape[batch + depth :]))
    return ops.take(rows, flat, 0)


def _flat_positions(indices: Any, shape: Any, batch: int, depth: int) -> Any:
    """Positions ``[…, depth]`` along the axes behind the first ``batch`` ones, counted through all these axes."""
    where = type_of(indices).shape
    flat = ops.zeros(where[:-1], "int64", like=indices)
    for axis in range(batch):
        size = ops.full((), shape[axis], "int64", like=indices)
        own = ops.iota(
            tuple(dim if i == axis else 1 for i, dim in enumerate(where[:-1])), axis, "int64", like=indices
        )
        flat = ops.add(ops.multiply(flat, size), own)
    for i in range(depth):
        size = ops.full((), shape[batch + i], "int64", like=indices)
        one = ops.cast(ops.get_item(indices, (..., i)), "int64")
        one = ops.where(ops.less(one, 0), ops.add(one, size), one)
        flat = ops.add(ops.multiply(flat, size), one)
    return flat


_REDUCTIONS = {"none": None, "add": "add", "mul": "mul", "max": "max", "min": "min"}


def _scatter_nd(node: Node, x: Any, indices: Any, updates: Any) -> Any:
    return _scattered(x, ops.cast(indices, "int64"), updates, node["reduction"] or "none")


def _scattered(x: Any, indices: Any, updates: Any, reduction: str) -> Any:
    dtype = type_of(x).dtype
    if dtype == "bool":
        return ops.cast(
            _scattered(ops.cast(x, "int32"), indices, ops.cast(updates, "int32"), reduction), "bool"
        )
    return ops.scatter_update(x, indices, updates, _REDUCTIONS[reduction])


def _scatter_elements(node: Node, x: Any, indices: Any, updates: Any) -> Any:
    axis = axis_of(node, node["axis"], rank(x))
    return scatter_along(x, indices, updates, axis, node["reduction"] or "none")


def scatter_along(x: Any, indices: Any, updates: Any, axis: int, reduction: str) -> Any:
    """``x`` with ``updates`` at the positions ``indices`` along one axis, each in its own row of the others."""
    where = type_of(indices).shape
    places = [ops.cast(indices, "int64") if i == axis else _counted(indices, i) for i in range(len(where))]
    return _scattered(x, ops.stack(places, -1), updates, reduction)


def _counted(like: Any, axis: int) -> Any:
    """Positions along one axis, of the shape of ``like``."""
    shape = type_of(like).shape
    own = tuple(dim if i == axis else 1 for i, dim in enumerate(shape))
    return ops.broadcast_to(ops.iota(own, axis, "int64", like=like), shape)


def _top_k(node: Node, x: Any, k: Any = None) -> Any:
    axis = axis_of(node, node["axis"], rank(x))
    count = int(node["k"] if k is None else node.known(k, "how many").reshape(-1)[0])
    largest = node["largest"] != 0
    dtype = type_of(x).dtype
    last = ops.moveaxis(x, axis, -1)
    # A stable order, in which the first of equal ones comes first, as ONNX asks for.
    order = ops.argsort(_descending(last) if largest else last, -1)
    length = type_of(last).rank
    order = ops.strided_slice(order, (0,) * length, (*(None,) * (length - 1), count))
    values = ops.cast(ops.take_along_axis(last, order, -1), dtype)
    return ops.moveaxis(values, -1, axis), ops.cast(ops.moveaxis(order, -1, axis), "int64")


def _descending(x: Any) -> Any:
    """What is in ascending order where ``x`` is in descending order."""
    dtype = type_of(x).dtype
    return ops.bitwise_not(x) if dtype.is_integer else ops.negative(x)


def _one_hot(node: Node, indices: Any, depth: Any, values: Any) -> Any:
    count = int(np.ravel(depth)[0])
    axis = node["axis"]
    place = axis_of(node, axis, rank(indices) + 1)
    whole = ops.cast(indices, "int64")
    whole = ops.where(ops.less(whole, 0), ops.add(whole, count), whole)
    hot = ops.one_hot(whole, count, axis=place, dtype="bool")
    off, on = ops.get_item(values, 0), ops.get_item(values, 1)
    return ops.where(hot, on, off)


def _non_zero(node: Node, x: Any) -> Any:
    if rank(x) == 0:
        x = ops.reshape(x, (1,))
        return ops.cast(ops.strided_slice(ops.stack(ops.nonzero(x), 0), (0,), (0,)), "int64")
    return ops.cast(ops.stack(ops.nonzero(x), 0), "int64")


def _compress(node: Node, x: Any, condition: Any) -> Any:
    axis = node["axis"]
    if axis is None:
        x, place = ops.flatten(x), 0
    else:
        place = axis_of(node, axis, rank(x))
    length = type_of(condition).shape[0]
    first = ops.moveaxis(x, place, 0)
    cut = ops.strided_slice(first, (0,), (length,))
    return ops.moveaxis(ops.boolean_mask(cut, condition), 0, place)


def _unique(node: Node, x: Any) -> Any:
    axis = node["axis"]
    by_value = node["sorted"] != 0
    x, place = (ops.flatten(x), 0) if axis is None else (x, axis_of(node, axis, rank(x)))
    values, index, inverse, counts = ops.unique(
        x, return_index=True, return_inverse=True, return_counts=True, axis=place
    )
    index, inverse, counts = (ops.cast(one, "int64") for one in (index, inverse, counts))
    if not by_value:
        order = ops.argsort(index)  # by the place where each comes first
        values, index, counts = (
            ops.take(values, order, place),
            ops.take(index, order, 0),
            ops.take(counts, order, 0),
        )
        inverse = ops.take(ops.argsort(order), inverse, 0)
    return values, index, ops.cast(ops.flatten(inverse), "int64"), counts


def _array_feature(node: Node, x: Any, indices: Any) -> Any:
    """Of a vector as of a matrix of one row, as ONNX's reference and ONNX Runtime have it."""
    x = ops.expand_dims(x, 0) if rank(x) == 1 else x
    return ops.take(x, ops.flatten(indices), -1)


def _tensor_scatter(node: Node, cache: Any, update: Any, start: Any = None) -> Any:
    """A cache with new keys or values written behind those of each sequence (ONNX TensorScatter)."""
    axis = axis_of(node, node["axis"], rank(cache))
    shape, new = type_of(cache).shape, type_of(update).shape
    batch, length, count = shape[0], shape[axis], new[axis]
    begins = ops.zeros((batch,), "int64", like=cache) if start is None else start
    around = (1,) * (len(shape) - 1)
    offsets = ops.iota(tuple(count if i == axis else 1 for i in range(len(shape))), axis, "int64", like=cache)
    places = ops.add(ops.reshape(begins, (batch, *around)), offsets)
    if node["mode"] == "circular":
        places = ops.mod(places, ops.full((), length, "int64", like=cache))
    return scatter_along(cache, ops.broadcast_to(places, new), update, axis, "none")


TABLE = {
    "Gather": Row(_gather, narrow="moves"),
    "GatherElements": Row(_gather_elements),
    "GatherND": Row(_gather_nd),
    "Scatter": Row(_scatter_elements),
    "ScatterElements": Row(_scatter_elements),
    "ScatterND": Row(_scatter_nd),
    "TensorScatter": Row(_tensor_scatter),
    "TopK": Row(_top_k, known=(1,)),
    "OneHot": Row(_one_hot, known=(1,)),
    "NonZero": Row(_non_zero),
    "Compress": Row(_compress),
    "Unique": Row(_unique),
}
TABLE_OF = {"ai.onnx.ml": {"ArrayFeatureExtractor": Row(_array_feature)}}
