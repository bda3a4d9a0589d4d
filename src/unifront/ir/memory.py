"""How many bytes a graph that is differentiated keeps for its gradients: what remat is chosen by.

An estimate, of what every backend does alike: each value that has memory of its own is kept from the moment it is
made until its gradient was taken. A block of ``remat`` keeps its operands and results alone, and for a while, when
its turn comes, what is inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from unifront.ir.dims import Dim, DimExpr
from unifront.ir.graph import Graph, Node, Value


def bytes_of(value: Value, sizes: Mapping[str, int] | int = 1) -> int:
    """The bytes of ``value``; symbols are of ``sizes``, by name or all alike."""
    total = value.type.dtype.bits / 8
    for dim in value.type.shape:
        total *= _size(dim, sizes)
    return int(total)


def _size(dim: Dim, sizes: Mapping[str, int] | int) -> int:
    if not isinstance(dim, DimExpr):
        return int(dim)
    known = {name: sizes if isinstance(sizes, int) else sizes.get(name, 1) for name in dim.symbols()}
    found = dim.substitute(known)
    return int(found) if isinstance(found, int) else 1


def made(nodes: Iterable[Node], sizes: Mapping[str, int] | int = 1) -> int:
    """The bytes that the results of ``nodes`` take, views left out."""
    return sum(
        bytes_of(value, sizes)
        for node in nodes
        if node.op.facts.fresh or node.op.name == "remat"
        for value in node.outputs
        if value.type.dtype.is_float or node.op.name == "remat"
    )


def peak_bytes(graph: Graph, sizes: Mapping[str, int] | int = 1) -> int:
    """The most bytes that are kept at once for the gradients of ``graph``, beside its inputs and variables.

    Args:
        graph: of a step: the body of its ``gradient`` is what counts; else it itself.
        sizes: of the symbols, by name or all alike.
    """
    bodies = [node.regions[0] for node in graph.nodes if node.op.name == "gradient"]
    if bodies:
        return max(peak_bytes(body, sizes) for body in bodies)
    inside = (peak_bytes(node.regions[0], sizes) for node in graph.nodes if node.op.name == "remat")
    return made(graph.nodes, sizes) + max(inside, default=0)
