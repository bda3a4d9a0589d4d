"""Rows for linear systems."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from unifront.errors import ArgumentError
from unifront.ir.graph import Op
from unifront.opset import solving as ops


def _solve(a: Any, b: Any) -> Any:
    try:
        return tf.linalg.solve(a, b)
    except tf.errors.InvalidArgumentError:  # when it runs at once
        raise ArgumentError(ops.SINGULAR) from None


def _solve_triangular(a: Any, b: Any, lower: bool) -> Any:
    return tf.linalg.triangular_solve(a, b, lower)


TABLE: dict[Op, Callable[..., Any]] = {
    ops.SOLVE: _solve,
    ops.SOLVE_TRIANGULAR: _solve_triangular,
    ops.DET: tf.linalg.det,
    ops.SLOGDET: lambda x: tuple(tf.linalg.slogdet(x)),
}
