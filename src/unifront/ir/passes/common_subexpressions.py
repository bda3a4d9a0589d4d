"""Computing equal things once."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from unifront.ir.graph import Graph, Node
from unifront.ir.passes.rewrite import Result, Rewriter, Values, in_regions, reads_key


def common_subexpressions(graph: Graph, values: Values) -> Result:
    """``graph`` with one node for all that do the same with the same operands; the first one's name stays.

    Nodes that take a random key are left alone: two of them may be meant to differ.
    """
    after = _shared(graph)
    return after, values, after is not graph


def _shared(graph: Graph) -> Graph:
    writer = Rewriter(graph)
    first: dict[Hashable, Node] = {}
    several: dict[Hashable, dict[Hashable, Node]] = {}
    for node in graph.nodes:
        node = in_regions(_shared, node)
        kept = writer.keep(node)
        if reads_key(node):
            continue
        # Few nodes share their operands: the attributes are looked at only where two do.
        key = _operands(kept)
        if key not in first:
            first[key] = kept
            continue
        alike = several.setdefault(key, {_details(first[key]): first[key]})
        other = alike.setdefault(_details(kept), kept)
        if other is not kept:
            writer.nodes.pop()
            for old, new in zip(node.outputs, other.outputs, strict=True):
                writer.replace(old, new)
    return writer.finish()


def _operands(node: Node) -> Hashable:
    """Equal for nodes of one operation on the same operands."""
    if node.op.facts.commutes:
        return node.op, frozenset(node.operands), len(node.operands)
    return node.op, node.operands


def _details(node: Node) -> Hashable:
    """Equal for nodes that do the same with the same operands."""
    attributes = tuple((name, _exact(value)) for name, value in sorted(node.attributes.items()))
    return attributes, tuple(str(region) for region in node.regions)


def _exact(attribute: Any) -> Hashable:
    """An attribute as a key that tells 1 from 1.0 and True, and 0.0 from -0.0."""
    if isinstance(attribute, tuple):
        return tuple(map(_exact, attribute))
    return type(attribute), repr(attribute) if isinstance(attribute, float) else attribute
