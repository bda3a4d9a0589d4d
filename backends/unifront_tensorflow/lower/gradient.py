"""Gradients in TensorFlow: a ``tf.GradientTape`` over a body."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from unifront.opset import gradient as ops
from unifront.opset.spec import OpSpec

Region = Callable[[tuple[Any, ...], tuple[Any, ...]], tuple[Any, ...]]


def dense_gradients(tape: tf.GradientTape, target: Any, sources: Sequence[Any]) -> list[Any]:
    """Dense gradients, zeros where ``target`` does not depend on a source."""
    found = tape.gradient(target, sources, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return [tf.convert_to_tensor(gradient) for gradient in found]


def _gradient(*operands: Any, regions: tuple[Region, ...], wrt: int) -> Any:
    # Identities: what else in the body is made of the same tensor is no way to it.
    sources = [tf.identity(operand) for operand in operands[:wrt]]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(sources)
        loss, *others = regions[0]((*sources, *operands[wrt:]), ())
    return ops.single((loss, *others, *dense_gradients(tape, loss, sources)))


def _all_reduce(x: Any, reduction: str, axis_name: str) -> Any:
    return tf.identity(x)


TABLE: dict[OpSpec, Callable[..., Any]] = {ops.GRADIENT: _gradient, ops.ALL_REDUCE: _all_reduce}
