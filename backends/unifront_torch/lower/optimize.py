"""Optimizer rules in PyTorch: many variables at once and in place, by fused kernels or ``torch._foreach_*``.

A kernel is called as ``kernel(params, grads, slots, iteration, learning_rate, **attributes)``: lists of tensors
of one dtype and device, each gradient and slot in the memory layout of its parameter; ``slots[k][i]`` is slot
``k`` of parameter ``i``; ``iteration`` and ``learning_rate`` are Python numbers, from tensors that steps keep on
the host: no device is waited for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from unifront.opset import optimize as ops
from unifront.opset.spec import OpSpec

Tensors = Sequence[torch.Tensor]
FUSED_DEVICES = ("cpu", "cuda", "mps", "xpu")


def _decay(params: Tensors, learning_rate: float, weight_decay: float) -> None:
    if weight_decay:
        torch._foreach_mul_(params, 1 - learning_rate * weight_decay)


def _sgd(
    params: Tensors, grads: Tensors, slots: Sequence[Tensors], iteration: int, learning_rate: float,
    weight_decay: float,
) -> None:  # fmt: skip
    _decay(params, learning_rate, weight_decay)
    torch._foreach_add_(params, grads, alpha=-learning_rate)


def _momentum(
    params: Tensors, grads: Tensors, slots: Sequence[Tensors], iteration: int, learning_rate: float,
    momentum: float, nesterov: bool, weight_decay: float,
) -> None:  # fmt: skip
    (velocities,) = slots
    _decay(params, learning_rate, weight_decay)
    torch._foreach_mul_(velocities, momentum)
    torch._foreach_add_(velocities, grads, alpha=-learning_rate)
    if nesterov:
        torch._foreach_add_(params, velocities, alpha=momentum)
        torch._foreach_add_(params, grads, alpha=-learning_rate)
    else:
        torch._foreach_add_(params, velocities)


def _adam(
    params: Tensors, grads: Tensors, slots: Sequence[Tensors], iteration: int, learning_rate: float,
    beta_1: float, beta_2: float, epsilon: float, weight_decay: float,
) -> None:  # fmt: skip
    means, squares = slots
    step = iteration + 1
    correction_1, correction_2 = 1 - beta_1**step, math.sqrt(1 - beta_2**step)
    if params[0].device.type not in FUSED_DEVICES:
        _decay(params, learning_rate, weight_decay)
        torch._foreach_lerp_(means, grads, 1 - beta_1)
        torch._foreach_mul_(squares, beta_2)
        torch._foreach_addcmul_(squares, grads, grads, 1 - beta_2)
        roots = torch._foreach_sqrt(squares)
        torch._foreach_add_(roots, epsilon)
        torch._foreach_addcdiv_(params, means, roots, -learning_rate * correction_2 / correction_1)
        return
    # Torch corrects the root before it adds epsilon, Keras after: hence epsilon / correction_2.
    steps = [torch.full((), step, dtype=torch.float32, device=params[0].device)] * len(params)
    kernel = torch._fused_adamw_ if weight_decay else torch._fused_adam_
    kernel(
        params, grads, means, squares, [], steps, lr=learning_rate, beta1=beta_1, beta2=beta_2,
        weight_decay=weight_decay, eps=epsilon / correction_2, amsgrad=False, maximize=False,
    )  # fmt: skip


def _rmsprop(
    params: Tensors, grads: Tensors, slots: Sequence[Tensors], iteration: int, learning_rate: float,
    rho: float, epsilon: float, weight_decay: float,
) -> None:  # fmt: skip
    (squares,) = slots
    torch._foreach_mul_(squares, rho)
    torch._foreach_addcmul_(squares, grads, grads, 1 - rho)
    _decay(params, learning_rate, weight_decay)
    _divide_by_root(params, grads, squares, learning_rate, epsilon)


def _adagrad(
    params: Tensors, grads: Tensors, slots: Sequence[Tensors], iteration: int, learning_rate: float,
    epsilon: float, weight_decay: float,
) -> None:  # fmt: skip
    (squares,) = slots
    torch._foreach_addcmul_(squares, grads, grads, 1.0)
    _decay(params, learning_rate, weight_decay)
    _divide_by_root(params, grads, squares, learning_rate, epsilon)


def _divide_by_root(params: Tensors, grads: Tensors, squares: Tensors, rate: float, epsilon: float) -> None:
    roots = torch._foreach_add(squares, epsilon)
    torch._foreach_sqrt_(roots)
    torch._foreach_addcdiv_(params, grads, roots, -rate)


def _lion(
    params: Tensors, grads: Tensors, slots: Sequence[Tensors], iteration: int, learning_rate: float,
    beta_1: float, beta_2: float, weight_decay: float,
) -> None:  # fmt: skip
    (means,) = slots
    directions = torch._foreach_mul(means, beta_1)
    torch._foreach_add_(directions, grads, alpha=1 - beta_1)
    torch._foreach_sign_(directions)
    _decay(params, learning_rate, weight_decay)
    torch._foreach_add_(params, directions, alpha=-learning_rate)
    torch._foreach_mul_(means, beta_2)
    torch._foreach_add_(means, grads, alpha=1 - beta_2)


def like(param: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """``value`` in the memory layout of ``param``; a view where only axes of size 1 differ."""
    strides = value.stride()
    if strides == param.stride():
        return value
    triples = zip(param.shape, param.stride(), strides, strict=True)
    if all(size == 1 or wanted == found for size, wanted, found in triples):
        return value.as_strided(param.shape, param.stride())
    return torch.empty_like(param).copy_(value)


def _in_place(kernel: Callable[..., None]) -> Callable[..., None]:
    """``kernel`` as the row of a grouped operation, whose params and slots it overwrites."""

    def row(*operands: Any, count: int, **attributes: Any) -> None:
        *arrays, iteration, learning_rate = operands
        params, grads, *slots = (arrays[i : i + count] for i in range(0, len(arrays), count))
        # Fused kernels walk a gradient's memory beside its parameter's: their layouts must be equal.
        grads = [
            grad if grad.stride() == param.stride() else like(param, grad)
            for grad, param in zip(grads, params, strict=True)
        ]
        kernel(params, grads, slots, int(iteration), float(learning_rate), **attributes)

    return row


TABLE: dict[OpSpec, Callable[..., Any]] = {}
"""Empty: a rule as an operation of its own is written out; steps go through `IN_PLACE`."""

KERNELS: dict[OpSpec, Callable[..., None]] = {
    ops.SGD_UPDATE: _sgd,
    ops.MOMENTUM_UPDATE: _momentum,
    ops.ADAM_UPDATE: _adam,
    ops.RMSPROP_UPDATE: _rmsprop,
    ops.ADAGRAD_UPDATE: _adagrad,
    ops.LION_UPDATE: _lion,
}
IN_PLACE: dict[OpSpec, Callable[..., None]] = {
    ops.GROUPED[rule]: _in_place(kernel) for rule, kernel in KERNELS.items()
}
