"""Recurrent operations over sequences with the time first, which is the one layout ONNX Runtime has.

Written as operations of their own between transposes, so that `simplify_layout` carries the transposes
through stacks of them and through what stands between.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from unifront.ir.graph import Graph
from unifront.ir.passes.rewrite import Rewriter, in_regions
from unifront.ir.types import TensorType
from unifront.ops.rnn import GRU, LSTM, SIMPLE_RNN
from unifront.ops.shape import TRANSPOSE
from unifront.ops.spec import OpSpec

_SWAP = (1, 0, 2)


def _swapped(type_: TensorType) -> TensorType:
    return type_.with_shape(tuple(type_.shape[axis] for axis in _SWAP))


def _time_major(spec: OpSpec) -> OpSpec:
    """``spec`` with its first operand and first result ``[time, batch, …]``."""

    def rule(x: TensorType, *others: TensorType | None, **attributes: Any) -> tuple[TensorType, ...]:
        sequence, *states = spec.infer(_swapped(x), *others, **attributes)
        return (_swapped(sequence), *states)

    def reference(x: np.ndarray, *others: Any, **attributes: Any) -> Any:
        sequence, *states = spec.reference(x.transpose(_SWAP), *others, **attributes)
        return (sequence.transpose(_SWAP), *states)

    return OpSpec(
        f"{spec.name}_time_major", rule, reference, lambda rng: (), spec.source, attributes=spec.attributes
    )


TIME_MAJOR = {spec: _time_major(spec) for spec in (LSTM, GRU, SIMPLE_RNN)}
"""Each recurrent operation and its time-major form."""


def time_major(graph: Graph) -> Graph:
    """``graph`` with every recurrent operation in its time-major form, between transposes."""
    writer = Rewriter(graph)
    for node in graph.nodes:
        node = in_regions(time_major, node)
        found = next((new for old, new in TIME_MAJOR.items() if old is node.op), None)
        if found is None:
            writer.keep(node)
            continue
        x, *others = writer.operands(node)
        (moved,) = writer.add(TRANSPOSE, (x,), {"axes": _SWAP}, node.name)
        sequence, *states = writer.add(found, (moved, *others), node.attributes, node.name)
        (back,) = writer.add(TRANSPOSE, (sequence,), {"axes": _SWAP}, node.name)
        for old, new in zip(node.outputs, (back, *states), strict=True):
            writer.replace(old, new)
    return writer.finish()
