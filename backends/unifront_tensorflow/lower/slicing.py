"""Rows for parts and repetitions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from unifront.ir.graph import Op
from unifront.opset import slicing as ops


def _slice(x: Any, starts: tuple[Any, ...], stops: tuple[Any, ...], strides: tuple[int, ...]) -> Any:
    if not starts:
        return x
    open_ends = sum(1 << axis for axis, stop in enumerate(stops) if stop is None)
    ends = [0 if stop is None else stop for stop in stops]
    return tf.strided_slice(x, starts, ends, strides, end_mask=open_ends)


def _pad(x: Any, widths: tuple[tuple[int, int], ...], mode: str, value: float) -> Any:
    return tf.pad(x, widths, mode.upper(), value) if widths else x


def _repeat(x: Any, repeats: Any, axis: int) -> Any:
    if x.dtype in (tf.uint16, tf.uint32):  # of which TensorFlow makes no tiles on a CPU
        return tf.cast(tf.repeat(tf.cast(x, tf.int64), repeats, axis), x.dtype)
    return tf.repeat(x, repeats, axis)


def _tile(x: Any, repeats: tuple[int, ...]) -> Any:
    if x.dtype in (tf.uint16, tf.uint32):
        return tf.cast(_tile(tf.cast(x, tf.int64), repeats), x.dtype)
    return tf.tile(x, repeats) if repeats else x


TABLE: dict[Op, Callable[..., Any]] = {
    ops.SLICE: _slice,
    ops.PAD: _pad,
    ops.FLIP: lambda x, axes: tf.reverse(x, axes) if axes else x,
    ops.REPEAT: _repeat,
    ops.TILE: _tile,
}
