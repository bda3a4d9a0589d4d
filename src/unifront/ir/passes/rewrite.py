"""What passes write graphs with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from unifront.ir.graph import Graph, Node, Op, Value


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
        return tuple(None if value is None else self.now(value) for value in node.operands)

    def replace(self, old: Value, new: Value) -> None:
        """Let ``new`` stand for ``old`` from here on."""
        self._new[old] = new

    def keep(self, node: Node) -> Node:
        """Add a node of the old graph as it is, on the operands of now."""
        kept = replace(node, operands=self.operands(node))
        self.nodes.append(kept)
        return kept

    def add(
        self,
        op: Op,
        operands: Sequence[Value | None],
        attributes: Mapping[str, Any],
        name: str,
        regions: tuple[Graph, ...] = (),
    ) -> tuple[Value, ...]:
        """Add a new node and give its results, typed by the operation's rule."""
        node = Node(op, tuple(operands), (), dict(attributes), regions, name)
        first = self._next
        outputs = tuple(Value(first + i, type_) for i, type_ in enumerate(node.infer()))
        self._next += len(outputs)
        self.nodes.append(replace(node, outputs=outputs))
        return outputs

    def finish(self) -> Graph:
        """The new graph, numbered in order."""
        outputs = tuple(map(self.now, self.graph.outputs))
        return replace(self.graph, nodes=tuple(self.nodes), outputs=outputs).renumbered()


def in_regions(function: Callable[[Graph], Graph], node: Node) -> Node:
    """``node`` with ``function`` applied to its bodies."""
    return replace(node, regions=tuple(map(function, node.regions))) if node.regions else node


def reads_key(node: Node) -> bool:
    """Whether ``node`` draws random numbers: it takes a key."""
    return any(value is not None and value.type.dtype.kind == "k" for value in node.operands)
