"""What is computed at import of a graph, and how much work that is."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from unifront.ir.graph import Graph


def needed(graph: Graph) -> Graph:
    """``graph`` without inputs, of which nothing that is asked for depends on one."""
    wanted = set(graph.outputs)
    kept = []
    for node in reversed(graph.nodes):
        if not wanted.isdisjoint(node.outputs):
            kept.append(node)
            wanted.update(value for value in node.operands if value is not None)
    return replace(graph, inputs=(), input_names=(), nodes=tuple(reversed(kept)))


def work(graph: Graph) -> int | None:
    """How many elements are made when ``graph`` is run; None where that cannot be told."""
    total = 0
    for node in graph.nodes:
        sizes: list[Any] = [math.prod(value.type.shape) for value in node.outputs]
        steps: Any = 1
        if node.regions:
            inner = [work(region) for region in node.regions]
            if node.op.name == "scan":
                steps = max(
                    (v.type.shape[0] for v in node.operands if v is not None and v.type.shape), default=1
                )
            elif node.op.name != "cond":
                return None
            sizes += [None if one is None else one * steps for one in inner]
        if not all(isinstance(size, int) for size in sizes):
            return None
        total += sum(sizes)
    return total
