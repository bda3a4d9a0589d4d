"""Elementwise rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from unifront.opset import elementwise as ops
from unifront.opset.spec import OpSpec
from unifront_jax.lower._extremes import clip, maximum, minimum

TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.NEGATIVE: jnp.negative,
    ops.ABS: jnp.abs,
    ops.SIGN: jnp.sign,
    ops.SQUARE: jnp.square,
    ops.EXP: jnp.exp,
    ops.EXPM1: jnp.expm1,
    ops.LOG: jnp.log,
    ops.LOG1P: jnp.log1p,
    ops.SQRT: jnp.sqrt,
    ops.RSQRT: lax.rsqrt,
    ops.RECIPROCAL: jnp.reciprocal,
    ops.SIN: jnp.sin,
    ops.COS: jnp.cos,
    ops.TAN: jnp.tan,
    ops.TANH: jnp.tanh,
    ops.SIGMOID: jax.nn.sigmoid,
    ops.ERF: lax.erf,
    ops.FLOOR: jnp.floor,
    ops.CEIL: jnp.ceil,
    ops.ROUND: jnp.round,
    ops.SOFTPLUS: jax.nn.softplus,
    ops.ADD: jnp.add,
    ops.SUBTRACT: jnp.subtract,
    ops.MULTIPLY: jnp.multiply,
    ops.DIVIDE: jnp.true_divide,
    ops.FLOOR_DIVIDE: jnp.floor_divide,
    ops.REMAINDER: jnp.remainder,
    ops.POWER: jnp.power,
    ops.MAXIMUM: maximum,
    ops.MINIMUM: minimum,
    ops.CAST: lambda x, dtype: lax.convert_element_type(x, dtype),
    ops.WHERE: jnp.where,
    ops.CLIP: lambda x, minimum, maximum: clip(x, minimum, maximum),
    ops.STOP_GRADIENT: lax.stop_gradient,
}
