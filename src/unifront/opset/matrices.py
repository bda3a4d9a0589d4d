"""Matrices: unit and triangular ones, diagonals, products of each element with each."""

from __future__ import annotations

import builtins
from typing import Any

from unifront.dtypes import DTypeLike, bool_, floatx, int32, uint32
from unifront.errors import ArgumentError, DTypeError, ShapeError
from unifront.ir.dims import Dim, DimExpr, maximum, minimum
from unifront.opset import comparison, creation, index, reduce
from unifront.opset import elementwise as e
from unifront.opset.elementwise import TensorLike
from unifront.opset.padding import pad
from unifront.opset.rules import axis_in, dims_in, is_whole, show
from unifront.opset.shape import broadcast_to, expand_dims, moveaxis, reshape
from unifront.opset.slicing import strided_slice
from unifront.opset.tensor import is_tensor, replayed, to_numpy, type_of


def _side(value: Any, name: str) -> Dim:
    """A number of rows or columns: an int, a named dimension, or an integer scalar that is an array."""
    if is_tensor(value) and type_of(value).dtype.is_integer and not type_of(value).shape:
        value = int(to_numpy(value))
    if not is_whole(value) and not isinstance(value, DimExpr):
        raise DTypeError(f"{name} is an int, not {value!r}.")
    (size,) = dims_in(value, name)
    if isinstance(size, int) and size < 0:
        raise ArgumentError(f"{name} is not negative, unlike {size}.")
    return size


def _below(rows: Dim, columns: Dim, k: Any, like: Any) -> Any:
    """Whether each element stands on the ``k``-th diagonal or below it, ``[rows, columns]``."""
    row = creation.iota((rows, 1), 0, int32, like=like)
    column = creation.iota((1, columns), 1, int32, like=like)
    return comparison.greater_equal(e.add(row, k) if is_tensor(k) else e.add(row, _offset(k)), column)


def _offset(k: Any) -> int:
    if not is_whole(k):
        raise DTypeError(f"The number of a diagonal is an int, not {k!r}.")
    return int(k)


@replayed
def tri(
    N: Dim,
    M: Dim | None = None,
    k: int = 0,
    dtype: DTypeLike | None = None,
    *,
    like: TensorLike | None = None,
) -> Any:
    """Ones on the ``k``-th diagonal and below it, zeros above, ``[N, M]`` (NumPy tri).

    Args:
        M: ``N`` unless given.
        k: which diagonal; those below the main one are negative.
        dtype: ``floatx`` unless given.
        like: a tensor of the graph or backend to make it in.
    """
    rows = _side(N, "N")
    columns = rows if M is None else _side(M, "M")
    return e.cast(_below(rows, columns, k, like), floatx() if dtype is None else dtype)


@replayed
def eye(
    N: Dim,
    M: Dim | None = None,
    k: int = 0,
    dtype: DTypeLike | None = None,
    *,
    like: TensorLike | None = None,
) -> Any:
    """Ones on the ``k``-th diagonal, zeros elsewhere, ``[N, M]`` (NumPy eye); the arguments are those of `tri`.

    Raises `DTypeError` for sizes that are no ints.
    """
    rows = _side(N, "N")
    columns = rows if M is None else _side(M, "M")
    row = creation.iota((rows, 1), 0, int32, like=like)
    column = creation.iota((1, columns), 1, int32, like=like)
    found = comparison.equal(e.add(row, _offset(k)), column)
    return e.cast(found, floatx() if dtype is None else dtype)


def identity(n: Dim, dtype: DTypeLike | None = None, *, like: TensorLike | None = None) -> Any:
    """The unit matrix with ``n`` rows; see `eye` (NumPy identity)."""
    return eye(n, dtype=dtype, like=like)


def _need_matrix(x: TensorLike, name: str) -> tuple[Dim, Dim]:
    shape = type_of(x).shape
    if len(shape) < 2:
        raise ShapeError(f"{name} takes at least two dimensions; given was the shape {show(shape)}.")
    return shape[-2], shape[-1]


@replayed
def tril(x: TensorLike, k: int | TensorLike = 0) -> Any:
    """``x`` with zeros above the ``k``-th diagonal of its last two axes (NumPy tril).

    Args:
        k: an int, or an integer scalar that is a tensor.

    Raises `ShapeError` for fewer than two dimensions.
    """
    below = _below(*_need_matrix(x, "tril"), k, x)
    return e.where(below, x, creation.full((), 0, type_of(x).dtype))


@replayed
def triu(x: TensorLike, k: int | TensorLike = 0) -> Any:
    """``x`` with zeros below the ``k``-th diagonal of its last two axes; see `tril` (NumPy triu)."""
    before = e.subtract(k, 1) if is_tensor(k) else _offset(k) - 1
    below = _below(*_need_matrix(x, "triu"), before, x)
    return e.where(below, creation.full((), 0, type_of(x).dtype), x)


@replayed
def diagonal(x: TensorLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The ``offset``-th diagonal of the matrices along ``axis1`` and ``axis2``, as a new last axis (NumPy diagonal).

    Raises `ShapeError` for fewer than two dimensions, or one axis given twice.
    """
    shape = type_of(x).shape
    _need_matrix(x, "diagonal")
    first, second = axis_in(axis1, len(shape), "axis1"), axis_in(axis2, len(shape), "axis2")
    if first == second:
        raise ShapeError(f"axis1 and axis2 are different axes; both are {first}.")
    x = moveaxis(x, (first, second), (-2, -1))
    *kept, rows, columns = type_of(x).shape
    offset = _offset(offset)
    if (isinstance(columns, int) and columns == 0) or (isinstance(rows, int) and rows == 0):
        return creation.zeros((*kept, 0), type_of(x).dtype, like=x)
    length = maximum(minimum(rows + builtins.min(offset, 0), columns - builtins.max(offset, 0)), 0)
    flat = reshape(x, (*kept, rows * columns))
    start = offset if offset >= 0 else -offset * columns
    if isinstance(length, int) and isinstance(columns, int):
        stop = start + length * (columns + 1) if length else start
        return strided_slice(
            flat, [0] * len(kept) + [start], [None] * len(kept) + [stop], [1] * len(kept) + [columns + 1]
        )
    step = creation.full((), columns + 1, int32, like=x)
    places = e.multiply(creation.iota((length,), 0, int32, like=x), step)
    return index.take(flat, e.add(places, creation.full((), start, int32, like=x)), -1)


@replayed
def diag(x: TensorLike, k: int = 0) -> Any:
    """The ``k``-th diagonal of a matrix, or the matrix with a vector there and zeros elsewhere (NumPy diag).

    Raises `ShapeError` unless ``x`` has one or two dimensions.
    """
    type_, k = type_of(x), _offset(k)
    if type_.rank == 2:
        return diagonal(x, k)
    if type_.rank != 1:
        raise ShapeError(f"diag takes one or two dimensions; given was the shape {show(type_.shape)}.")
    row = pad(x, ((builtins.max(k, 0), builtins.max(-k, 0)),))
    (length,) = type_of(row).shape
    return e.where(eye(length, k=k, dtype=bool_, like=x), row, creation.full((), 0, type_.dtype))


@replayed
def diagflat(x: TensorLike, k: int = 0) -> Any:
    """The matrix with the elements of ``x`` on its ``k``-th diagonal and zeros elsewhere (NumPy diagflat)."""
    return diag(reshape(x, (-1,)), k)


@replayed
def trace(x: TensorLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The sum of a `diagonal` (NumPy trace). Integers under 32 bits and booleans are added up in 32."""
    found = diagonal(x, offset, axis1, axis2)
    dtype = type_of(found).dtype
    if dtype.kind in "bi" and dtype.bits < 32:
        found = e.cast(found, int32)
    elif dtype.kind == "u" and dtype.bits < 32:
        found = e.cast(found, uint32)
    return reduce.sum(found, -1)


@replayed
def vander(x: TensorLike, N: int | None = None, increasing: bool = False) -> Any:
    """The powers of each element of a vector, ``[..., N]``, from the highest to 0 (NumPy vander).

    Args:
        N: how many; as many as there are elements unless given.
        increasing: from 0 upwards instead.

    Raises `ShapeError` unless ``x`` has one dimension.
    """
    type_ = type_of(x)
    if type_.rank != 1:
        raise ShapeError(f"vander takes one dimension; given was the shape {show(type_.shape)}.")
    count = type_.shape[0] if N is None else _side(N, "N")
    powers = creation.iota((count,), 0, type_.dtype if type_.dtype != bool_ else int32, like=x)
    if not increasing:
        last = creation.full((), count - 1, type_of(powers).dtype, like=x)
        powers = e.subtract(last, powers)
    return e.power(expand_dims(x, -1), powers)


@replayed
def outer(x1: TensorLike, x2: TensorLike) -> Any:
    """Each element of ``x1`` times each of ``x2``, both flattened, ``[size of x1, size of x2]`` (NumPy outer)."""
    return e.multiply(reshape(x1, (-1, 1)), reshape(x2, (1, -1)))


@replayed
def kron(x1: TensorLike, x2: TensorLike) -> Any:
    """The Kronecker product: each element of ``x1`` becomes itself times ``x2`` (NumPy kron)."""
    first, second = type_of(x1).shape, type_of(x2).shape
    rank = builtins.max(len(first), len(second))
    first, second = (1,) * (rank - len(first)) + first, (1,) * (rank - len(second)) + second
    left = reshape(x1, tuple(dim for one in first for dim in (one, 1)))
    right = reshape(x2, tuple(dim for one in second for dim in (1, one)))
    sizes = tuple(a * b for a, b in zip(first, second, strict=True))
    return reshape(e.multiply(left, right), sizes)


@replayed
def meshgrid(*x: TensorLike, indexing: str = "xy") -> list[Any]:
    """Each of several vectors spread over a grid that has one axis for each (NumPy meshgrid).

    Args:
        x: vectors; of other tensors the elements in order.
        indexing: ``"ij"``: the axes in the order of the vectors; ``"xy"``: the first two exchanged.

    Raises `ArgumentError` for another order.
    """
    if indexing not in ("xy", "ij"):
        raise ArgumentError(f"meshgrid: indexing is 'xy' or 'ij', not {indexing!r}.")
    vectors = [reshape(one, (-1,)) for one in x]
    places = list(range(len(x)))
    if indexing == "xy" and len(x) > 1:
        places[:2] = [1, 0]
    sizes: list[Dim] = [0] * len(x)
    for place, vector in zip(places, vectors, strict=True):
        sizes[place] = type_of(vector).shape[0]
    found = []
    for place, vector in zip(places, vectors, strict=True):
        alone = tuple(size if i == place else 1 for i, size in enumerate(sizes))
        found.append(broadcast_to(reshape(vector, alone), tuple(sizes)))
    return found
