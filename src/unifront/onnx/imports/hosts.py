"""Arithmetic of sizes: what operators do with dimensions that are not known yet, by NumPy on arrays of objects."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unifront.errors import UnifrontError
from unifront.ir.dims import DimExpr, at_least, at_most, maximum, minimum
from unifront.onnx.imports.node import Node
from unifront.onnx.imports.values import Sizes, Value, is_strings, sizes

MOST_TERMS, LARGEST_DEGREE, MOST_SIZES = 32, 8, 2**12
"""What a computed dimension may have, and how many there may be in an array: shapes of models are far below."""
INTEGERS = (6, 7)
"""int32 and int64 in ``TensorProto.DataType``."""


def on_sizes(node: Node, operands: Sequence[Value]) -> tuple[Value, ...] | None:
    """What the node gives for sizes, None where it has to be a tensor: then it is computed when the model runs."""
    function = TABLE.get(node.proto.op_type) if node.proto.domain in ("", "ai.onnx") else None
    if function is None:
        return None
    arrays: list[Any] = []
    for operand in operands:
        if isinstance(operand, Sizes):
            arrays.append(operand.array)
        elif operand is None or (isinstance(operand, np.ndarray) and not is_strings(operand)):
            arrays.append(operand)
        else:
            return None
    try:
        found = function(node, *arrays)
    except (TypeError, UnifrontError):  # what dimensions cannot say: a quotient by one of them, an order
        return None
    if found is None:
        return None
    if isinstance(found, np.ndarray) and found.dtype == bool:  # of comparisons
        return (found,)
    # What NumPy takes out of an array of objects may be the object.
    results = [np.asarray(one, object) for one in (found if isinstance(found, tuple) else (found,))]
    if sum(one.size for one in results) > MOST_SIZES:
        node.fail(f"it computes with more than {MOST_SIZES} sizes")
    return tuple(map(sizes, results)) if all(map(_is_simple, results)) else None


def _is_simple(array: np.ndarray) -> bool:
    """Whether no dimension in ``array`` is a formula that grows without end."""
    for dim in array.flat:
        terms = dim.terms if isinstance(dim, DimExpr) else (((), dim),)
        if len(terms) > MOST_TERMS or any(
            len(monomial) > LARGEST_DEGREE or abs(factor) >= 2**63 for monomial, factor in terms
        ):
            return False
    return True


def _axes(node: Node, given: Any, rank: int) -> tuple[int, ...] | None:
    axes = node["axes"] if given is None else given
    return None if axes is None else tuple(int(axis) % rank for axis in np.ravel(axes))


def _unsqueeze(node: Node, x: np.ndarray, axes: Any = None) -> Any:
    given = node["axes"] if axes is None else axes
    return np.expand_dims(x, tuple(int(axis) for axis in np.ravel(given)))


def _squeeze(node: Node, x: np.ndarray, axes: Any = None) -> Any:
    return np.squeeze(x, _axes(node, axes, x.ndim))


def _reshape(node: Node, x: np.ndarray, shape: Any) -> Any:
    return x.reshape(
        [x.shape[i] if n == 0 and not node["allowzero"] else int(n) for i, n in enumerate(shape)]
    )


def _slice(
    node: Node, x: np.ndarray, starts: Any = None, ends: Any = None, axes: Any = None, steps: Any = None
) -> Any:
    starts, ends = (node["starts"], node["ends"]) if starts is None else (starts, ends)
    axes = node["axes"] if axes is None else axes
    axes = range(len(starts)) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    index = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        low = -len(x) - 1 if step < 0 and end < -len(x) else int(end)
        index[int(axis)] = slice(int(start), None if low < -len(x) else low, int(step))
    return x[tuple(index)]


def _gather(node: Node, x: np.ndarray, indices: Any) -> Any:
    if indices.dtype == object:
        return None
    return np.take(x, indices, node["axis"] or 0)


def _cast(node: Node, x: np.ndarray) -> Any:
    return x if node["to"] in INTEGERS else None


def _reduce(function: Callable[..., Any]) -> Callable[..., Any]:
    def reduced(node: Node, x: np.ndarray, axes: Any = None) -> Any:
        if x.ndim != 1:
            return None
        result = np.asarray(function(*x) if x.size else None, object)
        return result.reshape((1,)) if node["keepdims"] in (None, 1) else result

    return reduced


def _binary(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def applied(node: Node, *operands: np.ndarray) -> Any:
        if any(one.dtype.kind not in "iuO" for one in operands):
            return None
        result = _plain(operands[0])
        for other in operands[1:]:
            result = np.frompyfunc(function, 2, 1)(result, _plain(other))
        return np.asarray(result, object)

    return applied


def _plain(array: np.ndarray) -> np.ndarray:
    """With Python's ints as elements."""
    return array if array.dtype == object else array.astype(object)


def _divide(a: Any, b: Any) -> Any:
    if isinstance(a, int) and isinstance(b, int):
        return int(math.copysign(abs(a) // abs(b), a * b)) if b else 0
    if a == b:
        return 1
    if not isinstance(b, int) or b <= 0 or not a >= 0:
        raise TypeError
    return a // b


def _modulo(a: Any, b: Any) -> Any:
    if not isinstance(b, int) or b <= 0:
        raise TypeError
    return a % b


def _equal(a: Any, b: Any) -> bool:
    """Whether two dimensions are equal; `TypeError` where they may be, and need not."""
    if a == b:
        return True
    low, high = at_least(a - b), at_most(a - b)
    if (low is not None and low > 0) or (high is not None and high < 0):
        return False
    raise TypeError


def _compared(node: Node, a: np.ndarray, b: np.ndarray) -> Any:
    if any(one.dtype.kind not in "iuO" for one in (a, b)):
        return None
    return np.asarray(np.frompyfunc(_equal, 2, 1)(_plain(a), _plain(b))).astype(bool)


def _where(node: Node, condition: np.ndarray, x: np.ndarray, y: np.ndarray) -> Any:
    if condition.dtype != bool or any(one.dtype.kind not in "iuO" for one in (x, y)):
        return None
    return np.where(condition, _plain(x), _plain(y))


def _split(node: Node, x: np.ndarray, split: Any = None) -> Any:
    given = node["split"] if split is None else split
    count = len(node.proto.output)
    if given is None:
        size = -(-len(x) // count)
        return tuple(x[i * size : (i + 1) * size] for i in range(count))
    return tuple(np.split(x, np.cumsum(given)[:-1].astype(int)))


def _expand(node: Node, x: np.ndarray, shape: Any) -> Any:
    if shape.dtype == object or math.prod(map(int, shape)) > 2**12:
        return None
    return x * np.ones([int(n) for n in shape], int) if x.ndim or len(shape) else x


TABLE: dict[str, Callable[..., Any]] = {
    "Identity": lambda node, x: x,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Reshape": _reshape,
    "Concat": lambda node, *xs: np.concatenate([_plain(x) for x in xs], node["axis"]),
    "Slice": _slice,
    "Gather": _gather,
    "Split": _split,
    "Cast": _cast,
    "Expand": _expand,
    "ReduceProd": _reduce(lambda *dims: math.prod(dims)),
    "ReduceSum": _reduce(lambda *dims: sum(dims)),
    "ReduceMax": _reduce(maximum),
    "ReduceMin": _reduce(minimum),
    "Add": _binary(lambda a, b: a + b),
    "Sub": _binary(lambda a, b: a - b),
    "Mul": _binary(lambda a, b: a * b),
    "Div": _binary(_divide),
    "Mod": _binary(_modulo),
    "Min": _binary(lambda a, b: minimum(a, b)),
    "Max": _binary(lambda a, b: maximum(a, b)),
    "Neg": lambda node, x: -_plain(x),
    "Equal": _compared,
    "Where": _where,
}
