"""Rows of elements by position."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from unifront.opset import index as ops
from unifront.opset.spec import OpSpec


def _embedding(indices: Any, table: Any) -> Any:
    return jnp.take(table, indices, axis=0, mode="clip")


def _one_hot(indices: Any, num_classes: int, axis: int, dtype: str) -> Any:
    return jax.nn.one_hot(indices, num_classes, axis=axis, dtype=dtype)


def _argsort(x: Any, axis: int) -> Any:
    return jnp.argsort(x, axis, stable=True).astype(jnp.int32)


def _top_k(x: Any, k: int) -> tuple[Any, Any]:
    values, positions = lax.top_k(x, k)
    return values, positions.astype(jnp.int32)


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.TAKE: jnp.take,
    ops.TAKE_ALONG_AXIS: jnp.take_along_axis,
    ops.EMBEDDING: _embedding,
    ops.ONE_HOT: _one_hot,
    ops.SORT: jnp.sort,
    ops.ARGSORT: _argsort,
    ops.TOP_K: _top_k,
}
