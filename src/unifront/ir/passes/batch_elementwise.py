"""Joins equal operations on the elements of many arrays into one operation on lists of them.

What updates weights does the same to each of them. A framework that runs operation by operation is quicker with one
call for all (PyTorch's ``torch._foreach_*``).
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from unifront.errors import GraphError
from unifront.ir import facts
from unifront.ir.graph import Graph, Node, Op, Value, bound_symbol
from unifront.ir.types import TensorType

LEAST = 4
"""Fewer operations than these are left alone."""
_FACTS = facts.opaque("float32", fresh=True)


@dataclass(frozen=True, eq=False)
class Each:
    """``op`` on each of ``count`` arrays; its operands are ``count`` arrays for each of the op's, or a scalar for all.

    The attribute ``shared`` says which of the op's operands are such a scalar. It is no operation of graphs that are
    kept: a backend's row, found in ``Rows.batched`` by ``op``, takes the lists.
    """

    op: Op

    @property
    def name(self) -> str:
        return f"each_{self.op.name}"

    @property
    def facts(self) -> facts.Facts:
        return _FACTS

    def infer(self, *types: TensorType | None, **attributes: Any) -> tuple[TensorType, ...]:
        raise GraphError(f"{self.name} is made of nodes that have their types.")

    def lanes(self, node: Node) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
        """For each array the positions of its operands and of its result."""
        count, shared = node.attributes["count"], node.attributes["shared"]
        starts, at = [], 0
        for one in shared:
            starts += [] if one else [at]
            at += 1 if one else count
        for i in range(count):
            yield tuple(start + i for start in starts), (i,)


def batch_elementwise(graph: Graph, each: Mapping[Op, Each], barriers: Container[Op]) -> Graph:
    """``graph`` with its equal operations joined, also in the branches of ``cond``.

    Args:
        each: for each operation that may be joined, the one on lists.
        barriers: operations that overwrite values: what stands before them stays there.

    The order of nodes becomes that of their depth, so that equal operations of one depth, which cannot hang on each
    other, stand together.
    """
    nodes = [_in_branches(node, each, barriers) for node in graph.nodes]
    if any(bound_symbol(node) is not None for node in nodes):
        return replace(graph, nodes=tuple(nodes))  # who uses the size does not say so by an operand
    depths = _depths(nodes, barriers)
    groups: dict[Any, list[int]] = {}
    for number, node in enumerate(nodes):
        if node.op in each:
            key = _kind(node)
            if key is not None:
                groups.setdefault((depths[number], key), []).append(number)
    parts = {members[0]: members for members in groups.values() if len(members) >= LEAST}
    if not parts:
        return replace(graph, nodes=tuple(nodes))
    gone = {number for members in parts.values() for number in members[1:]}
    order = sorted((n for n in range(len(nodes)) if n not in gone), key=lambda n: depths[n])
    joined = (_joined([nodes[m] for m in parts[n]], each) if n in parts else nodes[n] for n in order)
    return replace(graph, nodes=tuple(joined))


def _in_branches(node: Node, each: Mapping[Op, Each], barriers: Container[Op]) -> Node:
    if node.op.name != "cond":
        return node
    return replace(node, regions=tuple(batch_elementwise(region, each, barriers) for region in node.regions))


def _depths(nodes: Collection[Node], barriers: Container[Op]) -> list[int]:
    """How many nodes stand before each on the longest way to it."""
    of: dict[Value, int] = {}
    found: list[int] = []
    floor = deepest = 0
    for node in nodes:
        depth = max([floor, *(of.get(value, 0) for value in node.operands if value is not None)]) + 1
        if node.op in barriers:
            depth = floor = deepest + 1
        deepest = max(deepest, depth)
        of.update(dict.fromkeys(node.outputs, depth))
        found.append(depth)
    return found


def _kind(node: Node) -> Any:
    """What nodes have in common that are joined; None for one that is not."""
    (result,) = node.outputs
    type_ = result.type
    if not type_.dtype.is_float or not type_.is_static or not type_.shape:
        return None
    scalars: list[Value | None] = []
    for value in node.operands:
        if value is None or value.type.dtype != type_.dtype or value.type.shape not in ((), type_.shape):
            return None
        scalars.append(None if value.type.shape else value)
    if all(scalar is not None for scalar in scalars):
        return None
    return node.op, tuple(sorted(node.attributes.items())), type_.dtype, tuple(scalars)


def _joined(members: list[Node], each: Mapping[Op, Each]) -> Node:
    first = members[0]
    shared = tuple(not value.type.shape for value in first.operands if value is not None)
    operands: list[Value | None] = []
    for position, one in enumerate(shared):
        operands += [node.operands[position] for node in members[: 1 if one else len(members)]]
    attributes = {**first.attributes, "count": len(members), "shared": shared}
    outputs = tuple(node.outputs[0] for node in members)
    return Node(each[first.op], tuple(operands), outputs, attributes, (), first.name)
