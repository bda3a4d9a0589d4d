"""Branches and loops in PyTorch: Python's own. A condition on the device is waited for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from unifront.opset import control as ops
from unifront.opset.spec import OpSpec

Region = Callable[[tuple[Any, ...], tuple[Any, ...]], tuple[Any, ...]]


def _results(values: Any) -> Any:
    """Several results as a tuple, a single one as it is."""
    return tuple(values) if len(values) != 1 else values[0]


def _cond(predicate: Any, *operands: Any, regions: tuple[Region, ...]) -> Any:
    return _results(regions[0 if bool(predicate) else 1](operands, ()))


def _while_loop(
    *operands: Any, regions: tuple[Region, ...], states: int, maximum_iterations: int | None
) -> Any:
    condition, body = regions
    state, captured, count = operands[:states], operands[states:], 0
    while maximum_iterations is None or count < maximum_iterations:
        if not bool(condition((*state, *captured), ())[0]):
            break
        state, count = body((*state, *captured), ()), count + 1
    return _results(state)


def _scan(
    *operands: Any,
    regions: tuple[Region, ...],
    states: int,
    sequences: int,
    length: int | None,
    reverse: bool,
) -> Any:
    (body,) = regions
    state, captured = operands[:states], operands[states + sequences :]
    scanned = operands[states : states + sequences]
    steps = scanned[0].size(0) if scanned else length or 0
    if steps == 0:  # the types of the outputs are known from a step on zeros
        empty = body((*state, *(s.new_zeros(s.shape[1:]) for s in scanned), *captured), ())[states:]
        return _results([*state, *(y.new_zeros((0, *y.shape)) for y in empty)])
    slices = list(zip(*(s.unbind(0) for s in scanned), strict=True)) if scanned else [()] * steps
    outputs = []
    for x in reversed(slices) if reverse else slices:
        results = body((*state, *x, *captured), ())
        state = results[:states]
        outputs.append(results[states:])
    if reverse:
        outputs.reverse()
    return _results([*state, *(torch.stack(column) for column in zip(*outputs, strict=True))])


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.COND: _cond,
    ops.WHILE_LOOP: _while_loop,
    ops.SCAN: _scan,
}
