"""Elements by position: take, embedding, one-hot, sorting.

Positions count from 0; from -1 backwards where the function says so. A position that is not there is a
mistake of the caller. `embedding` checks what it gets on the host and takes the nearest row elsewhere; with the
others frameworks raise where they check (PyTorch, TensorFlow on CPU), and give some number where they do not
(JAX, GPUs).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from unifront.dtypes import DTypeLike, bool_, dtype_of, floatx, int8, int32, int64
from unifront.errors import ArgumentError, DTypeError, ShapeError
from unifront.ir import facts
from unifront.ir.dims import Dim
from unifront.ir.types import TensorType
from unifront.opset.elementwise import TensorLike, cast
from unifront.opset.quick import value_is_read
from unifront.opset.rules import axis_in, broadcast, need_float, need_order, need_rank, show, whole
from unifront.opset.shape import flatten
from unifront.opset.spec import OpSpec, Sample, register
from unifront.opset.tensor import bind, current_path, type_of


def _need_positions(name: str, indices: TensorType) -> None:
    if indices.dtype not in (int32, int64):
        raise DTypeError(f"{name}: the indices are {indices.dtype}; int32 or int64 is needed.")


def whole_numbers(name: str, indices: TensorLike) -> Any:
    """Indices as int32 or int64; floats are cut toward zero, as Keras cuts them."""
    dtype = type_of(indices).dtype
    if not dtype.is_integer and not dtype.is_float:
        raise DTypeError(f"{name}: the indices are {dtype}; integers are needed.")
    return (
        indices if dtype == int64 else cast(indices, int64 if dtype.name in ("uint32", "uint64") else int32)
    )


def _take_rule(x: TensorType, indices: TensorType, axis: int) -> TensorType:
    _need_positions("take", indices)
    axis_in(axis, x.rank)
    if x.shape[axis] == 0 and 0 not in indices.shape:
        raise ShapeError(f"take: axis {axis} of the shape {show(x.shape)} has no elements.")
    return x.with_shape((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]))


def _take_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, indices, axis in (
        ((4,), [2, 0, 2], 0), ((3, 2), [[1, -1], [0, -2]], 1), ((2, 3), -1, 0), ((3, 1, 2), [0, 2], 0),
        ((3, 2), [], 0), ((2, 3, 2), [[[1]]], 1),
    ):  # fmt: skip
        yield Sample((rng.normal(size=shape), np.array(indices, "int32")), {"axis": axis})
    yield Sample((rng.normal(size=(3, 2)), np.array([2, 2], "int64")), {"axis": 0})


def _take(x: np.ndarray, indices: np.ndarray, axis: int) -> np.ndarray:
    try:
        return np.take(x, indices, axis)
    except IndexError as error:
        raise ShapeError(f"take: {error}.") from None


TAKE = register(
    OpSpec(
        "take", _take_rule, _take, _take_samples,
        "NumPy take; ONNX Gather", {"axis": int},
        facts=facts.moving(None, fresh=True),
    )
)  # fmt: skip


def take(x: TensorLike, indices: TensorLike, axis: int | None = None) -> Any:
    """The parts of ``x`` at the positions ``indices`` along ``axis`` (NumPy take).

    Args:
        indices: integers of any shape, from ``-n`` to ``n - 1`` for an axis ``n`` long.
        axis: None takes from the flattened ``x``.
    """
    if axis is None:
        x, axis = flatten(x), 0
    return bind(TAKE, x, whole_numbers("take", indices), axis=axis_in(axis, type_of(x).rank))


def _along_shape(x: TensorType, indices: TensorType, axis: int) -> tuple[Dim, ...]:
    """The common shape outside ``axis``, with 1 there."""
    shapes = [(*type_.shape[:axis], 1, *type_.shape[axis + 1 :]) for type_ in (x, indices)]
    return broadcast(*shapes)


def _take_along_axis_rule(x: TensorType, indices: TensorType, axis: int) -> TensorType:
    _need_positions("take_along_axis", indices)
    need_rank(indices, x.rank, "take_along_axis: the indices")
    if x.shape[axis_in(axis, x.rank)] == 0 and 0 not in indices.shape:
        raise ShapeError(f"take_along_axis: axis {axis} of the shape {show(x.shape)} has no elements.")
    common = _along_shape(x, indices, axis)
    return x.with_shape((*common[:axis], indices.shape[axis], *common[axis + 1 :]))


def _take_along_axis_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, along, axis in (
        ((4,), (2,), 0),
        ((3, 2), (3, 4), 1),
        ((3, 1, 2), (1, 2, 2), 0),
        ((2, 3), (2, 0), 1),
    ):
        indices = rng.integers(-shape[axis], shape[axis], along).astype("int32")
        yield Sample((rng.normal(size=shape), indices), {"axis": axis})


def _taken_along(x: np.ndarray, indices: np.ndarray, axis: int) -> np.ndarray:
    try:
        return np.take_along_axis(x, indices, axis)
    except IndexError as error:
        raise ShapeError(f"take_along_axis: {error}.") from None


TAKE_ALONG_AXIS = register(
    OpSpec(
        "take_along_axis", _take_along_axis_rule,
        _taken_along,
        _take_along_axis_samples, "NumPy take_along_axis; ONNX GatherElements", {"axis": int},
        facts=facts.moving(None),
    )
)  # fmt: skip


def take_along_axis(x: TensorLike, indices: TensorLike, axis: int | None = None) -> Any:
    """One element of ``x`` along ``axis`` for each of ``indices`` (NumPy take_along_axis).

    Args:
        axis: None takes both flattened.
        indices: integers of the rank of ``x``, negative ones counting from the end; outside ``axis`` the two
            broadcast.
    """
    if axis is None:
        x, indices, axis = flatten(x), flatten(indices), 0
    return bind(
        TAKE_ALONG_AXIS, x, whole_numbers("take_along_axis", indices), axis=axis_in(axis, type_of(x).rank)
    )


def _embedding_rule(indices: TensorType, table: TensorType) -> TensorType:
    _need_positions("embedding", indices)
    need_float(need_rank(table, 2, "embedding: the table"), "embedding: the table")
    return table.with_shape((*indices.shape, table.shape[1]))


def _embedding_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for indices, table in (([1, 0, 1], (2, 3)), ([[0, 3], [2, 3]], (4, 1)), (0, (1, 2)), ([[]], (3, 2))):
        yield Sample((np.array(indices, "int32"), rng.normal(size=table)))


def _embedding(indices: np.ndarray, table: np.ndarray) -> np.ndarray:
    return table[np.clip(indices, 0, max(len(table) - 1, 0))]


EMBEDDING = register(
    OpSpec(
        "embedding", _embedding_rule, _embedding, _embedding_samples, "Keras Embedding; ONNX Gather",
        facts=facts.moving(None, fresh=True),
    )
)  # fmt: skip


@dataclass(frozen=True)
class IndexBound:
    """All elements of an input are indices from 0 to ``size - 1``; ``name`` is the path of the layer that takes
    them."""

    name: str
    size: int

    def check(self, indices: np.ndarray, what: str = "the input") -> None:
        """Raise `ArgumentError`, naming layer, index and place, unless every index is there.

        Args:
            indices: integers, or floats, which are cut to integers.
            what: the subject of the error, ``"the input 'words'"``.
        """
        value_is_read()
        if indices.size == 0:
            return
        low, high = indices.min(), indices.max()
        if low > -1 and high < self.size:
            return
        wrong = indices if low > -1 else np.negative(indices, dtype=np.float64)
        place = tuple(int(i) for i in np.unravel_index(np.argmax(wrong), indices.shape))
        error = ArgumentError(
            f"Embedding index {indices[place].item()} at {place} of {what} is outside 0 … {self.size - 1}: the table "
            f"has {self.size} rows. Give the layer more rows (input_dim), or other indices."
        )
        error.at(self.name)
        raise error


def embedding(indices: TensorLike, table: TensorLike) -> Any:
    """The rows of ``table`` with the numbers ``indices``, ``[..., features]`` (Keras Embedding; ONNX Gather).

    Args:
        indices: integers ``[...]``, from 0 to ``vocabulary - 1``.
        table: floats ``[vocabulary, features]``; its gradient is dense.

    Indices on the host (NumPy arrays, lists, and what a model is given there) are checked. Those that only a
    device has are not, for that would wait for it: one outside takes the nearest row, the first or the last, on
    every backend.

    Raises `DTypeError` for indices that are no integers, `ShapeError` for a table of another rank,
    `ArgumentError` for an index outside the table.
    """
    if not type_of(indices).dtype.is_integer:
        raise DTypeError(f"embedding: the indices are {type_of(indices).dtype}; integers are needed.")
    positions, rows = whole_numbers("embedding", indices), type_of(table).shape[:1]
    if isinstance(positions, np.ndarray | np.generic) and rows and isinstance(rows[0], int):
        IndexBound(current_path(), rows[0]).check(np.asarray(positions), "the indices")
    return bind(EMBEDDING, positions, table)


def _one_hot_rule(indices: TensorType, num_classes: int, axis: int, dtype: str) -> TensorType:
    _need_positions("one_hot", indices)
    axis_in(axis, indices.rank + 1)
    return TensorType(dtype_of(dtype), (*indices.shape[:axis], num_classes, *indices.shape[axis:]))


def _one_hot(indices: np.ndarray, num_classes: int, axis: int, dtype: str) -> np.ndarray:
    classes = np.arange(num_classes).reshape(-1, *(1,) * (np.ndim(indices) - axis))
    return (np.expand_dims(indices, axis) == classes).astype(dtype_of(dtype).numpy)


def _one_hot_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for indices, count, axis, dtype in (
        ([0, 2, 1], 3, 1, "float32"), ([[1, 3], [-1, 0]], 3, 2, "float64"), (1, 2, 0, "int32"),
        ([1, 0], 3, 0, "bool"), ([], 3, 1, "float32"),
    ):  # fmt: skip
        yield Sample((np.array(indices, "int32"),), {"num_classes": count, "axis": axis, "dtype": dtype})


ONE_HOT = register(
    OpSpec(
        "one_hot", _one_hot_rule, _one_hot, _one_hot_samples, "Keras ops.one_hot; ONNX OneHot",
        {"num_classes": int, "axis": int, "dtype": str}, differentiable=False,
        facts=facts.along(None, "half", keeps_zeros=False, sign="not negative"),
    )
)  # fmt: skip


def one_hot(
    x: TensorLike, num_classes: int, axis: int = -1, dtype: DTypeLike | None = None, sparse: bool = False
) -> Any:
    """1 at the class and 0 elsewhere; zeros only for a number outside ``[0, num_classes)`` (Keras one_hot).

    Args:
        x: integers ``[...]``.
        axis: where the classes stand in the result.
        dtype: of the result, ``floatx`` unless given.
        sparse: there are dense tensors only.
    """
    need_dense("one_hot", sparse)
    count = whole(num_classes, "one_hot: num_classes", 1)
    place = axis_in(axis, type_of(x).rank + 1)
    kind = floatx() if dtype is None else dtype_of(dtype)
    return bind(ONE_HOT, whole_numbers("one_hot", x), num_classes=count, axis=place, dtype=kind.name)


def need_dense(name: str, sparse: bool) -> None:
    """Raise `ArgumentError` where a sparse result is asked for."""
    if sparse:
        raise ArgumentError(f"{name}: tensors are dense; leave sparse at False.")


def _sort_rule(x: TensorType, axis: int) -> TensorType:
    if x.dtype.kind in "bk":
        raise DTypeError(f"{x.dtype} cannot be sorted; cast it to a number.")
    axis_in(axis, x.rank)
    return need_order(x)


def _sort_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, axis in (((5,), 0), ((2, 3), 1), ((3, 1, 2), 0), ((2, 0), 1)):
        yield Sample((rng.permutation(int(np.prod(shape))).reshape(shape) * 0.5,), {"axis": axis})
    yield Sample((np.array([[2, 1, 2, 1]], "int32"),), {"axis": 1})


SORT = register(
    OpSpec(
        "sort",
        _sort_rule,
        lambda x, axis: np.sort(x, axis),
        _sort_samples,
        "NumPy sort",
        {"axis": int},
        facts=facts.along(facts.ALONG_AXIS, "half", keeps_zeros=True, sign="kept"),
    )
)
ARGSORT = register(
    OpSpec(
        "argsort", lambda x, axis: _sort_rule(x, axis).with_dtype(int32),
        lambda x, axis: np.argsort(x, axis, kind="stable"), _sort_samples, "NumPy argsort, stable",
        {"axis": int}, differentiable=False,
        facts=facts.along(facts.ALONG_AXIS, "half", keeps_zeros=False, sign="not negative"),
    )
)  # fmt: skip


def sort(x: TensorLike, axis: int | None = -1) -> Any:
    """``x`` in ascending order along ``axis``; None sorts it flattened (NumPy sort). False comes before True."""
    x, place = _along(x, axis)
    if type_of(x).dtype == bool_:
        return cast(sort(cast(x, int8), place), bool_)
    return bind(SORT, x, axis=place)


def argsort(x: TensorLike, axis: int | None = -1) -> Any:
    """The positions (int32) that sort ``x`` along ``axis``; equal ones keep their order (NumPy).

    Args:
        axis: None sorts ``x`` flattened.
    """
    x, place = _along(x, axis)
    return bind(ARGSORT, cast(x, int8) if type_of(x).dtype == bool_ else x, axis=place)


def _along(x: TensorLike, axis: int | None) -> tuple[Any, int]:
    """``x`` and the axis to sort along: of a scalar, and for None, those of it flattened."""
    if axis is None or not type_of(x).rank:
        return flatten(x), 0
    return x, axis_in(axis, type_of(x).rank)


def _top_k_rule(x: TensorType, k: int) -> tuple[TensorType, TensorType]:
    _sort_rule(x, axis_in(-1, x.rank))
    last = x.shape[-1]
    if k < 0 or (isinstance(last, int) and k > last):
        raise ShapeError(f"top_k: there are no {k} largest of {last} elements (shape {show(x.shape)}).")
    found = x.with_shape((*x.shape[:-1], k))
    return found, found.with_dtype(int32)


def _top_k(x: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    reverse = np.argsort(x[..., ::-1], axis=-1, kind="stable")[..., ::-1][..., :k]
    positions = x.shape[-1] - 1 - reverse
    return np.take_along_axis(x, positions, -1), positions


def _top_k_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, k in (((5,), 2), ((2, 3), 3), ((3, 1), 1), ((0, 3), 2)):
        yield Sample((rng.permutation(int(np.prod(shape))).reshape(shape) * 0.5,), {"k": k})


TOP_K = register(
    OpSpec(
        "top_k",
        _top_k_rule,
        _top_k,
        _top_k_samples,
        "Keras ops.top_k; ONNX TopK",
        {"k": int},
        facts=facts.along(None, "half", keeps_zeros=False, sign="kept"),
    )
)


def top_k(x: TensorLike, k: int, sorted: bool = True) -> tuple[Any, Any]:
    """The ``k`` largest elements along the last axis, descending, and their positions, int32 (Keras top_k).

    Args:
        sorted: if not, any order will do; it is descending nonetheless.

    Which of equal elements comes first is the framework's choice.
    """
    values, positions = bind(TOP_K, x, k=whole(k, "top_k: k"))
    return values, positions
