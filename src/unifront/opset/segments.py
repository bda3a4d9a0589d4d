"""Reductions over segments: rows that share a number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from unifront.dtypes import bool_
from unifront.errors import ArgumentError, DTypeError, ShapeError
from unifront.ir import facts
from unifront.ir.dims import Dim, DimExpr
from unifront.ir.types import TensorType
from unifront.opset import elementwise as e
from unifront.opset import reduce
from unifront.opset.creation import bind_size
from unifront.opset.elementwise import TensorLike
from unifront.opset.rules import need_order, need_rank, show, whole
from unifront.opset.spec import OpSpec, Sample, register
from unifront.opset.tensor import bind, replayed, type_of

_KINDS = {"sum": np.add, "max": np.maximum, "min": np.minimum, "prod": np.multiply}


def neutral(kind: str, dtype: np.dtype) -> Any:
    """What an empty segment has: zero, one, or the lowest or highest number of ``dtype``."""
    if kind in ("sum", "prod"):
        return int(kind == "prod")
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return limits.min if kind == "max" else limits.max
    return -np.inf if kind == "max" else np.inf


def _segment_rule(x: TensorType, ids: TensorType, kind: str, num_segments: Dim, sorted: bool) -> TensorType:
    name = f"segment_{kind}"
    if kind not in _KINDS:
        raise ArgumentError(f"A segment is reduced by one of {', '.join(_KINDS)}, not {kind!r}.")
    if x.dtype.kind in "bk":
        raise DTypeError(f"{name} takes numbers, not {x.dtype}; cast them first.")
    if kind in ("max", "min"):
        need_order(x, f"{name}: the data")
    if not ids.dtype.is_integer:
        raise DTypeError(f"{name}: the segment of a row is an integer, not {ids.dtype}.")
    need_rank(ids, 1, f"{name}: segment_ids")
    if x.rank == 0 or x.shape[0] != ids.shape[0]:
        raise ShapeError(
            f"{name}: there is one segment for each row; the data are {show(x.shape)}, the ids {show(ids.shape)}."
        )
    return x.with_shape((num_segments, *x.shape[1:]))


def _segment(x: np.ndarray, ids: np.ndarray, kind: str, num_segments: int, sorted: bool) -> np.ndarray:
    found = np.full((num_segments, *x.shape[1:]), neutral(kind, x.dtype), x.dtype)
    inside = (ids >= 0) & (ids < num_segments)
    _KINDS[kind].at(found, ids[inside], x[inside])
    return found


def _segment_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, ids, count, is_sorted in (
        ((4,), [0, 2, 0, 2], 3, False), ((5, 2), [0, 0, 1, 3, 3], 4, True), ((3, 1, 2), [2, -1, 5], 4, False),
        ((4, 2), [1, 0, 1, 2], 3, False), ((0, 2), [], 2, False), ((2, 0), [1, 0], 2, False), ((1,), [0], 1, True),
    ):  # fmt: skip
        for kind in _KINDS:
            operands = rng.permutation(np.linspace(-2, 2.1, max(1, int(np.prod(shape)))))[: np.prod(shape)]
            attributes = {"kind": kind, "num_segments": count, "sorted": is_sorted}
            has_slope = kind in ("sum", "prod") or set(range(count)) <= set(ids)  # an infinity has none
            given = operands.reshape(shape), np.array(ids, np.int32)
            yield Sample(given, attributes, wrt=None if has_slope else ())


SEGMENT = register(
    OpSpec(
        "segment", _segment_rule, _segment, _segment_samples, "jax.ops.segment_sum; ONNX ScatterND",
        {"kind": str, "num_segments": (int, DimExpr), "sorted": bool}, facts=facts.opaque("float32"),
    )
)  # fmt: skip


def _over(kind: str, data: TensorLike, ids: TensorLike, num_segments: Dim | None, is_sorted: bool) -> Any:
    if type_of(data).dtype == bool_:
        data = e.cast(data, "int32")
    size: Any
    if num_segments is None:
        need_rank(type_of(ids), 1, "segment_ids")
        size = type_of(bind_size(e.add(reduce.max(ids), 1), "segments")).shape[0]
    else:
        size = num_segments if isinstance(num_segments, DimExpr) else whole(num_segments, "num_segments")
    return bind(SEGMENT, data, ids, kind=kind, num_segments=size, sorted=is_sorted)


@replayed
def segment_sum(
    data: TensorLike, segment_ids: TensorLike, num_segments: Dim | None = None, sorted: bool = False
) -> Any:
    """The sum of the rows of each segment: ``[n, ...]`` → ``[num_segments, ...]`` (jax.ops.segment_sum).

    Args:
        segment_ids: ``[n]``, the segment of each row. Rows of segments that there are not are left out.
        num_segments: default the largest of ``segment_ids`` and one. Give it under ``jax.jit``, which needs sizes.
        sorted: ``segment_ids`` do not fall, which may be quicker.

    An empty segment has 0. Raises `ShapeError` if they do not fit, `DTypeError` for segments that are no integers.

    Example::

        uf.ops.segment_sum(np.array([1.0, 2.0, 4.0]), np.array([0, 1, 0]))  # array([5., 2.])
    """
    return _over("sum", data, segment_ids, num_segments, sorted)


@replayed
def segment_max(
    data: TensorLike, segment_ids: TensorLike, num_segments: Dim | None = None, sorted: bool = False
) -> Any:
    """The largest of the rows of each segment, as `segment_sum`; an empty one has the lowest number of the dtype."""
    return _over("max", data, segment_ids, num_segments, sorted)


@replayed
def segment_min(
    data: TensorLike, segment_ids: TensorLike, num_segments: Dim | None = None, sorted: bool = False
) -> Any:
    """The smallest of the rows of each segment, as `segment_sum`; an empty one has the highest number of the dtype."""
    return _over("min", data, segment_ids, num_segments, sorted)


@replayed
def segment_prod(
    data: TensorLike, segment_ids: TensorLike, num_segments: Dim | None = None, sorted: bool = False
) -> Any:
    """The product of the rows of each segment, as `segment_sum`; an empty one has 1."""
    return _over("prod", data, segment_ids, num_segments, sorted)
