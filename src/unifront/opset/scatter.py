"""Parts of a tensor at positions that are tensors themselves: taken, replaced, added to.

A position is the start of a block (`slice`, `slice_update`), or the index of a row or an element (`scatter`,
`scatter_update`).
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from unifront.dtypes import bool_, int32, int64
from unifront.errors import ArgumentError, DTypeError, ShapeError
from unifront.ir import facts
from unifront.ir.dims import Dim, DimExpr
from unifront.ir.types import TensorType
from unifront.opset import comparison, creation, index
from unifront.opset import elementwise as e
from unifront.opset.elementwise import TensorLike
from unifront.opset.index import whole_numbers
from unifront.opset.rules import dims_in, is_whole, same_dtype, show
from unifront.opset.shape import reshape, stack
from unifront.opset.slicing import get_item, strided_slice
from unifront.opset.spec import OpSpec, Sample, register
from unifront.opset.tensor import bind, is_tensor, replayed, to_numpy, type_of

_Slice = builtins.slice
Starts = Sequence[int | TensorLike] | TensorLike


def _need_starts(name: str, x: TensorType, starts: TensorType) -> None:
    if starts.dtype not in (int32, int64):
        raise DTypeError(f"{name}: the starts are {starts.dtype}; int32 or int64 is needed.")
    if starts.shape != (x.rank,):
        raise ShapeError(
            f"{name} takes one start for each of the {x.rank} axes of the shape {show(x.shape)}; the starts have the "
            f"shape {show(starts.shape)}."
        )


def _need_block(name: str, x: TensorType, sizes: Sequence[Dim]) -> None:
    fits = len(sizes) == x.rank and all(
        isinstance(size, DimExpr) or (size >= 0 and (isinstance(dim, DimExpr) or size <= dim))
        for size, dim in zip(sizes, x.shape, strict=True)
    )
    if not fits:
        raise ShapeError(f"{name}: the shape {show(x.shape)} has no part of the shape {show(tuple(sizes))}.")


def _dynamic_slice_rule(x: TensorType, starts: TensorType, sizes: tuple[Dim, ...]) -> TensorType:
    _need_starts("dynamic_slice", x, starts)
    _need_block("dynamic_slice", x, sizes)
    return x.with_shape(sizes)


def _inside(x: np.ndarray, starts: np.ndarray, sizes: Sequence[int]) -> tuple[_Slice, ...]:
    """The block, moved to where all of it is inside ``x``."""
    firsts = [min(max(int(s), 0), n - size) for s, n, size in zip(starts, x.shape, sizes, strict=True)]
    return tuple(_Slice(first, first + size) for first, size in zip(firsts, sizes, strict=True))


def _blocks(rng: np.random.Generator) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
    yield from (
        ((5,), (1,), (3,)), ((3, 4), (1, 2), (2, 1)), ((2, 3), (0, 5), (2, 2)), ((3, 2), (-4, 1), (1, 1)),
        ((2, 3), (0, 1), (2, 0)), ((1,), (0,), (1,)),
    )  # fmt: skip


def _dynamic_slice_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, starts, sizes in _blocks(rng):
        yield Sample((rng.normal(size=shape), np.array(starts, "int32")), {"sizes": sizes})


def _clipped(starts: Any, axis: int, dim: Dim, size: Dim) -> Any:
    """The start on one axis, moved to where the block is inside."""
    start = get_item(starts, axis)
    last = creation.full((), dim - size, type_of(start).dtype, like=starts)
    return e.maximum(e.minimum(start, last), 0)


def _dynamic_slice_decomposed(x: Any, starts: Any, sizes: tuple[Dim, ...]) -> Any:
    for axis, (dim, size) in enumerate(zip(type_of(x).shape, sizes, strict=True)):
        if dim != size:
            places = creation.iota((size,), 0, type_of(starts).dtype, like=starts)
            x = index.take(x, e.add(places, _clipped(starts, axis, dim, size)), axis)
    return x


DYNAMIC_SLICE = register(
    OpSpec(
        "dynamic_slice", _dynamic_slice_rule, lambda x, starts, sizes: x[_inside(x, starts, sizes)],
        _dynamic_slice_samples, "XLA DynamicSlice", {"sizes": tuple}, decomposition=_dynamic_slice_decomposed,
        facts=facts.moving(None),
    )
)  # fmt: skip


def _slice_update_rule(x: TensorType, starts: TensorType, updates: TensorType) -> TensorType:
    same_dtype(x, updates)
    _need_starts("slice_update", x, starts)
    _need_block("slice_update", x, updates.shape)
    return x


def _slice_update(x: np.ndarray, starts: np.ndarray, updates: np.ndarray) -> np.ndarray:
    found = x.copy()
    found[_inside(x, starts, updates.shape)] = updates
    return found


def _slice_update_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, starts, sizes in _blocks(rng):
        yield Sample((rng.normal(size=shape), np.array(starts, "int32"), rng.normal(size=sizes)))


def _slice_update_decomposed(x: Any, starts: Any, updates: Any) -> Any:
    shape, sizes, dtype = type_of(x).shape, type_of(updates).shape, type_of(starts).dtype
    if 0 in sizes:
        return x
    covered, found = None, updates
    for axis, (dim, size) in enumerate(zip(shape, sizes, strict=True)):
        if dim == size:
            continue
        places = e.subtract(creation.iota((dim,), 0, dtype, like=x), _clipped(starts, axis, dim, size))
        last = creation.full((), size - 1, dtype, like=x)
        found = index.take(found, e.maximum(e.minimum(places, last), 0), axis)
        within = comparison.logical_and(
            comparison.greater_equal(places, 0), comparison.less_equal(places, last)
        )
        within = reshape(within, tuple(dim if i == axis else 1 for i in range(len(shape))))
        covered = within if covered is None else comparison.logical_and(covered, within)
    return found if covered is None else e.where(covered, found, x)


SLICE_UPDATE = register(
    OpSpec(
        "slice_update", _slice_update_rule, _slice_update, _slice_update_samples, "XLA DynamicUpdateSlice",
        decomposition=_slice_update_decomposed, facts=facts.opaque("half"),
    )
)  # fmt: skip

MODES = {"set": None, "add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


def _scatter_rule(x: TensorType, indices: TensorType, updates: TensorType, mode: str) -> TensorType:
    if mode not in MODES:
        raise ArgumentError(
            f"scatter_update: the reduction is None, 'add', 'mul', 'max' or 'min', not {mode!r}."
        )
    if indices.dtype not in (int32, int64):
        raise DTypeError(f"scatter_update: the indices are {indices.dtype}; int32 or int64 is needed.")
    if same_dtype(x, updates) == bool_ and mode != "set":
        raise DTypeError("scatter_update: booleans are replaced only; cast them to a number.")
    depth = indices.shape[-1] if indices.shape else 0
    if not isinstance(depth, int) or not 1 <= depth <= x.rank:
        raise ShapeError(
            f"scatter_update: indices of the shape {show(indices.shape)} end in no number of positions that the shape "
            f"{show(x.shape)} has; give [..., 1 to {x.rank}]."
        )
    wanted = (*indices.shape[:-1], *x.shape[depth:])
    if updates.shape != wanted:
        raise ShapeError(
            f"scatter_update: inputs of the shape {show(x.shape)} and indices of the shape {show(indices.shape)} take "
            f"updates of the shape {show(wanted)}, not {show(updates.shape)}."
        )
    return x


def _scatter(x: np.ndarray, indices: np.ndarray, updates: np.ndarray, mode: str) -> np.ndarray:
    found = x.copy()
    places = tuple(np.moveaxis(indices, -1, 0))
    try:
        if mode == "set":
            found[places] = updates
        else:
            MODES[mode].at(found, places, updates)  # type: ignore[union-attr]  # only of "set" it is None
    except IndexError as error:
        raise ShapeError(f"scatter_update: {error}.") from None
    return found


def _scatter_samples(rng: np.random.Generator) -> Iterator[Sample]:
    cases = (
        ((5,), [[1], [-1], [3]]), ((3, 2), [[0, 1], [2, 0]]), ((4, 2), [[3], [1]]), ((2, 3, 1), [[[1, 2]], [[0, 0]]]),
        ((3, 0), [[1]]), ((2, 2), np.zeros((0, 1))), ((1,), [0]),
    )  # fmt: skip
    for shape, indices in cases:
        places = np.array(indices, "int32")
        updates = (*places.shape[:-1], *shape[places.shape[-1] :])
        for mode in MODES:
            yield Sample((rng.normal(size=shape), places, rng.normal(size=updates)), {"mode": mode})
    for mode in ("add", "mul", "max", "min"):  # one place twice
        places = np.array([[2], [0], [2]], "int64")
        yield Sample((rng.normal(size=(3, 2)), places, rng.normal(size=(3, 2))), {"mode": mode})


SCATTER = register(
    OpSpec(
        "scatter", _scatter_rule, _scatter, _scatter_samples, "TensorFlow tensor_scatter_nd_update; ONNX ScatterND",
        {"mode": str}, facts=facts.opaque("accumulate"),
    )
)  # fmt: skip


def _start_vector(starts: Starts, like: TensorLike) -> Any:
    """Starts as one vector of integers; a tuple of ints where all are known."""
    given = starts
    if isinstance(given, np.ndarray):
        given = given.tolist()
    if isinstance(given, list | tuple):
        if all(is_whole(one) or isinstance(one, DimExpr) for one in given):
            return dims_in(tuple(given), "start_indices")
        parts = [reshape(whole_numbers("start_indices", one), ()) for one in given]
        return stack([e.cast(one, int32) if type_of(one).dtype != int64 else one for one in parts])
    return whole_numbers("start_indices", given)


def _need_axes(name: str, what: str, count: int, shape: tuple[Dim, ...]) -> None:
    if count != len(shape):
        raise ShapeError(
            f"{name}: the number of {what} must match the dimensions in `inputs`: there are {count} for the shape "
            f"{show(shape)}."
        )


@replayed
def slice(inputs: TensorLike, start_indices: Starts, shape: Sequence[Dim]) -> Any:
    """The part of ``inputs`` of a given shape from a given place on (Keras ops.slice; XLA DynamicSlice).

    Args:
        start_indices: one integer for each axis: ints, integer scalars, or a vector. A start that is a tensor and
            leaves less than ``shape`` is moved back to where the part is inside.
        shape: one size for each axis; -1 is all that follows the start.

    Raises `ShapeError` unless there is one of both for each axis, and for a part that is not inside.
    """
    dims = type_of(inputs).shape
    sizes = tuple(to_numpy(shape).tolist()) if is_tensor(shape) else tuple(shape)
    _need_axes("slice", "dimensions in `shape`", len(sizes), dims)
    sizes = dims_in(sizes)
    starts = _start_vector(start_indices, inputs)
    if isinstance(starts, tuple):
        _need_axes("slice", "dimensions in `start_indices`", len(starts), dims)
        stops = [None if size == -1 else start + size for start, size in zip(starts, sizes, strict=True)]
        for axis, (start, stop, dim) in enumerate(zip(starts, stops, dims, strict=True)):
            if isinstance(start, int) and (
                start < 0 or (isinstance(dim, int) and isinstance(stop, int) and not start <= stop <= dim)
            ):
                raise ShapeError(
                    f"slice: from {start} axis {axis} of the shape {show(dims)} has no {sizes[axis]} elements."
                )
        return strided_slice(inputs, starts, stops)
    rest = [axis for axis, size in enumerate(sizes) if size == -1]
    for axis in rest:
        end = creation.full((), dims[axis], type_of(starts).dtype, like=starts)
        inputs = index.take(inputs, creation.arange(get_item(starts, axis), end), axis)
    if rest:
        kept = [axis not in rest for axis in range(len(dims))]
        starts = e.multiply(starts, np.array(kept).astype(type_of(starts).dtype.numpy))
        sizes = tuple(type_of(inputs).shape[i] if size == -1 else size for i, size in enumerate(sizes))
    return bind(DYNAMIC_SLICE, inputs, starts, sizes=sizes)


@replayed
def slice_update(inputs: TensorLike, start_indices: Starts, updates: TensorLike) -> Any:
    """``inputs`` with the part from a given place on replaced by ``updates`` (Keras ops.slice_update).

    Args:
        start_indices: one integer for each axis, as `slice` takes them.
        updates: of the rank of ``inputs``, cast to its dtype.

    Raises `ShapeError` where the updates do not fit.
    """
    type_ = type_of(inputs)
    updates = e.cast(updates, type_.dtype)
    starts = _start_vector(start_indices, inputs)
    if isinstance(starts, tuple):
        _need_axes("slice_update", "dimensions in `start_indices`", len(starts), type_.shape)
        sizes = type_of(updates).shape
        _need_axes("slice_update", "dimensions in `updates`", len(sizes), type_.shape)
        for axis, (start, size, dim) in enumerate(zip(starts, sizes, type_.shape, strict=True)):
            known = isinstance(start, int) and isinstance(size, int) and isinstance(dim, int)
            if known and not 0 <= start <= start + size <= dim:
                raise ShapeError(
                    f"slice_update: from {start} axis {axis} of the shape {show(type_.shape)} has no {size} elements."
                )
        starts = (
            np.array(starts, "int32").reshape(-1)
            if all(isinstance(one, int) for one in starts)
            else stack([creation.full((), one, int32, like=inputs) for one in starts])
        )
    return bind(SLICE_UPDATE, inputs, starts, updates)


def scatter_update(
    inputs: TensorLike, indices: TensorLike, updates: TensorLike, reduction: str | None = None
) -> Any:
    """``inputs`` with the parts at ``indices`` replaced by ``updates``, or joined with them (Keras ops.scatter_update).

    Args:
        indices: integers ``[..., k]``: each the place of an element (``k`` is the rank of ``inputs``), or of a part
            along the first ``k`` axes. Negative ones count from the end.
        updates: ``[..., *inputs.shape[k:]]``, cast to the dtype of ``inputs``.
        reduction: None replaces: of several updates of one place one is taken. ``"add"``, ``"mul"``, ``"max"`` and
            ``"min"`` join what is there with all of them.

    Raises `ShapeError` where these do not fit, `ArgumentError` for another reduction.

    Example::

        uf.ops.scatter_update([0, 0, 0], [[0], [2]], [5, 7])  # [5, 0, 7]
    """
    mode = "set" if reduction is None else reduction
    dtype = type_of(inputs).dtype
    return bind(SCATTER, inputs, whole_numbers("scatter_update", indices), e.cast(updates, dtype), mode=mode)


def scatter(indices: TensorLike, values: TensorLike, shape: Sequence[Dim]) -> Any:
    """Zeros of ``shape`` with ``values`` added at ``indices`` (Keras ops.scatter; TensorFlow scatter_nd).

    Args:
        indices: integers ``[..., k]``, as `scatter_update` takes them.
        values: ``[..., *shape[k:]]``.
    """
    sizes = to_numpy(shape).tolist() if is_tensor(shape) else shape
    zeros = creation.full(tuple(sizes), 0, type_of(values).dtype, like=values)
    mode = "add" if type_of(values).dtype != bool_ else None
    return scatter_update(zeros, indices, values, mode)
