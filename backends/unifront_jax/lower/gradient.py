"""Gradients in JAX: ``jax.vjp`` of a body."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from unifront.opset import gradient as ops
from unifront.opset.spec import OpSpec
from unifront_jax._wide import is_wide, wide

Region = Callable[[tuple[Any, ...], tuple[Any, ...]], tuple[Any, ...]]


def _gradient(*operands: Any, regions: tuple[Region, ...], wrt: int) -> Any:
    captured = operands[wrt:]

    def loss_of(*params: Any) -> tuple[Any, tuple[Any, ...]]:
        loss, *others = regions[0]((*params, *captured), ())
        return loss, tuple(others)

    loss, backward, others = jax.vjp(loss_of, *operands[:wrt], has_aux=True)
    with wide(is_wide(loss)):  # which the operands need not be, where a body finds arrays as Python does
        gradients = backward(jnp.ones_like(loss))
    return ops.single((loss, *others, *gradients))


def _all_reduce(x: Any, reduction: str, axis_name: str) -> Any:
    return x


TABLE: dict[OpSpec, Callable[..., Any]] = {ops.GRADIENT: _gradient, ops.ALL_REDUCE: _all_reduce}
