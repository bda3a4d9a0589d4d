"""Computing again for the gradient in TensorFlow: what ``tf.recompute_grad`` does, which takes no random keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from unifront.opset import remat as ops
from unifront.opset.gradient import single
from unifront.opset.spec import OpSpec


def _is_float(value: Any) -> bool:
    return tf.is_tensor(value) and (value.dtype.is_floating or value.dtype.is_complex)


def _remat(*operands: Any, regions: tuple[Callable[..., Any], ...]) -> Any:
    places = [place for place, operand in enumerate(operands) if _is_float(operand)]

    def run(floats: Any) -> list[Any]:
        given = list(operands)
        for place, value in zip(places, floats, strict=True):
            given[place] = value
        return list(regions[0](tuple(given), ()))

    @tf.custom_gradient
    def block(*floats: Any) -> Any:
        def backward(*upstream: Any, variables: Any = None) -> Any:
            with tf.control_dependencies(
                upstream
            ):  # only then, and of other tensors, lest the first results be kept
                again = [tf.identity(value) for value in floats]
            with tf.GradientTape() as tape:
                tape.watch(again)
                found = run(again)
            pairs = [(y, g) for y, g in zip(found, upstream, strict=True) if _is_float(y)]
            own = tape.gradient(
                [y for y, _ in pairs], [again, list(variables or ())], output_gradients=[g for _, g in pairs],
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )  # fmt: skip
            return own[0] if variables is None else (own[0], own[1])

        return run(floats), backward

    return single(tuple(block(*[operands[place] for place in places])))


TABLE: dict[OpSpec, Callable[..., Any]] = {ops.REMAT: _remat}
