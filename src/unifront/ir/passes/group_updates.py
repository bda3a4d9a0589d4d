"""Joins updates of variables by equal rules into one operation of many variables.

Such an operation may overwrite what it updates, so only those updates are joined whose variables nobody reads
afterwards: each is carried (its new value takes its place), by the update's result itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from unifront.ir.graph import Graph, Node, Op, Value


def group_updates(
    graph: Graph, carry: tuple[int, ...], grouped: Mapping[Any, Op], slots: Mapping[Any, int]
) -> Graph:
    """``graph`` with its updates joined.

    Args:
        carry: the positions in ``graph.variables`` whose new values are the last outputs.
        grouped: for each rule the operation of many variables.
        slots: how many slots each rule has.
    """
    new_value = dict(zip(carry, graph.outputs[len(graph.outputs) - len(carry) :], strict=True))
    replaced = {graph.variables[position].value: value for position, value in new_value.items()}
    last_use = {v: i for i, node in enumerate(graph.nodes) for v in node.operands if v is not None}
    outputs = set(graph.outputs)
    groups: dict[Any, list[int]] = {}
    for number, node in enumerate(graph.nodes):
        if node.op not in grouped:
            continue
        own = (node.operands[0], *node.operands[2 : 2 + slots[node.op]])
        kept = all(
            value is not None
            and replaced.get(value) is result
            and last_use[value] == number
            and value not in outputs
            and node.operands.count(value) == 1
            for value, result in zip(own, node.outputs, strict=True)
        )
        if kept:
            assert node.operands[0] is not None
            key = (
                node.op, tuple(sorted(node.attributes.items())), node.operands[-2:], node.operands[0].type.dtype
            )  # fmt: skip
            groups.setdefault(key, []).append(number)
    if not groups:
        return graph
    nodes: list[Node | None] = list(graph.nodes)
    ends: dict[int, Node] = {}
    for (op, *_), members in groups.items():
        own_nodes = [graph.nodes[i] for i in members]
        columns = zip(*(node.operands[:-2] for node in own_nodes), strict=True)
        results = zip(*(node.outputs for node in own_nodes), strict=True)
        first = own_nodes[0]
        for i in members:
            nodes[i] = None
        ends[members[-1]] = Node(
            grouped[op],
            (*(value for column in columns for value in column), *first.operands[-2:]),
            tuple(value for column in results for value in column),
            {**first.attributes, "count": len(members)},
            (),
            first.name,
        )
    moved = [ends.get(i, node) for i, node in enumerate(nodes)]
    return replace(graph, nodes=_sorted([node for node in moved if node is not None], graph))


def _sorted(nodes: list[Node], graph: Graph) -> tuple[Node, ...]:
    """``nodes`` with those that read a result before its group now stands put behind it."""
    made: set[Value] = {*graph.inputs, *(variable.value for variable in graph.variables)}
    waiting, found = nodes, []
    while waiting:
        later = []
        for node in waiting:
            if all(value is None or value in made for value in node.operands):
                found.append(node)
                made.update(node.outputs)
            else:
                later.append(node)
        waiting = later
    return tuple(found)
