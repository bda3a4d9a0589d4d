"""Dropping what nobody reads."""

from __future__ import annotations

from dataclasses import replace

from unifront.ir.graph import Graph, Node, Value
from unifront.ir.passes.rewrite import in_regions


def dead_code(graph: Graph) -> Graph:
    """``graph`` without the nodes, here and in bodies, whose results nobody reads."""
    alive: set[Value] = set(graph.outputs)
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if alive.intersection(node.outputs):
            alive.update(value for value in node.operands if value is not None)
            kept.append(in_regions(dead_code, node))
    return replace(graph, nodes=tuple(reversed(kept))).renumbered()


def unused_variables(graph: Graph) -> Graph:
    """``graph`` without the variables that nobody reads; those kept are its ``variables``."""
    read = {value for node in graph.nodes for value in node.operands} | set(graph.outputs)
    return replace(graph, variables=tuple(v for v in graph.variables if v.value in read)).renumbered()
