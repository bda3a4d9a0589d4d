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


def _max_pool(w: Writer, x: Ref, pool_size: Axes, strides: Axes, padding: Padding, data_format: str) -> Any:
    attributes = padding_attributes(padding)
    if not isinstance(padding, str) and _is_padded(w, x):
        x, attributes = _kept_apart(w, x, pool_size, strides, padding)
    return w.op("MaxPool", x, kernel_shape=list(pool_size), strides=list(strides), **attributes)


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
        return x, {"auto_pad": "VALID"}
    sizes = [size for size in x.type.shape[2:] if isinstance(size, int)]
    if len(sizes) == len(padding) and padding == same_pairs(sizes, pool_size, strides, (1,) * len(sizes)):
        return x, {"auto_pad": "SAME_UPPER"}
    befores, afters = zip(*padding, strict=True)
    sides = np.array([0, 0, *befores, 0, 0, *afters])
    return w.op("Pad", x, sides, w.number(-np.inf, x)), {"auto_pad": "VALID"}


def _average_pool(
    w: Writer, x: Ref, pool_size: Axes, strides: Axes, padding: Padding, data_format: str
) -> Any:
    return w.op(
        "AveragePool", x, kernel_shape=list(pool_size), strides=list(strides), count_include_pad=0,
        **padding_attributes(padding),
    )  # fmt: skip


TABLE: dict[OpSpec, Row] = {p.MAX_POOL: _max_pool, p.AVERAGE_POOL: _average_pool}
