"""Operations on the bits of integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from unifront.opset import bitwise as ops
from unifront.opset.spec import OpSpec

TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.BITWISE_AND: jnp.bitwise_and,
    ops.BITWISE_OR: jnp.bitwise_or,
    ops.BITWISE_XOR: jnp.bitwise_xor,
    ops.LEFT_SHIFT: jnp.left_shift,
    ops.RIGHT_SHIFT: jnp.right_shift,
}
