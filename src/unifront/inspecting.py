"""What a file holds, and models from one format to another: ``unifront inspect`` and ``unifront convert``."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from unifront.backends import installed
from unifront.errors import ArgumentError
from unifront.importing import from_onnx
from unifront.ir.graph import Graph, Node
from unifront.model import Model
from unifront.saving import load
from unifront.support import unsupported

READERS: dict[str, Callable[[str], Model]] = {".onnx": from_onnx, ".uf": load}
"""What reads the models that a suffix promises."""
WRITERS = {".onnx": "export", ".uf": "save", ".safetensors": "save_weights"}
"""The method of a model that writes them."""


def read(path: str) -> Model:
    """The model in a file; `ArgumentError` for a suffix that no model has, else what its reader raises."""
    suffix = Path(path).suffix.lower()
    if suffix not in READERS:
        raise ArgumentError(f"{path!r} is no model that is read; those are {', '.join(READERS)}.")
    return READERS[suffix](path)


def convert(source: str, target: str) -> Model:
    """The model in the file ``source``, written to ``target`` in the format that its suffix names."""
    suffix = Path(target).suffix.lower()
    if suffix not in WRITERS:
        raise ArgumentError(f"{target!r} is no model that is written; those are {', '.join(WRITERS)}.")
    model = read(source)
    getattr(model, WRITERS[suffix])(target)
    return model


def inspect(path: str) -> dict[str, Any]:
    """What is told of a model's file: its inputs and outputs, operations, sizes, and what runs where.

    Returns:
        plain data: ``file``, ``bytes``, ``name``, ``inputs`` and ``outputs`` (types by name), ``weights`` (how many
        numbers, of which trainable, and bytes), ``operations`` (how many of each), ``unsupported`` (for each backend
        and ONNX the operations that it does not run, with the reason), and of ONNX files ``opset`` (versions by
        domain), ``producer`` and ``operators``.
    """
    model = read(path)
    graph = model.trace(False).graph
    operations = Counter(node.op.name for node in _nodes(graph) if node.op.name != "constant")
    weights = [(math.prod(weight.shape), weight) for weight in model.weights]
    without = {name: unsupported(name) for name in (*installed(), "onnx") if name != "numpy"}
    return {
        "file": str(path),
        "bytes": Path(path).stat().st_size,
        "name": model.name,
        "inputs": {name: str(value.type) for name, value in graph.data_inputs.items()},
        "outputs": {
            name: str(value.type) for name, value in zip(graph.output_names, graph.outputs, strict=True)
        },
        "weights": {
            "numbers": sum(size for size, _ in weights),
            "trainable": sum(size for size, weight in weights if weight.trains),
            "bytes": sum(size * weight.dtype.bits // 8 for size, weight in weights),
        },
        "operations": dict(operations.most_common()),
        "unsupported": {
            name: {op: reasons[op] for op in operations if op in reasons} for name, reasons in without.items()
        },
        **(_onnx(path) if Path(path).suffix.lower() == ".onnx" else {}),
    }


def _nodes(graph: Graph) -> Iterator[Node]:
    """The nodes, those of bodies too."""
    for node in graph.nodes:
        yield node
        for region in node.regions:
            yield from _nodes(region)


def _onnx(path: str) -> dict[str, Any]:
    """What an ONNX file says of itself."""
    from unifront.onnx.load import proto_of

    proto = proto_of(path)
    operators = Counter(node.op_type for node in proto.graph.node)
    return {
        "opset": {one.domain or "ai.onnx": one.version for one in proto.opset_import},
        "producer": " ".join(filter(None, (proto.producer_name, proto.producer_version))),
        "operators": dict(operators.most_common()),
    }
