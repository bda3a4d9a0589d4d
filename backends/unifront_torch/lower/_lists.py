"""Operations on the elements of many arrays at once: ``torch._foreach_*``, for `unifront.ir.passes.batch_elementwise`.

Operands are lists of tensors, or a scalar tensor for all. A scalar on the host becomes a number, for which nothing
waits; the foreach kernels compute with it in the dtype of the list, as with the tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from unifront.ir.graph import Op
from unifront.opset import elementwise as ops


def _second(x: Any, y: Any) -> Any:
    """``y`` as a foreach function takes it beside the list ``x``."""
    if not isinstance(y, torch.Tensor):
        return y
    return y.item() if y.device.type == "cpu" else [y] * len(x)


def _commuting(function: Callable[..., Any]) -> Callable[..., Any]:
    def row(x: Any, y: Any) -> Any:
        x, y = (y, x) if isinstance(x, torch.Tensor) else (x, y)
        return function(x, _second(x, y))

    return row


def _in_order(function: Callable[..., Any]) -> Callable[..., Any]:
    def row(x: Any, y: Any) -> Any:
        if isinstance(x, torch.Tensor):
            return function([x] * len(y), y)
        return function(x, _second(x, y))

    return row


def _of_tensors(function: Callable[..., Any]) -> Callable[..., Any]:
    def row(x: Any, y: Any) -> Any:
        count = max(len(one) for one in (x, y) if not isinstance(one, torch.Tensor))
        return function(*([one] * count if isinstance(one, torch.Tensor) else one for one in (x, y)))

    return row


def _on_lists(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` of lists and scalars as the row of `unifront.ir.passes.batch_elementwise.Each`."""

    def row(*operands: Any, count: int, shared: Sequence[bool]) -> tuple[torch.Tensor, ...]:
        given: list[Any] = []
        at = 0
        for one in shared:
            given.append(operands[at] if one else operands[at : at + count])
            at += 1 if one else count
        return tuple(function(*given))

    return row


LISTS: dict[Op, Callable[..., Any]] = {
    op: _on_lists(function)
    for op, function in {
        ops.ADD: _commuting(torch._foreach_add),
        ops.MULTIPLY: _commuting(torch._foreach_mul),
        ops.SUBTRACT: _in_order(torch._foreach_sub),
        ops.DIVIDE: _in_order(torch._foreach_div),
        ops.SQRT: torch._foreach_sqrt,
        ops.NEGATIVE: torch._foreach_neg,
        ops.ABS: torch._foreach_abs,
        ops.SQUARE: lambda x: torch._foreach_mul(x, x),
        ops.MAXIMUM: _of_tensors(torch._foreach_maximum),
    }.items()
}
