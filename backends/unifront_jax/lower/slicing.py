"""Rows of parts and repetitions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax

from unifront.opset import slicing as ops
from unifront.opset.spec import OpSpec

Bounds = tuple[int | None, ...]


def _slice(x: Any, starts: Bounds, stops: Bounds, strides: Bounds) -> Any:
    spans = [slice(*span).indices(size) for *span, size in zip(starts, stops, strides, x.shape, strict=True)]
    bounds = [(first, max(first, last), stride) for first, last, stride in spans]  # no more than nothing
    return lax.slice(x, *zip(*bounds, strict=True)) if bounds else x


def _pad(x: Any, widths: tuple[tuple[int, int], ...], mode: str, value: float) -> Any:
    if not widths:
        return x
    return jnp.pad(x, widths, mode, **({"constant_values": value} if mode == "constant" else {}))


def _flip(x: Any, axes: tuple[int, ...]) -> Any:
    return lax.rev(x, axes)


TABLE: dict[OpSpec, Callable[..., Any]] = {
    ops.SLICE: _slice,
    ops.PAD: _pad,
    ops.FLIP: _flip,
    ops.REPEAT: jnp.repeat,
    ops.TILE: lambda x, repeats: jnp.tile(x, repeats),
}
