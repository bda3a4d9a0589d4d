"""What is done to a graph before it is written as ONNX: passes only."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from unifront.dtypes import DType, dtype_of, float32
from unifront.ir import passes
from unifront.ir.graph import Graph, Literal, Node, Op, Value
from unifront.ir.passes import Pass, on_graph
from unifront.ir.verify import verify
from unifront.onnx.flatten import flatten_in_place
from unifront.onnx.recurrent import bidirectional, time_major
from unifront.opset.replay import expand
from unifront.opset.spec import OPS
from unifront.reference import evaluate

Weights = Mapping[str, np.ndarray]


def prepare(graph: Graph, values: Weights, known: Container[Op], *, optimize: bool) -> tuple[Graph, Weights]:
    """The graph as it is written, and the values of its variables.

    Args:
        known: operations that have a row.
        optimize: whether to fold batch normalizations, padding and constants.
    """
    table = passes.registry(OPS, evaluate)
    if optimize:
        graph, values, _ = table["fold_batch_norm"](graph, values)
    # Operations without a row are written out before the layouts are chosen, which then see all.
    graph = verify(expand(graph, [op for op in OPS.values() if op in known or op.decomposition is None]))
    layouts = (table["channels_first"], Pass("time_major", on_graph(time_major)), table["simplify_layout"])
    before, after = (
        (table["fold_padding"],),
        (
            *passes.standard(OPS, evaluate),
            Pass("flatten", on_graph(flatten_in_place)),
            Pass("bidirectional", on_graph(bidirectional)),
        ),
    )
    order = (*before, *layouts, *after) if optimize else layouts
    order = (*order, table["dead_code"], table["unused_variables"])
    for one in order:  # once each, in this order: what has become the time first is not turned back
        graph, values, _ = one(graph, values)
    return graph.renumbered(), values


def retyped(
    graph: Graph, values: Weights, dtype: DType, of: Container[DType] = (float32,)
) -> tuple[Graph, Weights]:
    """The graph and the values of its variables with the dtypes ``of`` become ``dtype``."""
    arrays = {
        name: array.astype(dtype.numpy) if dtype_of(array.dtype) in of else array
        for name, array in values.items()
    }
    return verify(_retyped(graph, dtype, of)), arrays


def _retyped(graph: Graph, dtype: DType, of: Container[DType]) -> Graph:
    """``graph`` with ``of`` become ``dtype``, in types, constants and attributes."""

    def value_of(value: Value) -> Value:
        return replace(value, type=value.type.with_dtype(dtype)) if value.type.dtype in of else value

    def attribute_of(name: str, attribute: Any) -> Any:
        if isinstance(attribute, Literal) and dtype_of(attribute.dtype) in of:
            return Literal.of(attribute.numpy().astype(dtype.numpy))
        return dtype.name if name == "dtype" and dtype_of(attribute) in of else attribute

    def node_of(node: Node) -> Node:
        return replace(
            node,
            attributes={name: attribute_of(name, value) for name, value in node.attributes.items()},
            regions=tuple(_retyped(region, dtype, of) for region in node.regions),
        )

    changed = graph.with_values(value_of)
    return replace(changed, nodes=tuple(map(node_of, changed.nodes)))
