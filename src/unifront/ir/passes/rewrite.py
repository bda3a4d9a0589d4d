"""What passes write graphs with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from unifront.ir.graph import Graph, Node, Op, Value

Values = Mapping[str, np.ndarray]
"""The arrays of variables by name, as far as they are known."""
Result = tuple[Graph, Values, bool]
"""What a pass gives: the graph, the arrays of its variables, and whether it changed anything. If it did not,
the graph is the very one that it was given."""


class Rewriter:
    """A graph being written anew from ``graph``; values mean what they did unless `replace` says else."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[Node] = []
        self._new: dict[Value, Value] = {}
        self._next = 1 + max((value.id for value in graph.values()), default=-1)

    def now(self, value: Value) -> Value:
        """What stands for ``value`` of the old graph."""
        return self._new.get(value, value)

    def operands(self, node: Node) -> tuple[Value | None, ...]:
        """What stands for the operands of ``node`` of the old graph."""
        new = self._new
        if not new:
            return node.operands
        return tuple([None if value is None else new.get(value, value) for value in node.operands])

    def replace(self, old: Value, new: Value) -> None:
        """Let ``new`` stand for ``old`` from here on."""
        if old is not new:
            self._new[old] = new

    def keep(self, node: Node) -> Node:
        """Add a node of the old graph as it is, on the operands of now."""
        operands = self.operands(node)
        if any(a is not b for a, b in zip(operands, node.operands, strict=True)):
            node = node.on(operands, node.outputs)
        self.nodes.append(node)
        return node

    def add(
        self,
        op: Op,
        operands: Sequence[Value | None],
        attributes: Mapping[str, Any],
        name: str,
        regions: tuple[Graph, ...] = (),
    ) -> tuple[Value, ...]:
        """Add a new node and give its results, typed by the operation's rule."""
        node = Node.typed(op, tuple(operands), dict(attributes), regions, name, self._value)
        self.nodes.append(node)
        return node.outputs

    def _value(self, type_: Any) -> Value:
        self._next += 1
        return Value(self._next - 1, type_)

    def finish(self) -> Graph:
        """The new graph; the old one itself if nothing is different."""
        return with_nodes(self.graph, self.nodes, tuple(map(self.now, self.graph.outputs)))


def with_nodes(graph: Graph, nodes: Sequence[Node], outputs: tuple[Value, ...] | None = None) -> Graph:
    """``graph`` with these nodes and outputs; ``graph`` itself if they are its own."""
    outputs = graph.outputs if outputs is None else outputs
    if _identical(nodes, graph.nodes) and _identical(outputs, graph.outputs):
        return graph
    return replace(graph, nodes=tuple(nodes), outputs=outputs)


def _identical(new: Sequence[Any], old: Sequence[Any]) -> bool:
    return len(new) == len(old) and all(a is b for a, b in zip(new, old, strict=True))


def in_regions(function: Callable[[Graph], Graph], node: Node) -> Node:
    """``node`` with ``function`` applied to its bodies; ``node`` itself if that changes none."""
    if not node.regions:
        return node
    regions = tuple(map(function, node.regions))
    return node if _identical(regions, node.regions) else replace(node, regions=regions)


def reads_key(node: Node) -> bool:
    """Whether ``node`` draws random numbers: it takes a key."""
    return any(value is not None and value.type.dtype.kind == "k" for value in node.operands)
