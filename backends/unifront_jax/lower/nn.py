"""Rows of softmax and the cross-entropies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from unifront.opset import nn as ops
from unifront.opset.spec import OpSpec


def _sparse_softmax_cross_entropy(logits: Any, labels: Any) -> Any:
    logarithms = jax.nn.log_softmax(logits, -1)
    return -jnp.take_along_axis(logarithms, labels[..., None], -1, mode="promise_in_bounds")[..., 0]


def _softmax_cross_entropy(logits: Any, targets: Any) -> Any:
    return -jnp.sum(targets * jax.nn.log_softmax(logits, -1), -1)


def _sigmoid_cross_entropy(logits: Any, targets: Any) -> Any:
    return jax.nn.softplus(logits) - logits * targets


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.SOFTMAX: jax.nn.softmax,
    ops.LOG_SOFTMAX: jax.nn.log_softmax,
    ops.SPARSE_SOFTMAX_CROSS_ENTROPY: _sparse_softmax_cross_entropy,
    ops.SOFTMAX_CROSS_ENTROPY: _softmax_cross_entropy,
    ops.SIGMOID_CROSS_ENTROPY: _sigmoid_cross_entropy,
}
