"""Reductions, positions of extremes, and sums along an axis."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from unifront import ops
from unifront.onnx.imports.node import Node, Row, axes_of, axis_of, rank
from unifront.opset.tensor import type_of


def _axes(node: Node, x: Any, axes: Any) -> tuple[int, ...] | None:
    """The axes, from the operand or (in older versions) the attribute; None: nothing is reduced."""
    given = node["axes"] if axes is None else axes
    if given is None or np.size(given) == 0:
        return None if node["noop_with_empty_axes"] else tuple(range(rank(x)))
    return axes_of(node, given, rank(x))


def _reduction(
    function: Callable[..., Any], before: Callable[[Any], Any] | None = None, after: Callable[[Any], Any] | None = None
) -> Row:  # fmt: skip
    """A reduction in the dtype of its operand.

    Args:
        before, after: what is done to each element, and to each result.
    """

    def row(node: Node, x: Any, axes: Any = None) -> Any:
        dtype, over = type_of(x).dtype, _axes(node, x, axes)
        keepdims = node["keepdims"] != 0
        y = x if before is None else before(x)
        if over is not None:
            y = function(y, over, keepdims)
        return ops.cast(y if after is None else after(y), dtype)

    return Row(row, known=(1,))


def _extremum(function: Callable[..., Any], lowest: bool) -> Callable[..., Any]:
    """The largest or smallest; over no elements the end of the dtype's numbers."""

    def reduced(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
        type_ = type_of(x)
        if type_.dtype == "bool":
            return (ops.any if lowest else ops.all)(x, axes, keepdims)
        if 0 in [type_.shape[axis] for axis in axes]:
            kind = type_.dtype.numpy
            info = None if type_.dtype.is_float else np.iinfo(kind)
            edge = (-np.inf if lowest else np.inf) if info is None else info.min if lowest else info.max
            shape = [
                1 if i in axes else dim for i, dim in enumerate(type_.shape) if keepdims or i not in axes
            ]
            return ops.broadcast_to(np.asarray(edge, kind), shape)
        return function(x, axes, keepdims)

    return reduced


def _log_sum_exp(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    if 0 in [type_of(x).shape[axis] for axis in axes]:
        return ops.log(ops.sum(x, axes, keepdims))
    return ops.logsumexp(x, axes, keepdims)


def _mean(x: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    if type_of(x).dtype.is_float:
        return ops.mean(x, axes, keepdims)
    count = math.prod(type_of(x).shape[axis] for axis in axes)
    return ops.floor_divide(ops.sum(x, axes, keepdims), count)


def _number(x: Any) -> Any:
    return x if type_of(x).dtype.is_float else ops.cast(x, "float64")


def _position(function: Callable[..., Any]) -> Row:
    def row(node: Node, x: Any) -> Any:
        axis = axis_of(node, node["axis"], rank(x))
        keepdims = node["keepdims"] != 0
        if not node["select_last_index"]:
            return ops.cast(function(x, axis, keepdims), "int64")
        place = ops.cast(function(ops.flip(x, axis), axis, keepdims), "int64")
        last = ops.full((), type_of(x).shape[axis] - 1, "int64", like=place)
        return ops.subtract(last, place)

    return Row(row)


def _cumulative(node: Node, x: Any, axis: Any) -> Any:
    type_ = type_of(x)
    result = ops.cumsum(
        x, axis_of(node, int(axis), rank(x)), reverse=bool(node["reverse"]), exclusive=bool(node["exclusive"])
    )
    return ops.cast(result, type_.dtype)


def _cumulative_product(node: Node, x: Any, axis: Any) -> Any:
    dtype, place = type_of(x).dtype, axis_of(node, int(axis), rank(x))
    x = ops.flip(x, place) if node["reverse"] else x
    if node["exclusive"]:
        ones = ops.ones_like(ops.strided_slice(x, (0,) * place + (0,), (None,) * place + (1,)))
        rest = ops.strided_slice(x, (0,) * place + (0,), (None,) * place + (-1,))
        x = ops.concatenate([ones, rest], place)
    result = ops.cast(ops.cumprod(x, place), dtype)
    return ops.flip(result, place) if node["reverse"] else result


TABLE = {
    "ReduceSum": _reduction(ops.sum),
    "ReduceMean": _reduction(_mean),
    "ReduceProd": _reduction(ops.prod),
    "ReduceMax": _reduction(_extremum(ops.max, True)),
    "ReduceMin": _reduction(_extremum(ops.min, False)),
    "ReduceSumSquare": _reduction(ops.sum, ops.square),
    "ReduceL1": _reduction(ops.sum, ops.abs),
    "ReduceL2": _reduction(ops.sum, lambda x: ops.square(_number(x)), ops.sqrt),
    "ReduceLogSum": _reduction(ops.sum, _number, ops.log),
    "ReduceLogSumExp": _reduction(_log_sum_exp, _number),
    "ArgMax": _position(ops.argmax),
    "ArgMin": _position(ops.argmin),
    "CumSum": Row(_cumulative, known=(1,)),
    "CumProd": Row(_cumulative_product, known=(1,)),
}
