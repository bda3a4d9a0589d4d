"""Places of values in sorted ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from unifront.opset import searching as ops
from unifront.opset.spec import OpSpec


def _searchsorted(sorted_sequence: Any, values: Any, right: bool) -> Any:
    return jnp.searchsorted(sorted_sequence, values, side="right" if right else "left").astype(jnp.int32)


TABLE: dict[OpSpec, Callable[..., Any]] = {ops.SEARCHSORTED: _searchsorted}
