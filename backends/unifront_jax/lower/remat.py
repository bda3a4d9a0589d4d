"""Computing again for the gradient in JAX: ``jax.checkpoint``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax

from unifront.opset import remat as ops
from unifront.opset.gradient import single
from unifront.opset.spec import OpSpec


def _remat(*operands: Any, regions: tuple[Callable[..., Any], ...]) -> Any:
    return single(tuple(jax.checkpoint(lambda *given: tuple(regions[0](given, ())))(*operands)))


TABLE: dict[OpSpec, Callable[..., Any]] = {ops.REMAT: _remat}
