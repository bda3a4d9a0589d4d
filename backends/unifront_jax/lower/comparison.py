"""Comparisons, and what booleans are joined by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from unifront.opset import comparison as ops
from unifront.opset.spec import OpSpec

TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.EQUAL: jnp.equal,
    ops.NOT_EQUAL: jnp.not_equal,
    ops.LESS: jnp.less,
    ops.LESS_EQUAL: jnp.less_equal,
    ops.GREATER: jnp.greater,
    ops.GREATER_EQUAL: jnp.greater_equal,
    ops.LOGICAL_AND: jnp.logical_and,
    ops.LOGICAL_OR: jnp.logical_or,
    ops.LOGICAL_NOT: jnp.logical_not,
}
