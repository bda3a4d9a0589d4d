"""Sizes that went through operations: which dimensions a tensor of them holds, while its graph is written.

``ops.tile(x, ops.concatenate([ops.expand_dims(ops.shape(x)[0], -1), [2]], 0))`` is a tile by ``(batch, 2)``.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from unifront.ir.graph import Node, Value
from unifront.opset.builder import Traced
from unifront.opset.spec import OpSpec

MOVES = {
    "reshape",
    "expand_dims",
    "squeeze",
    "transpose",
    "concatenate",
    "stack",
    "slice",
    "flip",
    "take",
    "tile",
}
ARITHMETIC = {"add", "subtract", "multiply", "floor_divide", "remainder", "negative"}


def known_sizes(tensor: Traced) -> np.ndarray | None:
    """The ints and dimensions that ``tensor`` holds, an array of objects; None where its values come from elsewhere."""
    made = {value: node for node in tensor.builder.nodes for value in node.outputs}
    return _known(tensor.value, made)


def _known(value: Value, made: dict[Value, Node]) -> np.ndarray | None:
    node = made.get(value)
    if node is None or value.type.dtype.kind not in "iu":
        return None
    attributes: dict[str, Any] = dict(node.attributes)
    name = node.op.name
    if name == "constant":
        return attributes["value"].numpy().astype(object)
    if name == "fill" and value.type.is_static:
        return np.full(cast("tuple[int, ...]", value.type.shape), attributes["value"], object)
    if not isinstance(node.op, OpSpec) or name not in {"cast"} | MOVES | ARITHMETIC:
        return None
    operands = [None if one is None else _known(one, made) for one in node.operands]
    if any(one is None for one in operands):
        return None
    return operands[0] if name == "cast" else np.asarray(node.op.reference(*operands, **attributes), object)
