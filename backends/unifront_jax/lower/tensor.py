"""The row of constants. Programs never call it: their constants are bound when they are written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from unifront.opset import tensor as ops
from unifront.opset.spec import OpSpec

TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.CONSTANT: lambda value: jnp.asarray(value.numpy()),
}
