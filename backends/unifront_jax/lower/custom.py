"""A gradient of the user's in JAX: ``jax.custom_gradient``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from unifront.opset import custom as ops
from unifront.opset.gradient import single
from unifront.opset.spec import OpSpec


def _custom_gradient(*operands: Any, regions: tuple[Any, ...], results: int | None, wrt: int) -> Any:
    forward, backward = regions
    others = tuple(jax.lax.stop_gradient(one) for one in operands[wrt:])

    @jax.custom_gradient
    def function(*floats: Any) -> Any:
        found = forward((*floats, *others), ())
        count = len(found) if results is None else results
        kept = tuple(found[count:])
        return tuple(found[:count]), lambda upstream: tuple(backward((*upstream, *kept), ()))

    return single(tuple(function(*operands[:wrt])))


TABLE: dict[OpSpec, Callable[..., Any]] = {ops.CUSTOM_GRADIENT: _custom_gradient}
