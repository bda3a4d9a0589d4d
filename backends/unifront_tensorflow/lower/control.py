"""Branches and loops in TensorFlow: ``tf.cond`` and ``tf.while_loop``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from unifront.opset import control as ops
from unifront.opset.spec import OpSpec

Region = Callable[[tuple[Any, ...], tuple[Any, ...]], tuple[Any, ...]]


def _results(values: Any) -> Any:
    """Several results as a tuple, a single one as it is."""
    return tuple(values) if len(values) != 1 else values[0]


def _cond(predicate: Any, *operands: Any, regions: tuple[Region, ...]) -> Any:
    then, otherwise = regions
    return _results(tf.cond(predicate, lambda: then(operands, ()), lambda: otherwise(operands, ())))


def _while_loop(
    *operands: Any, regions: tuple[Region, ...], states: int, maximum_iterations: int | None
) -> Any:
    condition, body = regions
    captured = operands[states:]

    def go_on(*state: Any) -> Any:
        return condition((*state, *captured), ())[0]

    def step(*state: Any) -> tuple[Any, ...]:
        return _as_before(body((*state, *captured), ()), state)

    return _results(tf.while_loop(go_on, step, operands[:states], maximum_iterations=maximum_iterations))


def _as_before(new: tuple[Any, ...], old: tuple[Any, ...]) -> tuple[Any, ...]:
    """``new``, with the static shapes that the types promise and tracing may have lost."""
    for after, before in zip(new, old, strict=True):
        if isinstance(after, tf.Tensor):
            after.set_shape(before.shape)
    return new


def _scan(
    *operands: Any, regions: tuple[Region, ...], states: int, sequences: int, length: Any, reverse: bool
) -> Any:
    (body,) = regions
    initial, captured = operands[:states], operands[states + sequences :]
    scanned = operands[states : states + sequences]
    steps = tf.shape(scanned[0])[0] if scanned else tf.convert_to_tensor(length)
    arrays = [tf.TensorArray(s.dtype, size=steps, element_shape=s.shape[1:]).unstack(s) for s in scanned]
    # The types of the outputs, from a step on zeros whose results nobody uses.
    example = body((*initial, *(tf.zeros(tf.shape(s)[1:], s.dtype) for s in scanned), *captured), ())[states:]
    outputs = [tf.TensorArray(y.dtype, size=steps, element_shape=y.shape) for y in example]

    def step(t: Any, *values: Any) -> tuple[Any, ...]:
        position = steps - 1 - t if reverse else t
        state = values[:states]
        results = body((*state, *(array.read(position) for array in arrays), *captured), ())
        written = (
            array.write(position, y) for array, y in zip(values[states:], results[states:], strict=True)
        )
        return (t + 1, *_as_before(results[:states], state), *written)

    start = (tf.constant(0), *initial, *outputs)
    _, *values = tf.while_loop(lambda t, *_: t < steps, step, start, maximum_iterations=steps)
    stacked = (array.stack() for array in values[states:])
    return _results([*values[:states], *stacked])


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.COND: _cond,
    ops.WHILE_LOOP: _while_loop,
    ops.SCAN: _scan,
}
