"""Joins updates of variables by equal rules into one operation of many variables.

Such an operation may overwrite what it updates, so only those updates are joined whose variables nobody reads
afterwards, not even by a view of them: each is carried (its new value takes its place), by the update's result itself.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
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
    if not any(node.op in grouped for node in graph.nodes):
        return graph
    shares = shared_memory(graph, {v.value: frozenset([v.value]) for v in graph.variables}, grouped)
    readers: dict[Value, list[int]] = {}
    for number, node in enumerate(graph.nodes):
        for value in node.operands:
            for variable in shares.get(value, ()) if value is not None else ():
                readers.setdefault(variable, []).append(number)
    given = {variable for value in graph.outputs for variable in shares.get(value, ())}
    groups: dict[Any, list[int]] = {}
    own_of: dict[int, tuple[Value | None, ...]] = {}
    for number, node in enumerate(graph.nodes):
        if node.op not in grouped:
            continue
        own = (node.operands[0], *node.operands[2 : 2 + slots[node.op]])
        kept = all(
            value is not None
            and replaced.get(value) is result
            and value not in given
            and max(readers[value]) == number
            and readers[value].count(number) == 1
            for value, result in zip(own, node.outputs, strict=True)
        )
        if kept:
            assert node.operands[0] is not None
            key = (
                node.op, tuple(sorted(node.attributes.items())), node.operands[-2:], node.operands[0].type.dtype
            )  # fmt: skip
            groups.setdefault(key, []).append(number)
            own_of[number] = own
    parts = list(groups.values())
    before = {  # what reads a value stands before what overwrites it
        number: {reader for value in own if value is not None for reader in readers[value]} - {number}
        for number, own in own_of.items()
    }
    while True:
        order, stuck = _sorted(graph, parts, before)
        if not stuck:
            break
        parts = [part for whole in parts for part in ([[n] for n in whole] if stuck & {*whole} else [whole])]
    joined = {part[-1]: part for part in parts}
    nodes = [_joined(graph, joined[n], grouped) if n in joined else graph.nodes[n] for n in order]
    return replace(graph, nodes=tuple(nodes))


def _joined(graph: Graph, members: list[int], grouped: Mapping[Any, Op]) -> Node:
    own = [graph.nodes[number] for number in members]
    columns = zip(*(node.operands[:-2] for node in own), strict=True)
    results = zip(*(node.outputs for node in own), strict=True)
    return Node(
        grouped[own[0].op],
        (*(value for column in columns for value in column), *own[0].operands[-2:]),
        tuple(value for column in results for value in column),
        {**own[0].attributes, "count": len(members)},
        (),
        own[0].name,
    )


def shared_memory(
    graph: Graph, known: Mapping[Value, frozenset[Value]], fresh: Container[Op]
) -> dict[Value, frozenset[Value]]:
    """For each value those of ``known`` whose memory it may be a view of.

    Args:
        fresh: operations besides those of such facts whose results have memory of their own.
    """
    found = dict(known)
    for node in graph.nodes:
        if node.op.facts.fresh or node.op in fresh:
            continue
        operands = [found.get(value, frozenset()) for value in node.operands if value is not None]
        if node.op.name == "gradient":
            (region,) = node.regions
            inside = shared_memory(region, dict(zip(region.inputs, operands, strict=True)), fresh)
            found.update(
                (result, inside.get(value, frozenset()))
                for result, value in zip(node.outputs, region.outputs, strict=False)
            )
        elif any(operands):
            found.update(dict.fromkeys(node.outputs, frozenset().union(*operands)))
    return found


def _sorted(
    graph: Graph, parts: list[list[int]], before: Mapping[int, set[int]]
) -> tuple[list[int], set[int]]:
    """The numbers of the nodes, each part by its last one, in an order in which every node has what it takes and
    what stands in ``before`` comes before it; and those that find no place, as parts wait for each other."""
    part_of = {number: part for part in parts for number in part}
    made: set[Value] = {*graph.inputs, *(variable.value for variable in graph.variables)}
    waiting = [n for n in range(len(graph.nodes)) if part_of.get(n, [n])[-1] == n]
    order: list[int] = []
    done: set[int] = set()
    while waiting:
        later = []
        for last in waiting:
            members = part_of.get(last, [last])
            operands = (value for n in members for value in graph.nodes[n].operands)
            if all(value is None or value in made for value in operands) and all(
                before.get(n, set()) <= done for n in members
            ):
                order.append(last)
                done.update(members)
                made.update(value for n in members for value in graph.nodes[n].outputs)
            else:
                later.append(last)
        if len(later) == len(waiting):
            return order, {n for last in later for n in part_of.get(last, ()) if len(part_of[last]) > 1}
        waiting = later
    return order, set()
