"""Rows for factorizations of matrices. TensorFlow reads one triangle of a symmetric matrix; see `_symmetric`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from unifront.errors import ArgumentError
from unifront.ir.graph import Op
from unifront.opset import factorizations as ops


def _symmetric(x: Any) -> Any:
    return (x + tf.linalg.matrix_transpose(x)) / 2


def _cholesky(x: Any) -> Any:
    """A matrix that has no factor is an error where the result can be looked at; TensorFlow gives NaN."""
    found = tf.linalg.cholesky(_symmetric(x))
    if (
        tf.executing_eagerly()
        and tf.reduce_any(tf.math.is_nan(found))
        and not tf.reduce_any(tf.math.is_nan(x))
    ):
        raise ArgumentError(ops.NOT_POSITIVE)
    return found


def _svd(x: Any, full_matrices: bool, compute_uv: bool) -> Any:
    if not compute_uv:
        return tf.linalg.svd(x, compute_uv=False)
    values, left, right = tf.linalg.svd(x, full_matrices)
    return left, values, tf.linalg.matrix_transpose(right)


def _exchanges(order: Any, count: int) -> tuple[Any, Any]:
    """The first ``count`` exchanges of rows, one after the other, that bring rows in the order ``order[batch, rows]``,
    and the order after these."""

    def exchange(i: Any, now: Any, found: Any) -> Any:
        place = tf.argmax(tf.equal(now, order[:, i, None]), 1, tf.int32)[:, None]
        here = now[:, i, None]
        positions = tf.range(order.shape[1])[None, :]
        now = tf.where(positions == place, here, tf.where(positions == i, order[:, i, None], now))
        return i + 1, now, found.write(i, place[:, 0])

    rows = tf.ensure_shape(tf.broadcast_to(tf.range(order.shape[1]), tf.shape(order)), order.shape)
    found = tf.TensorArray(tf.int32, count, element_shape=order.shape[:1])
    _, reached, found = tf.while_loop(
        lambda i, *_: i < count, exchange, (0, rows, found), maximum_iterations=count
    )
    return tf.transpose(found.stack()), reached


@tf.custom_gradient
def _square_lu(x: Any) -> Any:
    """LU and the order of rows of ``[batch, n, n]``, with the gradient that TensorFlow lacks (Murray 2016, as for
    Cholesky: the slopes of l and u are the two triangles of one matrix)."""
    factors, order = tf.linalg.lu(x)

    def gradient(slope: Any, _: Any) -> Any:
        lower = tf.linalg.set_diag(tf.linalg.band_part(factors, -1, 0), tf.ones_like(factors[..., 0]))
        upper = tf.linalg.band_part(factors, 0, -1)
        strict = tf.linalg.set_diag(tf.linalg.band_part(slope, -1, 0), tf.zeros_like(factors[..., 0]))
        of_upper = tf.matmul(tf.linalg.band_part(slope, 0, -1), upper, transpose_b=True)
        of_lower = tf.matmul(lower, strict, transpose_a=True)
        kept = tf.linalg.band_part(of_upper, 0, -1) + of_lower - tf.linalg.band_part(of_lower, 0, -1)
        left = tf.linalg.triangular_solve(lower, kept, lower=True, adjoint=True)
        moved = tf.linalg.triangular_solve(upper, tf.linalg.matrix_transpose(left), lower=False)
        back = tf.argsort(order, axis=-1)
        return tf.gather(tf.linalg.matrix_transpose(moved), back, axis=1, batch_dims=1)

    return (factors, order), gradient


def _lu_factor(x: Any) -> Any:
    """TensorFlow's takes square matrices: the further columns follow from the factors of the square part, and a high
    matrix is made square by further columns."""
    shape, (rows, columns) = tf.shape(x), x.shape[-2:]
    x = tf.reshape(x, (tf.reduce_prod(shape[:-2]), rows, columns))
    short = min(rows, columns)
    square = x[..., :rows]
    if rows > columns:
        more = tf.random.stateless_normal((rows, rows - columns), (0, 0), dtype=x.dtype)
        square = tf.concat([x, tf.broadcast_to(more, (tf.shape(x)[0], *more.shape))], -1)
    factors, order = _square_lu(square)
    pivots, reached = _exchanges(order, short)
    factors = factors[..., :columns]
    if rows > columns:  # the further columns have exchanged rows too
        places = tf.gather(tf.argsort(order, axis=-1), reached, axis=1, batch_dims=1)
        factors = tf.gather(factors, places, axis=1, batch_dims=1)
    if rows < columns:
        rest = tf.gather(x[..., rows:], order, axis=1, batch_dims=1)
        lower = tf.linalg.set_diag(factors, tf.ones_like(factors[..., 0]))
        factors = tf.concat([factors, tf.linalg.triangular_solve(lower, rest, lower=True)], -1)
    return tf.reshape(factors, shape), tf.reshape(pivots, tf.concat([shape[:-2], [short]], 0))


TABLE: dict[Op, Callable[..., Any]] = {
    ops.CHOLESKY: _cholesky,
    ops.QR: lambda x, complete: tuple(tf.linalg.qr(x, full_matrices=complete)),
    ops.SVD: _svd,
    ops.EIGH: lambda x: tuple(tf.linalg.eigh(_symmetric(x))),
    ops.EIG: lambda x: tuple(tf.linalg.eig(x)),
    ops.LU_FACTOR: _lu_factor,
}
