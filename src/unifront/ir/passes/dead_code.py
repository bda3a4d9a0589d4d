"""Dropping what nobody reads."""

from __future__ import annotations

from dataclasses import replace

from unifront.ir.graph import Graph, Node, Value, bound_symbol, symbols_in
from unifront.ir.passes.rewrite import Result, Values, in_regions, with_nodes


def dead_code(graph: Graph, values: Values) -> Result:
    """``graph`` without the nodes, here and in bodies, whose results nobody reads."""
    after = without_dead_code(graph)
    return after, values, after is not graph


def without_dead_code(graph: Graph) -> Graph:
    """`dead_code` of a graph alone; ``graph`` itself if all is read."""
    alive: set[Value | None] = set(graph.outputs)
    kept: list[Node] = []
    binds = any(bound_symbol(node) for node in graph.nodes)
    sizes: set[str] = set()
    for node in reversed(graph.nodes):
        if not alive.isdisjoint(node.outputs) or bound_symbol(node) in sizes:
            alive.update(node.operands)
            kept.append(in_regions(without_dead_code, node))
            if binds:
                sizes |= _sizes_of(node)
    return with_nodes(graph, kept[::-1])


def _sizes_of(node: Node) -> frozenset[str]:
    """The symbols whose sizes ``node`` or a body of it needs."""
    own = symbols_in(node.attributes)
    return own.union(*(_sizes_of(inner) for region in node.regions for inner in region.nodes))


def unused_variables(graph: Graph, values: Values) -> Result:
    """``graph`` without the variables that nobody reads; those kept are its ``variables``."""
    read = {value for node in graph.nodes for value in node.operands} | set(graph.outputs)
    kept = tuple(variable for variable in graph.variables if variable.value in read)
    if len(kept) == len(graph.variables):
        return graph, values, False
    names = {variable.name for variable in kept}
    left = {name: array for name, array in values.items() if name in names}
    return replace(graph, variables=kept), left, True
