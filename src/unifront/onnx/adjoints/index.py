"""The rules of operations that take elements at positions which are tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unifront.onnx.adjoints.reverse import Rule, Written, fitted, shape_of
from unifront.opset import comparison as c
from unifront.opset import creation, index, scatter, segments
from unifront.opset import elementwise as e
from unifront.opset import shape as s
from unifront.opset.rules import broadcast
from unifront.opset.slicing import strided_slice
from unifront.opset.spec import OpSpec
from unifront.opset.tensor import bind, type_of


def _added(shape: Any, positions: Any, updates: Any) -> Any:
    """Zeros of ``shape`` to which ``updates`` are added at ``positions[..., depth]``."""
    start = creation.zeros(shape, type_of(updates).dtype, like=updates)
    return bind(scatter.SCATTER, start, positions, updates, mode="add")


def _whole(positions: Any) -> Any:
    """Positions in a dtype that `scatter` takes."""
    return positions if type_of(positions).dtype.name in ("int32", "int64") else e.cast(positions, "int32")


def _take(w: Written, g: Any) -> Any:
    x, positions = w.operands
    axis, rank, taken = w["axis"], type_of(x).rank, type_of(positions).rank
    shape = shape_of(x)
    front = s.transpose(g, [*range(axis, axis + taken), *range(axis), *range(axis + taken, rank - 1 + taken)])
    rows = (shape[axis], *shape[:axis], *shape[axis + 1 :])
    found = _added(rows, s.expand_dims(_whole(positions), taken), front)
    return s.transpose(found, [*range(1, axis + 1), 0, *range(axis + 1, rank)]), None


def _embedding(w: Written, g: Any) -> Any:
    positions, table = w.operands
    return None, _added(shape_of(table), s.expand_dims(_whole(positions), type_of(positions).rank), g)


def _along(x: Any, positions: Any, g: Any, axis: int) -> Any:
    """What of the gradient of elements at ``positions`` along ``axis`` goes to ``x``."""
    shape, given = shape_of(x), shape_of(g)
    common = broadcast(*((*shape_of(one)[:axis], 1, *shape_of(one)[axis + 1 :]) for one in (x, positions)))
    positions = s.broadcast_to(_whole(positions), given)
    dtype = type_of(positions).dtype
    places = [positions if i == axis else creation.iota(given, i, dtype, like=g) for i in range(len(shape))]
    whole = (*common[:axis], shape[axis], *common[axis + 1 :])
    return fitted(_added(whole, s.stack(places, -1), g), x)


def _take_along_axis(w: Written, g: Any) -> Any:
    x, positions = w.operands
    return _along(x, positions, g, w["axis"]), None


def _top_k(w: Written, g: Any, _: Any) -> Any:
    return (_along(w.operands[0], w.results[1], g, type_of(w.operands[0]).rank - 1),)


def _sort(w: Written, g: Any) -> Any:
    return (_along(w.operands[0], index.argsort(w.operands[0], w["axis"]), g, w["axis"]),)


def _picked(x: Any, positions: Any) -> Any:
    """The parts of ``x`` at ``positions[..., depth]``: rows of what has its first axes joined."""
    shape, depth = shape_of(x), shape_of(positions)[-1]
    row: Any = 0
    for axis in range(depth):
        one = s.squeeze(_column(positions, axis), -1)
        one = e.where(c.less(one, 0), one + _size(one, shape[axis]), one)
        row = row * _size(one, shape[axis]) + one
    count: Any = 1
    for dim in shape[:depth]:
        count = count * dim
    return index.take(s.reshape(x, (count, *shape[depth:])), row, 0)


def _column(x: Any, number: int) -> Any:
    rank = type_of(x).rank
    return strided_slice(x, [0] * (rank - 1) + [number], [None] * (rank - 1) + [number + 1])


def _size(like: Any, dim: Any) -> Any:
    return creation.full((), dim, type_of(like).dtype, like=like)


def _scatter(w: Written, g: Any) -> Any:
    _, positions, updates = w.operands
    if w["mode"] not in ("set", "add"):
        raise w.fail(f"scattering by {w['mode']!r}")
    if w["mode"] == "add":
        return g, None, _picked(g, positions)
    none = creation.zeros(shape_of(updates), type_of(g).dtype, like=g)
    return bind(scatter.SCATTER, g, positions, none, mode="set"), None, _picked(g, positions)


def _segment(w: Written, g: Any) -> Any:
    """The gradient of a sum goes to each row of its segment; rows of segments that there are not have none."""
    if w["kind"] != "sum":
        raise w.fail(f"the {w['kind']} of segments")
    x, ids = w.operands
    ids = _whole(ids)
    inside = c.logical_and(c.greater_equal(ids, 0), c.less(ids, _size(ids, w["num_segments"])))
    rows = index.take(g, e.where(inside, ids, 0), 0)
    return e.where(s.reshape(inside, (*shape_of(ids), *(1,) * (type_of(x).rank - 1))), rows, 0), None


TABLE: Mapping[OpSpec, Rule] = {
    index.TAKE: _take,
    index.EMBEDDING: _embedding,
    index.TAKE_ALONG_AXIS: _take_along_axis,
    index.TOP_K: _top_k,
    index.SORT: _sort,
    scatter.SCATTER: _scatter,
    segments.SEGMENT: _segment,
}
