"""Joins updates of variables by equal rules into one operation of many variables.

Such an operation may overwrite what it updates, so only those updates are joined whose variables nobody reads
afterwards, not even by a view of them: each is carried (its new value takes its place), by the update's result itself.
That holds in a branch of ``cond`` too, where the other branch leaves the variable as it was: a step that is left out
because its gradients are not finite, or one that only adds gradients up.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace
from typing import Any

from unifront.ir.graph import Graph, Node, Op, Value
from unifront.ir.in_place import updates_of
from unifront.ir.passes.common_subexpressions import common_subexpressions
from unifront.ir.passes.rewrite import in_regions


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
    return _grouped(graph, replaced, grouped, slots)


def _grouped(
    graph: Graph, replaced: Mapping[Value, Value], grouped: Mapping[Any, Op], slots: Mapping[Any, int]
) -> Graph:
    """``graph``, in which each key of ``replaced`` may be overwritten by its value, with its updates joined."""
    if not _has(graph, grouped):
        return graph
    # In branches what all updates take, such as the learning rate, may be computed for each of them.
    branches = [
        node.op.name == "cond" and any(_has(region, grouped) for region in node.regions)
        for node in graph.nodes
    ]
    nodes = [
        in_regions(lambda region: common_subexpressions(region, {})[0], node) if branch else node
        for node, branch in zip(graph.nodes, branches, strict=True)
    ]
    graph = replace(graph, nodes=tuple(nodes))
    renewed = {n: _renewed(node, replaced) for n, node in enumerate(nodes) if branches[n]}
    new_values = frozenset(new for pairs in renewed.values() for new in pairs.values())
    shares = shared_memory(graph, {value: frozenset([value]) for value in replaced}, grouped, new_values)
    readers: dict[Value, list[int]] = {}
    for number, node in enumerate(nodes):
        for value in node.operands:
            for variable in shares.get(value, ()) if value is not None else ():
                readers.setdefault(variable, []).append(number)
    given = {variable for value in graph.outputs for variable in shares.get(value, ())}

    def is_free(value: Value | None, result: Value, number: int) -> bool:
        """Whether ``value`` may be overwritten by ``result`` of the node of this number."""
        return (
            value is not None
            and replaced.get(value) is result
            and value not in given
            and max(readers[value]) == number
            and readers[value].count(number) == 1
        )

    groups: dict[Any, list[int]] = {}
    own_of: dict[int, tuple[Value | None, ...]] = {}
    for number, node in enumerate(nodes):
        if number in renewed:
            free = {v: new for v, new in renewed[number].items() if is_free(v, new, number)}
            nodes[number] = _in_branches(node, free, grouped, slots)
            own_of[number] = tuple(
                v for update in updates_of(nodes[number], {*grouped.values()}) for v, _ in update
            )
        if node.op not in grouped:
            continue
        own = (node.operands[0], *node.operands[2 : 2 + slots[node.op]])
        if all(is_free(value, result, number) for value, result in zip(own, node.outputs, strict=True)):
            assert node.operands[0] is not None
            key = (
                node.op, tuple(sorted(node.attributes.items())), node.operands[-2:], node.operands[0].type.dtype
            )  # fmt: skip
            groups.setdefault(key, []).append(number)
            own_of[number] = own
    graph = replace(graph, nodes=tuple(nodes))
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


def _has(graph: Graph, rules: Container[Op]) -> bool:
    return any(
        node.op in rules or any(_has(region, rules) for region in node.regions) for node in graph.nodes
    )


def _renewed(node: Node, replaced: Mapping[Value, Value]) -> dict[Value, Value]:
    """What a ``cond`` leaves as it was in one branch, and gives a new value in the other; and that value."""
    places = {value: place for place, value in enumerate(node.outputs)}
    found = {}
    for i, value in enumerate(node.operands[1:]):
        result = None if value is None else replaced.get(value)
        if value is None or result is None or result not in places:
            continue
        ways = [(region.inputs[i], region.outputs[places[result]], region) for region in node.regions]
        stays = [old is new for old, new, _ in ways]
        if sum(stays) == 1 and all(region.outputs.count(new) == 1 for _, new, region in ways):
            found[value] = result
    return found


def _in_branches(
    node: Node, free: Mapping[Value, Value], grouped: Mapping[Any, Op], slots: Mapping[Any, int]
) -> Node:
    """A ``cond`` with the updates in its branches joined, which may overwrite ``free`` outside."""
    places = {value: place for place, value in enumerate(node.outputs)}
    operands = node.operands[1:]

    def joined(region: Graph) -> Graph:
        own = {
            inner: region.outputs[places[free[outer]]]
            for inner, outer in zip(region.inputs, operands, strict=True)
            if outer is not None and outer in free
        }
        return _grouped(region, own, grouped, slots)

    return in_regions(joined, node)


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
    graph: Graph,
    known: Mapping[Value, frozenset[Value]],
    fresh: Container[Op],
    renewed: Container[Value] = (),
) -> dict[Value, frozenset[Value]]:
    """For each value those of ``known`` whose memory it may be a view of.

    Args:
        fresh: operations besides those of such facts whose results have memory of their own.
        renewed: values that may be left out.
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
        elif node.op.name == "cond":
            for region in node.regions:
                inside = shared_memory(region, dict(zip(region.inputs, operands[1:], strict=True)), fresh)
                for result, value in zip(node.outputs, region.outputs, strict=True):
                    if result not in renewed:
                        found[result] = found.get(result, frozenset()) | inside.get(value, frozenset())
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
