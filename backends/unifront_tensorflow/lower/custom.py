"""A gradient of the user's in TensorFlow: ``tf.custom_gradient``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from unifront.ir.graph import Op
from unifront.opset import custom as ops
from unifront.opset.gradient import single


def _custom_gradient(*operands: Any, regions: tuple[Any, ...], results: int | None, wrt: int) -> Any:
    forward, backward = regions

    @tf.custom_gradient
    def function(*floats: Any) -> Any:
        found = forward((*floats, *operands[wrt:]), ())
        count = len(found) if results is None else results
        kept = tuple(found[count:])
        return tuple(found[:count]), lambda *upstream: list(backward((*upstream, *kept), ()))

    return single(tuple(function(*operands[:wrt])))


TABLE: dict[Op, Callable[..., Any]] = {ops.CUSTOM_GRADIENT: _custom_gradient}
