"""Branches and loops in JAX: ``lax.cond``, ``lax.while_loop`` and ``lax.scan``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax

from unifront.opset import control as ops
from unifront.opset.spec import OpSpec

Region = Callable[[tuple[Any, ...], tuple[Any, ...]], tuple[Any, ...]]


def _results(values: Any) -> Any:
    """Several results as a tuple, a single one as it is."""
    return tuple(values) if len(values) != 1 else values[0]


def _cond(predicate: Any, *operands: Any, regions: tuple[Region, ...]) -> Any:
    then, otherwise = regions
    found: tuple[Any, ...] = lax.cond(
        predicate, lambda *values: then(values, ()), lambda *values: otherwise(values, ()), *operands
    )
    return _results(found)


def _while_loop(
    *operands: Any, regions: tuple[Region, ...], states: int, maximum_iterations: int | None
) -> Any:
    condition, body = regions
    captured = operands[states:]

    def go_on(carry: tuple[Any, tuple[Any, ...]]) -> Any:
        count, state = carry
        wanted = condition((*state, *captured), ())[0]
        return wanted if maximum_iterations is None else wanted & (count < maximum_iterations)

    def step(carry: tuple[Any, tuple[Any, ...]]) -> tuple[Any, tuple[Any, ...]]:
        count, state = carry
        return count + 1, body((*state, *captured), ())

    state: tuple[Any, ...] = lax.while_loop(go_on, step, (jnp.int32(0), operands[:states]))[1]
    return _results(state)


def _scan(
    *operands: Any,
    regions: tuple[Region, ...],
    states: int,
    sequences: int,
    length: int | None,
    reverse: bool,
) -> Any:
    (body,) = regions
    captured = operands[states + sequences :]

    def step(state: tuple[Any, ...], slices: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        results = body((*state, *slices, *captured), ())
        return results[:states], results[states:]

    scanned = operands[states : states + sequences]
    state, outputs = lax.scan(step, operands[:states], scanned, length, reverse)
    return _results((*state, *outputs))


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.COND: _cond,
    ops.WHILE_LOOP: _while_loop,
    ops.SCAN: _scan,
}
