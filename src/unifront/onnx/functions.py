"""Layers of several nodes as functions of the file, so that a viewer shows layers and, inside them, their nodes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import onnx

from unifront.onnx.imports.importer import LAYERS as DOMAIN
from unifront.onnx.model import reads
from unifront.onnx.naming import Names
from unifront.onnx.writer import LAYER

LEAST_IR = 8
"""The first version of the format that has functions."""


def as_functions(model: Any) -> None:
    """Put the nodes of each layer that has several into a function, those of layers inside it into functions there.

    A layer whose nodes have those of others between them becomes several functions.
    """
    writer = _Functions(model)
    nodes = writer.grouped(_sizes_first(model), 0, {value.name for value in model.graph.output})
    if not writer.functions:
        return
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.functions.extend(writer.functions)
    model.opset_import.append(onnx.helper.make_opsetid(DOMAIN, 1))
    model.ir_version = max(model.ir_version, LEAST_IR)


class _Functions:
    """The functions of one model."""

    def __init__(self, model: Any) -> None:
        self.functions: list[Any] = []
        self._opset = next(one for one in model.opset_import if not one.domain)
        self._names = Names()

    def grouped(self, nodes: Sequence[Any], depth: int, wanted: set[str]) -> list[Any]:
        """``nodes`` with calls in the place of those of one layer.

        Args:
            depth: how many parts of a path those have that are already inside.
            wanted: what is read of the nodes elsewhere.
        """
        found: list[Any] = []
        runs = [(key, list(run)) for key, run in groupby(nodes, key=lambda node: _path(node)[: depth + 1])]
        for key, run in runs:
            if len(run) < 2 or len(key) <= depth or not key[0]:  # of no layer
                found += run
                continue
            outside = {id(node) for node in run}
            read = wanted.union(*(reads(node) for node in nodes if id(node) not in outside))
            found.append(self._function("/".join(key), run, depth + 1, read))
        return found

    def _function(self, path: str, nodes: Sequence[Any], depth: int, wanted: set[str]) -> Any:
        """The call of a function of ``nodes``, which is written down."""
        made = {name for node in nodes for name in node.output if name}
        given = dict.fromkeys(name for node in nodes for name in reads(node) if name not in made)
        results = [name for node in nodes for name in node.output if name and name in wanted]
        name = self._names.new(path.replace("/", "."))
        body = self.grouped(nodes, depth, set(results))
        imports = [self._opset]
        if any(node.domain == DOMAIN for node in body):
            imports.append(onnx.helper.make_opsetid(DOMAIN, 1))
        self.functions.append(onnx.helper.make_function(DOMAIN, name, [*given], results, body, imports))
        # Of several functions of one layer the later calls have names of their own: a file has no name twice.
        called = path if name == path.replace("/", ".") else name
        call = onnx.helper.make_node(name, [*given], results, called, domain=DOMAIN)
        call.metadata_props.add(key=LAYER, value=path)
        return call


def _path(node: Any) -> tuple[str, ...]:
    """The parts of the path of a node's layer; of none, its name, which no other has."""
    told = next((entry.value for entry in node.metadata_props if entry.key == LAYER), "")
    return tuple(told.split("/")) if told else ("", node.name)


def _sizes_first(model: Any) -> list[Any]:
    """The nodes, and first those of no layer that read inputs and one another alone: they compute sizes."""
    known = {one.name for one in (*model.graph.input, *model.graph.initializer)}
    first, rest = [], []
    for node in model.graph.node:
        if not _path(node)[0] and known.issuperset(reads(node)):
            known.update(node.output)
            first.append(node)
        else:
            rest.append(node)
    return [*first, *rest]
