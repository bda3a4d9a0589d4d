"""What operations in place replace, also where they stand in a branch of ``cond``."""

from __future__ import annotations

from collections.abc import Container

from unifront.ir.graph import Graph, Node, Op, Value
from unifront.ir.layouts import lanes

Update = list[tuple[Value, Value]]
"""What one update replaces, and by what: the weight, then its slots."""


def updates_of(node: Node, in_place: Container[Op]) -> list[Update]:
    """The updates that ``node`` does by operations of ``in_place``; the values are those outside its branches."""
    if node.op in in_place:
        return [
            list(zip((operands[0], *operands[2:]), results, strict=True)) for operands, results in lanes(node)
        ]
    if node.op.name != "cond":
        return []
    found = []
    for region in node.regions:
        outside = dict(zip(region.inputs, node.operands[1:], strict=True))
        results = dict(zip(region.outputs, node.outputs, strict=True))
        for update in updates_in(region, in_place):
            pairs = [(outside[value], results[new]) for value, new in update]
            found.append([(value, new) for value, new in pairs if value is not None])
    return found


def has_own_memory(graph: Graph, value: Value) -> bool:
    """Whether ``value`` is no view on any backend: some operation of ``graph`` made it that gives new memory."""
    node = next((node for node in graph.nodes if value in node.outputs), None)
    if node is None:
        return False
    if node.op.name == "gradient":  # first it gives the results of its body
        place, (body,) = node.outputs.index(value), node.regions
        return place < len(body.outputs) and has_own_memory(body, body.outputs[place])
    return node.op.facts.fresh and len(node.outputs) == 1


def updates_in(graph: Graph, in_place: Container[Op]) -> list[Update]:
    """The updates that the nodes of ``graph`` do by operations of ``in_place``."""
    return [update for node in graph.nodes for update in updates_of(node, in_place)]
