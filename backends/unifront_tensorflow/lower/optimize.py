"""Optimizer rules that TensorFlow has a fused kernel for, as updates of variables in place.

A rule outside `IN_PLACE` is run by its decomposition. As plain operations (outside a step) all are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from unifront.ir.graph import Op
from unifront.opset import optimize as ops
from unifront.opset.spec import OpSpec
from unifront.opset.tensor import bind
from unifront_tensorflow.variables import Reference

TABLE: dict[Op, Callable[..., Any]] = {}


def _decay(param: Reference, learning_rate: Any, weight_decay: float) -> None:
    if weight_decay:
        param.subtract(param.read() * weight_decay * learning_rate)


def _sgd(
    param: Reference, grad: Any, slots: Sequence[Reference], learning_rate: Any, shared: None, *,
    weight_decay: float,
) -> None:  # fmt: skip
    _decay(param, learning_rate, weight_decay)
    tf.raw_ops.ResourceApplyGradientDescent(var=param.handle, alpha=learning_rate, delta=grad)


def _momentum(
    param: Reference, grad: Any, slots: Sequence[Reference], learning_rate: Any, shared: None, *,
    momentum: float, nesterov: bool, weight_decay: float,
) -> None:  # fmt: skip
    (velocity,) = slots
    _decay(param, learning_rate, weight_decay)
    tf.raw_ops.ResourceApplyKerasMomentum(
        var=param.handle, accum=velocity.handle, lr=learning_rate, grad=grad,
        momentum=tf.constant(momentum, param.dtype), use_nesterov=nesterov,
    )  # fmt: skip


def _one_minus_power(beta: float, step: Any) -> Any:
    return -tf.math.expm1(step * math.log(beta)) if beta > 0.0 else tf.ones_like(step)


def _corrected_rate(
    dtype: Any, iteration: Any, learning_rate: Any, *, beta_1: float, beta_2: float, **_: Any
) -> Any:
    """Adam's learning rate with the correction of the bias in it.

    The kernel would take 1 - beta ** step in the dtype of the variable, which costs float32 four digits at the first
    steps; so the correction goes into the learning rate, and the powers given are zero. It is that of the rounded
    betas, which are the ones the kernel's moments are made with.
    """
    beta_1, beta_2 = (float(dtype.as_numpy_dtype(beta)) for beta in (beta_1, beta_2))
    step = tf.cast(iteration + 1, tf.float64)
    correction = tf.sqrt(_one_minus_power(beta_2, step)) / _one_minus_power(beta_1, step)
    return learning_rate * tf.cast(correction, dtype)


def _adam(
    param: Reference, grad: Any, slots: Sequence[Reference], learning_rate: Any, corrected_rate: Any, *,
    beta_1: float, beta_2: float, epsilon: float, weight_decay: float,
) -> None:  # fmt: skip
    m, v = slots
    _decay(param, learning_rate, weight_decay)
    zero = tf.constant(0, param.dtype)
    tf.raw_ops.ResourceApplyAdam(
        var=param.handle, m=m.handle, v=v.handle, beta1_power=zero, beta2_power=zero, lr=corrected_rate,
        beta1=tf.constant(beta_1, param.dtype), beta2=tf.constant(beta_2, param.dtype),
        epsilon=tf.constant(epsilon, param.dtype), grad=grad,
    )  # fmt: skip


def _in_place(rule: OpSpec, kernel: Callable[..., None]) -> Callable[..., None]:
    """``kernel`` for each variable of a grouped operation; params and slots come as references.

    What it needs besides the rate and is the same for all, `SHARED` makes once for each dtype.

    The kernels compute in the dtype of the variable and round the attributes to it (in bfloat16 0.999 is 1), so of
    16 bits the rule is written out, which computes in 32.
    """

    def row(*operands: Any, count: int, **attributes: Any) -> None:
        *arrays, iteration, learning_rate = operands
        numbers: dict[Any, tuple[Any, Any]] = {}
        for places, _ in ops.columns(count, ops.SLOTS[rule]):
            param, grad, *slots = (arrays[place] for place in places)
            if param.dtype.size > 2:
                if param.dtype not in numbers:
                    rate = tf.cast(learning_rate, param.dtype)
                    shared = (
                        SHARED[rule](param.dtype, iteration, rate, **attributes) if rule in SHARED else None
                    )
                    numbers[param.dtype] = rate, shared
                kernel(param, grad, slots, *numbers[param.dtype], **attributes)
                continue
            values = (reference.read() for reference in slots)
            results = bind(rule, param.read(), grad, *values, iteration, learning_rate, **attributes)
            for reference, value in zip((param, *slots), results if slots else (results,), strict=True):
                reference.assign(value)

    return row


KERNELS: dict[OpSpec, Callable[..., None]] = {
    ops.SGD_UPDATE: _sgd,
    ops.MOMENTUM_UPDATE: _momentum,
    ops.ADAM_UPDATE: _adam,
}
SHARED: dict[OpSpec, Callable[..., Any]] = {ops.ADAM_UPDATE: _corrected_rate}
IN_PLACE: dict[Op, Callable[..., None]] = {
    ops.GROUPED[rule]: _in_place(rule, kernel) for rule, kernel in KERNELS.items()
}
