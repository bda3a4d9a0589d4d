"""A graph cut into the parts that layers with hooks make up, so that a layer is a call of its module.

Without hooks a lowered model is one program, and nothing here runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from unifront.dtypes import key
from unifront.ir.graph import Graph, Node, Value, Variable
from unifront.opset.tensor import CONSTANT

Emit = Callable[[Graph], Callable[..., tuple[Any, ...]]]
Known = dict[Value, Any]
running: ContextVar[Callable[..., Any] | None] = ContextVar("unifront_part", default=None)
"""What the module of a layer computes when it is called: its part of the call that is under way."""


class Hooks:
    """Whether any module of a model may have hooks; its modules share it."""

    any = False


def has_hooks(module: nn.Module) -> bool:
    """Whether a call of ``module`` does more than its ``forward``."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )


class Parts:
    """``graph``, run in parts: ``(inputs, value of a variable, modules by path) -> outputs``."""

    def __init__(self, graph: Graph, count: int, paths: frozenset[str], emit: Emit) -> None:
        self._graph = graph
        read = {v for node in graph.nodes for v in node.operands} | set(graph.outputs[:count])
        self.silent = {v for v in graph.outputs[count:] if v not in read}
        """New values of buffers, which are no layer's outputs."""
        self._names = {variable.value: variable for variable in graph.variables}
        constants = {value: node for node in graph.nodes if node.op is CONSTANT for value in node.outputs}
        nodes = [node for node in graph.nodes if node.op is not CONSTANT]
        self._constants, self._emit = constants, emit
        self._whole = _Part(self, "", nodes, graph.outputs, paths)

    def __call__(
        self, inputs: Sequence[Any], value: Callable[[str], torch.Tensor], modules: Mapping[str, nn.Module]
    ) -> tuple[Any, ...]:
        known: Known = dict(zip(self._graph.inputs, inputs, strict=True))
        return self._whole.run((), known, value, modules)

    def program(self, nodes: Sequence[Node], inputs: Sequence[Value], outputs: Sequence[Value]) -> _Program:
        """The nodes as a program of ``inputs``, the graph's own inputs (for sizes) and variables."""
        used = dict.fromkeys(v for node in nodes for v in node.operands if v is not None)
        used.update(dict.fromkeys(outputs))
        hidden = [value for value in self._graph.inputs if value not in inputs]
        variables = [self._names[value] for value in used if value in self._names]
        constants = [self._constants[value] for value in used if value in self._constants]
        part = replace(
            self._graph,
            inputs=(*inputs, *hidden),
            variables=tuple(variables),
            nodes=(*constants, *nodes),
            outputs=tuple(outputs),
            input_names=(),
            output_names=(),
        )
        return _Program(self._emit(part), hidden, variables)

    def is_given(self, value: Value) -> bool:
        """Whether every part has ``value``, a constant or a variable."""
        return value in self._constants or value in self._names


class _Program:
    def __init__(
        self, function: Callable[..., tuple[Any, ...]], hidden: list[Value], variables: list[Variable]
    ) -> None:
        self._function, self._hidden = function, hidden
        self._variables = [variable.name for variable in variables]

    def __call__(self, inputs: Sequence[Any], known: Known, value: Callable[[str], Any]) -> tuple[Any, ...]:
        operands = (*inputs, *(known[one] for one in self._hidden))
        return self._function(operands, tuple(value(name) for name in self._variables))


class _Part:
    """Nodes that run together: as one program, or if layers inside have hooks as a row of parts."""

    def __init__(
        self, whole: Parts, path: str, nodes: Sequence[Node], wanted: Sequence[Value], paths: frozenset[str]
    ) -> None:
        self.path, self._whole = path, whole
        made = {value for node in nodes for value in node.outputs}
        used = dict.fromkeys(v for node in nodes for v in node.operands if v is not None)
        self.inputs = [v for v in used if v not in made and not whole.is_given(v)]
        self.outputs = list(wanted)
        inside = frozenset(one for one in paths if not path or one.startswith(f"{path}/"))
        self._parts: list[_Part] | None = None
        if inside:
            self._parts = _cut(whole, nodes, self.outputs, inside)
            self._rest = whole.program((), [v for v in self.outputs if not whole.is_given(v)], self.outputs)
        else:
            self._program = whole.program(nodes, self.inputs, self.outputs)

    def run(self, inputs: Sequence[Any], known: Known, value: Any, modules: Any) -> tuple[Any, ...]:
        if self._parts is None:
            return self._program(inputs, known, value)
        known = {**known, **dict(zip(self.inputs, inputs, strict=False))}
        for part in self._parts:
            known.update(zip(part.outputs, part.call(known, value, modules), strict=True))
        given = [known[v] for v in self.outputs if not self._whole.is_given(v)]
        return self._rest(given, known, value)

    def call(self, known: Known, value: Any, modules: Any) -> tuple[Any, ...]:
        """Run it as a call of its layer's module, whose hooks see inputs and outputs and may replace them."""
        shown = [one for one in self.inputs if one.type.dtype != key]
        wanted = [one for one in self.outputs if one not in self._whole.silent]
        if not self.path or not wanted:
            return self.run([known[one] for one in self.inputs], known, value, modules)
        results: Known = {}

        def part(*given: Any) -> Any:
            here = {**known, **dict(zip(shown, given, strict=True))}
            outputs = self.run([here[one] for one in self.inputs], here, value, modules)
            results.update(zip(self.outputs, outputs, strict=True))
            found = tuple(results[one] for one in wanted)
            return found[0] if len(found) == 1 else found

        token = running.set(part)
        try:
            result = modules[self.path](*(known[one] for one in shown))
        finally:
            running.reset(token)
        results.update(zip(wanted, (result,) if len(wanted) == 1 else result, strict=True))
        return tuple(results[one] for one in self.outputs)


def _cut(whole: Parts, nodes: Sequence[Node], outputs: Sequence[Value], paths: frozenset[str]) -> list[_Part]:
    """``nodes`` as parts in an order in which they can run: as much of a layer together as is possible."""

    def layer(node: Node) -> str:
        around = (path for path in paths if node.name == path or node.name.startswith(f"{path}/"))
        return min(around, key=len, default="")

    groups: list[tuple[str, list[Node]]] = []
    remaining = list(nodes)
    while remaining:
        path, missing = layer(remaining[0]), {v for node in remaining for v in node.outputs}
        taken, left = [], []
        for node in remaining:
            if layer(node) == path and not missing.intersection(node.operands):
                taken.append(node)
                missing.difference_update(node.outputs)
            else:
                left.append(node)
        groups.append((path, taken))
        remaining = left
    parts = []
    for number, (path, taken) in enumerate(groups):
        later = {v for _, others in groups[number + 1 :] for node in others for v in node.operands}
        later.update(outputs)
        wanted = [v for node in taken for v in node.outputs if v in later]
        if wanted:
            parts.append(_Part(whole, path, taken, wanted, paths if path else frozenset()))
    return parts
