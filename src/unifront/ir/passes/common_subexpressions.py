"""Computing equal things once."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from unifront.ir.graph import Graph, Node
from unifront.ir.passes.rewrite import Rewriter, in_regions, reads_key


def common_subexpressions(graph: Graph) -> Graph:
    """``graph`` with one node for all that do the same with the same operands; the first one's name stays.

    Nodes that take a random key are left alone: two of them may be meant to differ.
    """
    writer = Rewriter(graph)
    found: dict[Hashable, Node] = {}
    for node in graph.nodes:
        node = in_regions(common_subexpressions, node)
        if reads_key(node):
            writer.keep(node)
            continue
        same = _same(node, writer)
        if same in found:
            for old, new in zip(node.outputs, found[same].outputs, strict=True):
                writer.replace(old, new)
        else:
            found[same] = writer.keep(node)
    return writer.finish()


def _same(node: Node, writer: Rewriter) -> Hashable:
    """Equal for nodes that do the same."""
    attributes = tuple((name, _exact(value)) for name, value in sorted(node.attributes.items()))
    bodies = tuple(str(region) for region in node.regions)
    return id(node.op), writer.operands(node), attributes, bodies


def _exact(attribute: Any) -> Hashable:
    """An attribute as a key that tells 1 from 1.0 and True, and 0.0 from -0.0."""
    if isinstance(attribute, tuple):
        return tuple(map(_exact, attribute))
    return type(attribute), repr(attribute) if isinstance(attribute, float) else attribute
