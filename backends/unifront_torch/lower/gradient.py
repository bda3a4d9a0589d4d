"""Gradients in PyTorch: ``torch.autograd.grad`` over a body."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import torch

from unifront.errors import ArgumentError
from unifront.opset import gradient as ops
from unifront.opset.spec import OpSpec

Region = Callable[[tuple[Any, ...], tuple[Any, ...]], tuple[Any, ...]]


_inside: ContextVar[bool] = ContextVar("unifront_torch_inside_gradient", default=False)


def check_recording() -> None:
    """Raise where PyTorch records nothing for gradients, whatever is asked of it."""
    if torch.is_inference_mode_enabled():
        raise ArgumentError("There are no gradients inside torch.inference_mode(); leave it to train.")


def _gradient(*operands: Any, regions: tuple[Region, ...], wrt: int) -> Any:
    # Inside another body gradients are recorded, and are those of these gradients then recorded too. What a body that
    # is plain Python takes from outside is not among the operands.
    nested = torch.is_grad_enabled() and (
        _inside.get()
        or any(isinstance(operand, torch.Tensor) and operand.requires_grad for operand in operands)
    )
    token = _inside.set(True)
    try:
        with torch.enable_grad():
            leaves = [_own(param, nested) for param in operands[:wrt]]
            loss, *others = regions[0]((*leaves, *operands[wrt:]), ())
    finally:
        _inside.reset(token)
    if not loss.requires_grad:
        check_recording()
        gradients: Any = tuple(map(torch.zeros_like, operands[:wrt]))
    elif wrt:
        gradients = torch.autograd.grad(loss, leaves, allow_unused=True, create_graph=nested)
        if any(one is None for one in gradients):
            gradients = tuple(
                torch.zeros_like(leaf, requires_grad=nested) if one is None else one
                for one, leaf in zip(gradients, leaves, strict=True)
            )
    else:
        gradients = ()
    if nested:
        return ops.single((loss, *others, *gradients))
    return ops.single((*map(_plain, (loss, *others)), *gradients))


def _plain(value: Any) -> Any:
    return value.detach() if isinstance(value, torch.Tensor) and value.requires_grad else value


def _own(param: torch.Tensor, nested: bool) -> torch.Tensor:
    """``param`` as a tensor that nothing else in the body is made of."""
    if nested:
        return param.view_as(param) if param.requires_grad else param.detach().requires_grad_()
    return param if param.is_leaf and param.requires_grad else param.detach().requires_grad_()


def _all_reduce(x: torch.Tensor, reduction: str, axis_name: str) -> torch.Tensor:
    return x


TABLE: dict[OpSpec, Callable[..., Any]] = {ops.GRADIENT: _gradient, ops.ALL_REDUCE: _all_reduce}
