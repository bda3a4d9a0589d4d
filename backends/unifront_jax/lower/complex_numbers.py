"""Rows for complex numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax

from unifront.opset import complex_numbers as ops
from unifront.opset.spec import OpSpec

TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.COMPLEX: lax.complex,
    ops.PARTS: lambda x: (jnp.real(x), jnp.imag(x)),
}
