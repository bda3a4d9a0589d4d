"""A prepared graph as an ``onnx.ModelProto``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import onnx

from unifront.backends import HostKey
from unifront.dtypes import key as key_dtype
from unifront.ir.graph import Graph
from unifront.ir.types import TensorType
from unifront.onnx.writer import Ref, Target, Writer, value_info
from unifront.trace import current_seed

OPTIONAL_RESULTS = frozenset({"LSTM", "GRU", "RNN"})
"""Operators that need not give every result."""


def write_model(
    graph: Graph, values: Mapping[str, np.ndarray], target: Target
) -> tuple[Any, dict[str, np.ndarray]]:
    """The model, and the data of its initializers by name; inputs, outputs and layers named as in ``graph``."""
    writer = Writer(target)
    key = Ref("key", TensorType(key_dtype), key=HostKey(current_seed()))
    given = {value: writer.input(name, value.type) for name, value in graph.data_inputs.items()}
    inputs = list(given.values())
    names = [writer.names.new(name) for name in graph.output_names]
    variables = [Ref(v.name, v.value.type, values[v.name]) for v in graph.variables]
    results = writer.graph(graph, [given.get(value, key) for value in graph.inputs], variables)
    outputs = _named(writer, results, names)
    nodes = _alive(writer.nodes, set(outputs))
    read = {name for node in nodes for name in reads(node)}
    proto = onnx.helper.make_graph(
        nodes,
        graph.name,
        [value_info(ref.name, ref.type) for ref in inputs],
        [value_info(name, value.type) for name, value in zip(outputs, graph.outputs, strict=True)],
        [initializer for name, initializer in writer.initializers.items() if name in read],
    )
    opset = onnx.helper.make_opsetid("", target.opset)
    model = onnx.helper.make_model(
        proto,
        opset_imports=[opset],
        ir_version=onnx.helper.find_min_ir_version_for([opset]),
        producer_name="unifront",
    )
    return model, {initializer.name: writer.arrays[initializer.name] for initializer in proto.initializer}


def _named(writer: Writer, results: list[Ref], names: list[str]) -> list[str]:
    """Let the outputs have their names: their nodes are changed, or an Identity stands behind them."""
    made = {name: (node, i) for node in writer.nodes for i, name in enumerate(node.output)}
    renamed: dict[str, str] = {}
    for ref, name in zip(results, names, strict=True):
        if ref.array is None and ref.name in made and ref.name not in renamed:
            renamed[ref.name] = name
        else:
            source = renamed.get(ref.name, ref.name) if ref.array is None else writer.write(ref)
            writer.nodes.append(onnx.helper.make_node("Identity", [source], [name], f"{name}/Identity"))
    for node in writer.nodes:
        _rename(node, renamed)
    return names


def _rename(node: Any, renamed: Mapping[str, str]) -> None:
    for field in (node.input, node.output):
        for i, name in enumerate(field):
            if name in renamed:
                field[i] = renamed[name]
    for body in _bodies(node):
        for inner in body.node:
            _rename(inner, renamed)


def _alive(nodes: list[Any], wanted: set[str]) -> list[Any]:
    """The nodes that somebody reads."""
    kept = []
    for node in reversed(nodes):
        if wanted.isdisjoint(node.output):
            continue
        if node.op_type in OPTIONAL_RESULTS:
            for i, name in enumerate(node.output):
                if name not in wanted:
                    node.output[i] = ""
            while not node.output[-1]:
                del node.output[-1]
        wanted.update(reads(node))
        kept.append(node)
    return kept[::-1]


def reads(node: Any) -> Iterator[str]:
    """What a node reads, in its bodies too; not what is made in them."""
    yield from (name for name in node.input if name)
    for body in _bodies(node):
        own = {value.name for value in body.input}
        for inner in body.node:
            yield from (name for name in reads(inner) if name not in own)
            own.update(inner.output)


def _bodies(node: Any) -> Iterator[Any]:
    return (item.g for item in node.attribute if item.type == onnx.AttributeProto.GRAPH)
