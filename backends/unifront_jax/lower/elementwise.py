"""Elementwise rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from unifront.opset import elementwise as ops
from unifront.opset.spec import OpSpec


def _gelu(x: Any, approximate: bool) -> Any:
    # In 16 bits the sum 1 + tanh loses every digit of a small result; one fused kernel rounds only once.
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return jax.nn.gelu(wide, approximate).astype(x.dtype)


def _sigmoid_hard(x: Any) -> Any:
    return jnp.clip(x / 6 + 0.5, 0, 1)


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
    ops.RELU: jax.nn.relu,
    ops.SOFTPLUS: jax.nn.softplus,
    ops.SOFTSIGN: jax.nn.soft_sign,
    ops.SILU: jax.nn.silu,
    ops.SELU: jax.nn.selu,
    ops.HARD_SIGMOID: _sigmoid_hard,
    ops.GELU: _gelu,
    ops.LEAKY_RELU: jax.nn.leaky_relu,
    ops.ELU: jax.nn.elu,
    ops.ADD: jnp.add,
    ops.SUBTRACT: jnp.subtract,
    ops.MULTIPLY: jnp.multiply,
    ops.DIVIDE: jnp.true_divide,
    ops.FLOOR_DIVIDE: jnp.floor_divide,
    ops.REMAINDER: jnp.remainder,
    ops.POWER: jnp.power,
    ops.MAXIMUM: jnp.maximum,
    ops.MINIMUM: jnp.minimum,
    ops.EQUAL: jnp.equal,
    ops.NOT_EQUAL: jnp.not_equal,
    ops.LESS: jnp.less,
    ops.LESS_EQUAL: jnp.less_equal,
    ops.GREATER: jnp.greater,
    ops.GREATER_EQUAL: jnp.greater_equal,
    ops.LOGICAL_AND: jnp.logical_and,
    ops.LOGICAL_OR: jnp.logical_or,
    ops.LOGICAL_NOT: jnp.logical_not,
    ops.CAST: lambda x, dtype: lax.convert_element_type(x, dtype),
    ops.WHERE: jnp.where,
    ops.CLIP: lambda x, minimum, maximum: jnp.clip(x, minimum, maximum),
    ops.STOP_GRADIENT: lax.stop_gradient,
}
