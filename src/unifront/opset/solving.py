"""Linear systems: solutions, inverses, determinants, least squares."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from typing import Any

import numpy as np

from unifront.errors import ArgumentError, ShapeError
from unifront.ir import facts
from unifront.ir.types import TensorType
from unifront.opset import elementwise as e
from unifront.opset import flops, reduce
from unifront.opset.creation import iota
from unifront.opset.elementwise import TensorLike
from unifront.opset.factorizations import (
    _SQUARE,
    in_float,
    need_matrices,
    single_or_double,
    svd,
    transposed,
)
from unifront.opset.linalg import matmul
from unifront.opset.rules import broadcast, same_dtype, show
from unifront.opset.shape import broadcast_to, expand_dims, squeeze
from unifront.opset.spec import OpSpec, Sample, register
from unifront.opset.tensor import bind, replayed, type_of


def _system(name: str, a: TensorType, b: TensorType) -> TensorType:
    need_matrices(name, a, square=True, what="a")
    need_matrices(name, b, what="b")
    same_dtype(a, b)
    if a.shape[:-1] != b.shape[:-1]:
        raise ShapeError(
            f"{name}: b of the shape {show(b.shape)} does not fit a of the shape {show(a.shape)}."
        )
    return b


def _well_posed(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Matrices with a large diagonal."""
    return rng.normal(size=shape) + 3 * np.eye(shape[-1])


def _systems(rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for shape, columns in (
        ((3, 3), 2),
        ((1, 1), 1),
        ((2, 4, 4), 1),
        ((2, 1, 2, 2), 3),
        ((0, 2, 2), 1),
        ((2, 2), 0),
    ):
        yield _well_posed(rng, shape), rng.normal(size=(*shape[:-1], columns))


SINGULAR = "solve: a matrix is singular."
"""What rows say of a matrix that has no inverse."""


def _solve(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    try:
        return np.linalg.solve(a, b)
    except np.linalg.LinAlgError:
        raise ArgumentError(SINGULAR) from None


SOLVE = register(
    OpSpec(
        "solve", lambda a, b: _system("solve", a, b), _solve,
        lambda rng: map(Sample, _systems(rng)), "NumPy linalg.solve; LAPACK gesv", facts=facts.opaque("float32"),
        flops=flops.of_matrix((2, 3, 0, 3), (2, 1, 1, 2), columns=True),
    )
)  # fmt: skip


def _triangle(a: np.ndarray, lower: bool) -> np.ndarray:
    return np.tril(a) if lower else np.triu(a)


SOLVE_TRIANGULAR = register(
    OpSpec(
        "solve_triangular", lambda a, b, lower: _system("solve_triangular", a, b),
        lambda a, b, lower: np.linalg.solve(_triangle(a, lower), b),
        lambda rng: (Sample(pair, {"lower": lower}) for pair in _systems(rng) for lower in (True, False)),
        "scipy.linalg.solve_triangular; BLAS trsm", {"lower": bool}, facts=facts.opaque("float32"),
        flops=flops.of_matrix((1, 1, 1, 2), columns=True),
    )
)  # fmt: skip


def _solved(op: OpSpec, a: TensorLike, b: TensorLike, **attributes: Any) -> Any:
    """The solution for a vector or a matrix ``b`` each, for batches that broadcast."""
    a, b = e.promoted(a, b)
    ranks = type_of(a).rank, type_of(b).rank
    if ranks[1] == 0:
        raise ShapeError(f"{op.name}: b is a scalar; a vector or a matrix for each matrix of a is needed.")
    is_vector = ranks[1] == 1 or ranks[1] == ranks[0] - 1
    columns = expand_dims(b, -1) if is_vector else b
    batches = [type_of(one).shape[:-2] for one in (a, columns)]
    if batches[0] != batches[1]:
        common = broadcast(*batches)
        a, columns = (broadcast_to(one, (*common, *type_of(one).shape[-2:])) for one in (a, columns))
    found = in_float(lambda left, right: bind(op, left, right, **attributes), a, columns)
    return squeeze(found, -1) if is_vector else found


@replayed
def solve(a: TensorLike, b: TensorLike) -> Any:
    """``x`` with ``a @ x == b`` (NumPy linalg.solve).

    Args:
        a: ``[..., n, n]``.
        b: ``[..., n]`` where it has one axis less, or only one; else ``[..., n, k]``. The batch axes broadcast.

    Raises `ShapeError` if they do not fit, at once `ArgumentError` for a singular matrix, which gives infinities
    in JAX.
    """
    return _solved(SOLVE, a, b)


@replayed
def solve_triangular(a: TensorLike, b: TensorLike, lower: bool = False) -> Any:
    """`solve` for triangular matrices, of which the other triangle is not read (scipy.linalg.solve_triangular).

    Args:
        a: ``[..., n, n]``.
        b: ``[..., n]`` where it has one axis less, or only one; else ``[..., n, k]``.
        lower: the lower triangle, in place of the upper one.
    """
    return _solved(SOLVE_TRIANGULAR, a, b, lower=lower)


def _scalars(name: str, x: TensorType) -> TensorType:
    need_matrices(name, x, square=True)
    return x.with_shape(x.shape[:-2])


def _square_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape in (*_SQUARE, (2, 0, 0)):
        # Of matrices without elements JAX has no derivative.
        yield Sample((rng.normal(size=shape) + np.eye(shape[-1]),), wrt=None if shape[-1] else ())


DET = register(
    OpSpec(
        "det", lambda x: _scalars("det", x), np.linalg.det, _square_samples,
        "NumPy linalg.det; ONNX Det", facts=facts.opaque("float32"), flops=flops.of_matrix((2, 3, 0, 3)),
    )
)  # fmt: skip
SLOGDET = register(
    OpSpec(
        "slogdet", lambda x: (_scalars("slogdet", x),) * 2, lambda x: tuple(np.linalg.slogdet(x)), _square_samples,
        "NumPy linalg.slogdet", constant_results=(0,), facts=facts.opaque("float32"),
        flops=flops.of_matrix((2, 3, 0, 3)),
    )
)  # fmt: skip


def det(x: TensorLike) -> Any:
    """The determinant of each matrix, ``[..., n, n]`` → ``[...]`` (NumPy linalg.det).

    Raises `ShapeError` for matrices that are not square.
    """
    return in_float(lambda wide: bind(DET, wide), x)


def slogdet(x: TensorLike) -> tuple[Any, Any]:
    """The sign of the determinant of each matrix, and the logarithm of its magnitude, which does not overflow
    (NumPy linalg.slogdet).

    Raises `ShapeError` for matrices that are not square.
    """
    found: tuple[Any, Any] = in_float(lambda wide: bind(SLOGDET, wide), x)
    return found


def logdet(x: TensorLike) -> Any:
    """The logarithm of the magnitude of the determinant of each matrix (`slogdet`; Keras ops.logdet)."""
    return slogdet(x)[1]


def _identity_like(x: TensorLike) -> Any:
    """The identity for each matrix of ``x``."""
    type_ = type_of(x)
    size = type_.shape[-1]
    rows, columns = (iota((size, size), axis, like=x) for axis in (0, 1))
    one = e.cast(e.equal(rows, columns), type_.dtype)
    return broadcast_to(one, type_.shape) if type_.rank > 2 else one


@replayed
def inv(x: TensorLike) -> Any:
    """The inverse of each matrix (NumPy linalg.inv).

    Raises `ShapeError` for matrices that are not square, at once `ArgumentError` for a singular one, which gives
    infinities in JAX.
    """

    def inverse(wide: Any) -> Any:
        need_matrices("inv", type_of(wide), square=True)
        return bind(SOLVE, wide, _identity_like(wide))

    return in_float(inverse, x)


@replayed
def cholesky_inverse(x: TensorLike, upper: bool = False) -> Any:
    """The inverse of ``l @ l.T``, given its Cholesky factor ``l`` (torch.cholesky_inverse).

    Args:
        x: ``[..., n, n]``: ``l``, or ``l.T`` if ``upper``.
    """

    def inverse(wide: Any) -> Any:
        need_matrices("cholesky_inverse", type_of(wide), square=True)
        found = bind(SOLVE_TRIANGULAR, wide, _identity_like(wide), lower=not upper)
        return matmul(found, transposed(found)) if upper else matmul(transposed(found), found)

    return in_float(inverse, x)


def _cutoff(name: str, x: TensorLike) -> float:
    """Relative to the largest singular value: below it they are zero but for rounding."""
    type_ = type_of(x)
    sizes = [size for size in type_.shape[-2:] if isinstance(size, int)]
    if len(sizes) < 2:
        raise ShapeError(
            f"{name}: the default cut-off hangs on the sizes, and the shape is {show(type_.shape)}. Give one."
        )
    return builtins.max(sizes) * float(np.finfo(type_.dtype.numpy).eps)


def _kept(name: str, x: TensorLike, values: Any, rcond: TensorLike | None) -> Any:
    dtype = type_of(values).dtype
    limit = _cutoff(name, x) if rcond is None else rcond
    if isinstance(limit, int | float):
        limit = limit if limit >= 0 else float(np.finfo(dtype.numpy).eps)
    else:  # one for each matrix
        limit = expand_dims(e.cast(limit, dtype), -1)
    return e.greater(values, e.multiply(limit, reduce.max(values, axis=-1, keepdims=True)))


@replayed
def pinv(x: TensorLike, rcond: TensorLike | None = None) -> Any:
    """The pseudoinverse of each matrix, ``[..., m, n]`` → ``[..., n, m]`` (NumPy linalg.pinv).

    Args:
        rcond: singular values at most so large, relative to the largest, count as zero. Default
            ``max(m, n)`` times the precision of the dtype, as `matrix_rank` has it.
    """

    def inverse(wide: Any) -> Any:
        left, values, right = svd(wide, full_matrices=False)
        kept = _kept("pinv", wide, values, rcond)
        safe = e.where(kept, values, 1.0)
        inverted = e.where(kept, e.divide(1.0, safe), 0.0)
        return matmul(e.multiply(transposed(right), expand_dims(inverted, -2)), transposed(left))

    return in_float(inverse, x)


@replayed
def matrix_rank(x: TensorLike, tol: float | None = None) -> Any:
    """How many singular values of each matrix are larger than ``tol``: int32 (NumPy linalg.matrix_rank).

    Args:
        x: ``[..., m, n]``.
        tol: default the largest singular value times ``max(m, n)`` times the precision of the dtype.
    """
    wide = single_or_double(x)
    values = svd(wide, compute_uv=False)
    kept = _kept("matrix_rank", wide, values, None) if tol is None else e.greater(values, tol)
    return reduce.sum(e.cast(kept, "int32"), axis=-1)


@replayed
def lstsq(a: TensorLike, b: TensorLike, rcond: float | None = None) -> Any:
    """The ``x`` of least norm with the least ``|a @ x - b|`` (NumPy linalg.lstsq, its first result).

    Args:
        a: ``[m, n]``.
        b: ``[m]`` or ``[m, k]``.
        rcond: singular values of ``a`` at most so large, relative to the largest, count as zero. Default ``max(m, n)``
            times the precision of the dtype; below zero the precision itself.

    Raises `ShapeError` if they do not fit.
    """
    a, b = e.promoted(a, b)
    first, second = type_of(a).shape, type_of(b).shape
    if len(first) != 2 or len(second) not in (1, 2) or first[0] != second[0]:
        raise ShapeError(
            f"lstsq: a is [m, n] and b [m] or [m, k]; given were the shapes {show(first)} and {show(second)}."
        )

    def solution(left: Any, right: Any) -> Any:
        u, values, vh = svd(left, full_matrices=False)
        kept = _kept("lstsq", left, values, rcond)
        inverted = e.where(kept, e.divide(1.0, e.where(kept, values, 1.0)), 0.0)
        columns = right if len(second) == 2 else expand_dims(right, -1)
        found = matmul(transposed(vh), e.multiply(expand_dims(inverted, -1), matmul(transposed(u), columns)))
        return found if len(second) == 2 else squeeze(found, -1)

    return in_float(solution, a, b)
