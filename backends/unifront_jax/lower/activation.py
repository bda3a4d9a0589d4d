"""Activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from unifront.backends import with_plain
from unifront.opset import activation as ops
from unifront.opset.spec import OpSpec
from unifront_jax.lower._extremes import clip


def _gelu(x: Any, approximate: bool) -> Any:
    # In 16 bits the sum 1 + tanh loses every digit of a small result; one fused kernel rounds only once.
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return jax.nn.gelu(wide, approximate).astype(x.dtype)


def _sigmoid_hard(x: Any) -> Any:
    return clip(x / 6 + 0.5, 0, 1)


def relu(x: Any) -> Any:
    """`jax.nn.relu`."""
    return jax.nn.relu(x)


# Which has a rule of its own for gradients, and takes fifteen times as long as this when it is called at once.
with_plain(relu, jax.jit(lambda x: jnp.where(x <= 0, 0, x)))


def _relu6(x: Any) -> Any:
    # Flat at 0 and 6 too, as ReLU is at 0: jax.nn.relu6 has half a slope there.
    return jnp.where(x <= 0, 0, jnp.where(x >= 6, 6, x)).astype(x.dtype)


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.RELU: relu,
    ops.RELU6: _relu6,
    ops.SOFTSIGN: jax.nn.soft_sign,
    ops.SILU: jax.nn.silu,
    ops.SELU: jax.nn.selu,
    ops.HARD_SIGMOID: _sigmoid_hard,
    ops.GELU: _gelu,
    ops.LEAKY_RELU: jax.nn.leaky_relu,
    ops.ELU: jax.nn.elu,
}
