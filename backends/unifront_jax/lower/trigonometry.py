"""Inverses of sines and tangents, and their hyperbolic kin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from unifront.opset import trigonometry as ops
from unifront.opset.spec import OpSpec

TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.ARCSIN: jnp.arcsin,
    ops.ARCCOS: jnp.arccos,
    ops.ARCTAN: jnp.arctan,
    ops.SINH: jnp.sinh,
    ops.COSH: jnp.cosh,
    ops.ARCSINH: jnp.arcsinh,
    ops.ARCCOSH: jnp.arccosh,
    ops.ARCTAN2: jnp.arctan2,
}
