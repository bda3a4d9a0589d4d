"""A gradient of the user's in PyTorch: ``torch.autograd.Function``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from unifront.opset import custom as ops
from unifront.opset.gradient import single
from unifront.opset.spec import OpSpec


class _Custom(torch.autograd.Function):
    """What the gradient needs is computed anew where a gradient of it is wanted too, and kept where not."""

    @staticmethod
    def forward(ctx: Any, regions: Any, results: int | None, wrt: int, *operands: Any) -> Any:
        found = regions[0](operands, ())
        count = len(found) if results is None else results
        ctx.regions, ctx.count, ctx.wrt, ctx.others = regions, count, wrt, len(operands) - wrt
        ctx.operands, ctx.kept = operands, found[count:]
        return tuple(one.view_as(one) for one in found[:count])

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> Any:
        kept = ctx.kept
        if torch.is_grad_enabled():
            kept = ctx.regions[0](ctx.operands, ())[ctx.count :]
        gradients = ctx.regions[1]((*upstream, *kept), ())
        return (None, None, None, *gradients, *(None,) * ctx.others)


def _custom_gradient(*operands: Any, regions: tuple[Any, ...], results: int | None, wrt: int) -> Any:
    return single(tuple(_Custom.apply(regions, results, wrt, *operands)))


TABLE: dict[OpSpec, Callable[..., Any]] = {ops.CUSTOM_GRADIENT: _custom_gradient}
