"""Factorizations of matrices: Cholesky, QR, singular values, eigenvalues, LU.

All work on batches, ``[..., rows, columns]``. The operations compute in float32 or float64; the functions take
16-bit floats to float32 and back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from unifront.dtypes import complex64, complex128, float32, float64, int32
from unifront.errors import ArgumentError, DTypeError, ShapeError
from unifront.ir import facts
from unifront.ir.dims import minimum
from unifront.ir.types import TensorType
from unifront.opset import elementwise as e
from unifront.opset import flops
from unifront.opset.complex_numbers import PARTS
from unifront.opset.elementwise import TensorLike
from unifront.opset.linalg import matmul
from unifront.opset.rules import show
from unifront.opset.shape import swapaxes
from unifront.opset.slicing import get_item
from unifront.opset.spec import OpSpec, Sample, register
from unifront.opset.tensor import bind, type_of


def need_matrices(name: str, x: TensorType, *, square: bool = False, what: str = "the operand") -> TensorType:
    """``x``, which holds float32 or float64 matrices, square ones if so asked."""
    if x.dtype not in (float32, float64):
        raise DTypeError(f"{name}: {what} is {x.dtype}; float32 or float64 is needed.")
    if x.rank < 2:
        raise ShapeError(f"{name}: {what} has the shape {show(x.shape)}; at least 2 dimensions are needed.")
    if square and x.shape[-1] != x.shape[-2]:
        raise ShapeError(f"{name}: {what} has the shape {show(x.shape)}; a square matrix is needed.")
    return x


def single_or_double(x: TensorLike) -> Any:
    """``x`` as float32 or float64."""
    dtype = type_of(x).dtype
    return x if dtype in (float32, float64) or dtype.is_complex else e.cast(x, float32)


def in_float(function: Callable[..., Any], x: TensorLike, *others: TensorLike) -> Any:
    """``function`` of floats; if the first is of 16 bits computed in float32, and the floats it gives rounded."""
    dtype = type_of(x).dtype
    result = function(*map(single_or_double, (x, *others)))
    if not dtype.is_float or dtype in (float32, float64):
        return result
    if isinstance(result, tuple):
        return tuple(e.cast(one, dtype) if type_of(one).dtype == float32 else one for one in result)
    return e.cast(result, dtype)


def transposed(x: TensorLike) -> Any:
    """Each matrix of ``x`` with rows and columns exchanged."""
    return swapaxes(x, -1, -2)


def _symmetric(x: np.ndarray) -> np.ndarray:
    return (x + np.swapaxes(x, -1, -2)) / 2


def _positive(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Symmetric matrices with eigenvalues around 1, far from each other."""
    values = np.linspace(0.5, 2.5, shape[-1])
    turned = np.linalg.qr(rng.normal(size=shape))[0]
    return (turned * values) @ np.swapaxes(turned, -1, -2)


NOT_POSITIVE = "cholesky: the matrix is not positive definite."
"""What rows say of a matrix that has no factor."""


def _cholesky(x: np.ndarray) -> np.ndarray:
    try:
        return np.linalg.cholesky(_symmetric(x))
    except np.linalg.LinAlgError:
        raise ArgumentError(NOT_POSITIVE) from None


_SQUARE: tuple[tuple[int, ...], ...] = ((3, 3), (1, 1), (2, 4, 4), (2, 1, 2, 2), (0, 2, 2))


def _cholesky_rule(x: TensorType) -> TensorType:
    return need_matrices("cholesky", x, square=True)


CHOLESKY = register(
    OpSpec(
        "cholesky", _cholesky_rule, _cholesky,
        lambda rng: (Sample((_positive(rng, shape),)) for shape in _SQUARE),
        "NumPy linalg.cholesky, of the symmetric part", facts=facts.opaque("float32"),
        flops=flops.of_matrix((1, 3, 0, 3)),
    )
)  # fmt: skip


def cholesky(x: TensorLike, upper: bool = False) -> Any:
    """The lower triangular ``l`` with ``l @ l.T == x`` of each matrix (NumPy linalg.cholesky).

    Args:
        x: ``[..., n, n]``, symmetric and positive definite; of other matrices the symmetric part is taken.
        upper: give ``l.T``.

    Raises `ShapeError` for matrices that are not square. At once, `ArgumentError` for a matrix that is not positive
    definite; inside a compiled program it is an error of TensorFlow's, and NaN in JAX.
    """
    factor = in_float(lambda wide: bind(CHOLESKY, wide), x)
    return transposed(factor) if upper else factor


def _qr_rule(x: TensorType, complete: bool) -> tuple[TensorType, TensorType]:
    *batch, rows, columns = need_matrices("qr", x).shape
    inner = rows if complete else minimum(rows, columns)
    return x.with_shape((*batch, rows, inner)), x.with_shape((*batch, inner, columns))


def _qr(x: np.ndarray, complete: bool) -> tuple[np.ndarray, np.ndarray]:
    q, r = np.linalg.qr(x, "complete" if complete else "reduced")
    return q, r


def _qr_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, complete in (
        ((3, 3), False), ((4, 2), False), ((2, 3, 3), True), ((2, 4, 2), True), ((2, 3), False), ((1, 1), False),
        ((0, 3, 2), False),
    ):  # fmt: skip
        # No framework but PyTorch differentiates the two where they are not unique.
        unique = shape[-2] >= shape[-1] and (shape[-2] == shape[-1] or not complete)
        yield Sample((rng.normal(size=shape),), {"complete": complete}, wrt=None if unique else ())


QR = register(
    OpSpec(
        "qr", _qr_rule, _qr, _qr_samples, "NumPy linalg.qr; LAPACK geqrf", {"complete": bool},
        facts=facts.opaque("float32"), flops=flops.of_matrix((4, 1, 1, 2), (-4, 3, 0, 3)),
    )
)  # fmt: skip


def qr(x: TensorLike, mode: str = "reduced") -> tuple[Any, Any]:
    """``(q, r)`` with ``q @ r == x``, ``q`` orthogonal and ``r`` upper triangular (NumPy linalg.qr).

    Args:
        x: ``[..., m, n]``.
        mode: ``"reduced"``: ``q`` is ``[..., m, k]`` and ``r`` ``[..., k, n]`` for ``k = min(m, n)``;
            ``"complete"``: ``[..., m, m]`` and ``[..., m, n]``.

    Differentiable on every backend for ``m >= n`` (reduced) or ``m == n``. Raises `ArgumentError` for another mode.
    """
    if mode not in ("reduced", "complete"):
        raise ArgumentError(f"qr: mode is 'reduced' or 'complete', not {mode!r}.")
    complete = mode == "complete"
    found: tuple[Any, Any] = in_float(lambda wide: bind(QR, wide, complete=complete), x)
    return found


def _weighted(left: Any, right: Any, weights: Any = None) -> Any:
    """``left @ diag(weights) @ right``, in which signs that both may change cancel; weights that differ by default."""
    type_ = type_of(left)
    count = type_.shape[-1]
    if weights is None:
        weights = 1 / np.arange(1, int(count) + 1, dtype=type_.dtype.numpy)  # type: ignore[arg-type]  # samples have no symbols
    return matmul(e.multiply(left, weights), right)


def _svd_rule(x: TensorType, full_matrices: bool, compute_uv: bool) -> tuple[TensorType, ...]:
    *batch, rows, columns = need_matrices("svd", x).shape
    short = minimum(rows, columns)
    values = x.with_shape((*batch, short))
    if not compute_uv:
        return (values,)
    left, right = (rows, columns) if full_matrices else (short, short)
    return x.with_shape((*batch, rows, left)), values, x.with_shape((*batch, right, columns))


def _svd(x: np.ndarray, full_matrices: bool, compute_uv: bool) -> Any:
    if not compute_uv:
        return np.linalg.svd(x, compute_uv=False)
    return tuple(np.linalg.svd(x, full_matrices=full_matrices))


def _svd_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, full_matrices, compute_uv in (
        ((3, 3), True, True), ((4, 2), False, True), ((2, 2, 4), False, True), ((2, 4, 2), True, True),
        ((2, 3), True, False), ((1, 1), False, True), ((3, 1), False, False), ((0, 2, 3), False, True),
    ):  # fmt: skip
        attributes = {"full_matrices": full_matrices, "compute_uv": compute_uv}
        has_gradient = not (full_matrices and compute_uv)  # vectors beyond the first k are any basis
        yield Sample((rng.normal(size=shape),), attributes, wrt=None if has_gradient else ())


def _svd_judged(*results: Any) -> tuple[Any, ...]:
    if len(results) == 1:
        return results
    left, values, right = results
    count = type_of(values).shape[-1]
    near = _weighted(get_item(left, (..., slice(count))), get_item(right, (..., slice(count), slice(None))))
    return values, near, matmul(transposed(left), left), matmul(right, transposed(right))


SVD = register(
    OpSpec(
        "svd", _svd_rule, _svd, _svd_samples, "NumPy linalg.svd; LAPACK gesdd",
        {"full_matrices": bool, "compute_uv": bool}, judged=_svd_judged, facts=facts.opaque("float32"),
        flops=flops.of_matrix((14, 1, 1, 2), (8, 1, 0, 3)),
    )
)  # fmt: skip


def svd(x: TensorLike, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """``(u, s, vh)`` with ``u @ diag(s) @ vh == x`` and ``s`` falling (NumPy linalg.svd).

    Args:
        x: ``[..., m, n]``; ``k = min(m, n)``.
        full_matrices: ``u`` is ``[..., m, m]`` and ``vh`` ``[..., n, n]``; if not ``[..., m, k]`` and ``[..., k, n]``.
        compute_uv: if not, give ``s`` alone.

    The signs of the vectors are the framework's. The gradient of ``u`` and ``vh`` is that of the reduced form, and
    infinite where two singular values are equal.
    """
    return in_float(lambda wide: bind(SVD, wide, full_matrices=full_matrices, compute_uv=compute_uv), x)


def _eigh_rule(x: TensorType) -> tuple[TensorType, TensorType]:
    need_matrices("eigh", x, square=True)
    return x.with_shape(x.shape[:-1]), x


def _eigh(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, vectors = np.linalg.eigh(_symmetric(x))
    return values, vectors


EIGH = register(
    OpSpec(
        "eigh", _eigh_rule, _eigh, lambda rng: (Sample((_positive(rng, shape),)) for shape in _SQUARE),
        "NumPy linalg.eigh, of the symmetric part",
        judged=lambda values, vectors: (values, _weighted(vectors, transposed(vectors))),
        facts=facts.opaque("float32"), flops=flops.of_matrix((9, 1, 0, 3)),
    )
)  # fmt: skip


def eigh(x: TensorLike) -> tuple[Any, Any]:
    """Rising eigenvalues ``[..., n]`` and eigenvectors ``[..., n, n]``, as columns, of symmetric matrices
    (NumPy linalg.eigh).

    Of a matrix that is not symmetric the symmetric part is taken. The signs of the vectors are the framework's, and
    their gradient is infinite where two eigenvalues are equal. Raises `ShapeError` for matrices that are not square.
    """
    found: tuple[Any, Any] = in_float(lambda wide: bind(EIGH, wide), x)
    return found


def _eig_rule(x: TensorType) -> tuple[TensorType, TensorType]:
    need_matrices("eig", x, square=True)
    vectors = x.with_dtype(complex64 if x.dtype == float32 else complex128)
    return vectors.with_shape(x.shape[:-1]), vectors


def _eig(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, vectors = np.linalg.eig(x)
    return values, vectors


def _eig_judged(values: Any, vectors: Any) -> tuple[Any, ...]:
    """Sums over all pairs, which come in any order: of values, and of each value's real part times its projector."""
    from unifront.opset.reduce import sum

    (real, imag), (x, y) = bind(PARTS, values), bind(PARTS, vectors)
    weights = get_item(real, (..., None, slice(None)))
    outer = e.add(_weighted(x, transposed(x), weights), _weighted(y, transposed(y), weights))
    return sum(real, axis=-1), sum(e.subtract(e.square(real), e.square(imag)), axis=-1), outer


EIG = register(
    OpSpec(
        "eig", _eig_rule, _eig, lambda rng: (Sample((rng.normal(size=shape),)) for shape in _SQUARE),
        "NumPy linalg.eig; LAPACK geev", judged=_eig_judged, facts=facts.opaque("float32"),
        flops=flops.of_matrix((25, 1, 0, 3)),
    )
)  # fmt: skip


def eig(x: TensorLike) -> tuple[Any, Any]:
    """Eigenvalues ``[..., n]`` and eigenvectors ``[..., n, n]``, as columns, of square matrices: complex numbers, in an
    order that is the framework's (NumPy linalg.eig).

    Raises `ShapeError` for matrices that are not square.
    """
    found: tuple[Any, Any] = bind(EIG, single_or_double(x))
    return found


def _lu_rule(x: TensorType) -> tuple[TensorType, TensorType]:
    *batch, rows, columns = need_matrices("lu_factor", x).shape
    return x, TensorType(int32, (*batch, minimum(rows, columns)))


def _lu(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    *batch, rows, columns = x.shape
    found = np.array(x).reshape(math.prod(batch), rows, columns)
    pivots = np.zeros((len(found), min(rows, columns)), np.int32)
    for matrix, own in zip(found, pivots, strict=True):
        for i in range(len(own)):
            own[i] = i + np.argmax(np.abs(matrix[i:, i]))
            matrix[[i, own[i]]] = matrix[[own[i], i]]
            if matrix[i, i]:
                matrix[i + 1 :, i] /= matrix[i, i]
            matrix[i + 1 :, i + 1 :] -= np.outer(matrix[i + 1 :, i], matrix[i, i + 1 :])
    return found.reshape(x.shape), pivots.reshape(*batch, min(rows, columns))


def _lu_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape in ((3, 3), (1, 1), (2, 4, 4), (0, 2, 2), (2, 3, 4), (4, 2)):
        yield Sample((rng.normal(size=shape),))


LU_FACTOR = register(
    OpSpec(
        "lu_factor", _lu_rule, _lu, _lu_samples, "LAPACK getrf; scipy.linalg.lu_factor", constant_results=(1,),
        facts=facts.opaque("float32"), flops=flops.of_matrix((2, 3, 0, 3)),
    )
)  # fmt: skip


def lu_factor(x: TensorLike) -> tuple[Any, Any]:
    """``(lu, pivots)``: ``l`` below the diagonal, whose own is 1, and ``u`` on and above it, in one matrix
    (scipy.linalg.lu_factor).

    Args:
        x: ``[..., m, n]``.

    Row ``i`` was exchanged with row ``pivots[i]``, for each ``i`` in order: ``[..., min(m, n)]``, int32, on every
    backend (Keras gives a permutation on TensorFlow).
    """
    found: tuple[Any, Any] = in_float(lambda wide: bind(LU_FACTOR, wide), x)
    return found
