"""Pooling."""

from __future__ import annotations

from typing import Any

import numpy as np

from unifront.onnx.rows.conv import padding_attributes
from unifront.onnx.writer import Ref, Row, Writer
from unifront.opset import pool as p
from unifront.opset.spec import OpSpec
from unifront.opset.windows import Padding, Pairs, same_pairs

Axes = tuple[int, ...]
VALID: dict[str, Any] = {"auto_pad": "VALID"}


def _max_pool(w: Writer, x: Ref, pool_size: Axes, strides: Axes, padding: Padding, data_format: str) -> Any:
    attributes = padding_attributes(padding)
    if _has_gaps(padding, pool_size, strides):
        widths, _ = _same_widths(w, x, pool_size, strides)
        x, attributes = w.op("Pad", x, widths, w.number(-np.inf, x)), VALID
    elif not isinstance(padding, str) and _is_padded(w, x):
        x, attributes = _kept_apart(w, x, pool_size, strides, padding)
    return w.op("MaxPool", x, kernel_shape=list(pool_size), strides=list(strides), **attributes)


def _average_pool(
    w: Writer, x: Ref, pool_size: Axes, strides: Axes, padding: Padding, data_format: str
) -> Any:
    window: dict[str, Any] = {"kernel_shape": list(pool_size), "strides": list(strides)}
    if not _has_gaps(padding, pool_size, strides):
        return w.op("AveragePool", x, **window, count_include_pad=0, **padding_attributes(padding))
    widths, sizes = _same_widths(w, x, pool_size, strides)
    ones = w.op("Expand", w.number(1, x), w.op("Concat", np.array([1, 1]), sizes, axis=0))
    filled, share = (w.op("AveragePool", w.op("Pad", one, widths), **window, **VALID) for one in (x, ones))
    return w.op("Div", filled, share)


def _has_gaps(padding: Padding, pool_size: Axes, strides: Axes) -> bool:
    """Whether sizes hang on the input, and windows leave out elements between them.

    ONNX's formula for ``SAME_UPPER`` then gives negative widths for some sizes, with which ONNX Runtime (1.31)
    runs no MaxPool and an AveragePool wrongly.
    """
    return isinstance(padding, str) and any(s > k for k, s in zip(pool_size, strides, strict=True))


def _same_widths(w: Writer, x: Ref, pool_size: Axes, strides: Axes) -> tuple[Ref, Ref]:
    """The widths that pad ``x`` to ceil(size / stride) windows, computed from its sizes, and these."""
    sizes = w.shape(x, 2, x.type.rank)
    rest = w.op("Mod", w.op("Sub", sizes, np.array([1])), np.array(strides))
    missing = w.op("Max", w.op("Sub", np.array(pool_size) - 1, rest), np.array([0]))
    before = w.op("Div", missing, np.array([2]))
    none = np.array([0, 0])
    return w.op("Concat", none, before, none, w.op("Sub", missing, before), axis=0), sizes


def _is_padded(w: Writer, x: Ref) -> bool:
    """Whether ``x`` comes from a Pad, but for what may be moved before it."""
    node = w.maker(x)
    while node is not None and node.op_type in ("Cast", "Transpose", "Identity"):
        node = w.maker(Ref(node.input[0]))
    return node is not None and node.op_type == "Pad"


def _kept_apart(
    w: Writer, x: Ref, pool_size: Axes, strides: Axes, padding: Pairs
) -> tuple[Ref, dict[str, Any]]:
    """A padded operand and the padding of the MaxPool that reads it, named by ``auto_pad``.

    ONNX Runtime (to 1.31 at least) adds the widths of a Pad with zeros to the ``pads`` of the MaxPool behind it,
    whose padding never counts while zeros do; where the padding has a name it leaves both alone.
    """
    if not any(map(any, padding)):
        return x, VALID
    sizes = [size for size in x.type.shape[2:] if isinstance(size, int)]
    if len(sizes) == len(padding) and padding == same_pairs(sizes, pool_size, strides, (1,) * len(sizes)):
        return x, {"auto_pad": "SAME_UPPER"}
    befores, afters = zip(*padding, strict=True)
    sides = np.array([0, 0, *befores, 0, 0, *afters])
    return w.op("Pad", x, sides, w.number(-np.inf, x)), VALID


TABLE: dict[OpSpec, Row] = {p.MAX_POOL: _max_pool, p.AVERAGE_POOL: _average_pool}
