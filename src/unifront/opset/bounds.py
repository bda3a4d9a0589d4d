"""Which inputs of a graph are numbers of rows, and what they may be: indices are checked on the host, where they
cost nothing, because no device says which index of a batch was wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from unifront.ir.graph import Graph, Value
from unifront.opset.elementwise import CAST
from unifront.opset.index import EMBEDDING, IndexBound
from unifront.opset.shape import EXPAND_DIMS, RESHAPE, SQUEEZE, TRANSPOSE

_SAME_ELEMENTS = frozenset({CAST, RESHAPE, TRANSPOSE, EXPAND_DIMS, SQUEEZE})
"""Operations whose result has every element of their first operand; a cast cuts floats to integers."""


def index_bounds(graph: Graph) -> dict[int, IndexBound]:
    """The inputs of ``graph`` all of whose elements choose rows of an `embedding`, by position.

    Casts and changes of shape between the input and the layer are seen through, other operations are not. Of
    several layers on one input the smallest counts.
    """
    sources: dict[Value, int] = {value: i for i, value in enumerate(graph.inputs)}
    found: dict[int, IndexBound] = {}
    for node in graph.nodes:
        position = sources.get(node.operands[0]) if node.operands and node.operands[0] is not None else None
        if position is None:
            continue
        if node.op in _SAME_ELEMENTS and not (
            node.op is CAST and node.outputs[0].type.dtype.kind not in "iuf"
        ):
            sources[node.outputs[0]] = position
        elif node.op is EMBEDDING and node.operands[1] is not None:
            size = node.operands[1].type.shape[0]
            if isinstance(size, int) and (position not in found or size < found[position].size):
                found[position] = IndexBound(node.name, size)
    return found


def check_indices(graph: Graph, bounds: Mapping[int, IndexBound], inputs: Sequence[Any]) -> None:
    """Check the host arrays among ``inputs`` of ``graph`` against ``bounds``, which are its `index_bounds`."""
    for position, bound in bounds.items():
        if isinstance(inputs[position], np.ndarray):
            bound.check(inputs[position], f"the input {graph.input_names[position]!r}")
