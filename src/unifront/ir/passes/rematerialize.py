"""Putting parts of what is differentiated into blocks that are computed again for the gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from math import isqrt
from typing import Any

from unifront.errors import ArgumentError, UnknownName
from unifront.ir.graph import Graph, Node, Op, Value, bound_symbol
from unifront.ir.memory import made, peak_bytes

Runs = list[tuple[int, int]]
"""Parts of a graph: from which node to which, that one left out."""


def rematerialize(graph: Graph, chosen: Callable[[Graph], Runs], op: Op) -> Graph:
    """``graph`` with parts of each body of ``gradient`` as blocks of their own.

    Args:
        chosen: the parts of a body.
        op: ``remat``, of which a node is made for each.
    """
    nodes = tuple(
        replace(node, regions=(in_blocks(node.regions[0], chosen(node.regions[0]), op),))
        if node.op.name == "gradient"
        else node
        for node in graph.nodes
    )
    return replace(graph, nodes=nodes)


def in_blocks(body: Graph, runs: Runs, op: Op) -> Graph:
    """``body`` with each of ``runs`` as one node of ``op``. A part that nothing is taken from stays as it is."""
    constants = {node.outputs[0]: node for node in body.nodes if node.op.name == "constant"}
    nodes: list[Node] = []
    done = 0
    for start, stop in runs:
        nodes += body.nodes[done:start]
        inside = body.nodes[start:stop]
        later = {value for node in body.nodes[stop:] for value in node.operands} | set(body.outputs)
        block = _block(inside, later, constants, op)
        nodes += inside if block is None else [block]
        done = stop
    return replace(body, nodes=(*nodes, *body.nodes[done:]))


def _block(inside: Sequence[Node], later: set[Any], constants: dict[Value, Node], op: Op) -> Node | None:
    own = {value for node in inside for value in node.outputs}
    taken = dict.fromkeys(v for node in inside for v in node.operands if v is not None and v not in own)
    given = [value for node in inside for value in node.outputs if value in later]
    if not given:
        return None
    operands = tuple(value for value in taken if value not in constants)
    copied = [constants[value] for value in taken if value in constants]
    name = _common([node.name for node in inside])
    names = tuple(f"x{i}" for i in range(len(operands)))
    region = Graph("block", operands, (), (*copied, *inside), tuple(given), names, ()).renumbered()
    return Node(op, operands, tuple(given), {}, (region,), name)


def _common(names: Sequence[str]) -> str:
    """The path around all of ``names``; the first one where there is none."""
    parts = [name.split("/") for name in names]
    shared = []
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    return "/".join(shared) or names[0]


# ---------------------------------------------------------------- which parts


def by_patterns(body: Graph, patterns: Sequence[str]) -> Runs:
    """The runs of nodes whose layers match one of ``patterns``.

    A layer with others inside is a block by itself; consecutive layers beside each other that one pattern matches are
    one block together. Raises `UnknownName` for a pattern that matches nothing.
    """
    keys = [_key(node, patterns) for node in body.nodes]
    for pattern in patterns:
        if not any(key is not None and key[0] == pattern for key in keys):
            known = dict.fromkeys(node.name for node in body.nodes if node.name)
            raise UnknownName("layer, in remat,", pattern, known)
    runs: Runs = []
    for number, key in enumerate(keys):
        if key is None:
            continue
        if runs and runs[-1][1] == number and keys[number - 1] == key:
            runs[-1] = (runs[-1][0], number + 1)
        else:
            runs.append((number, number + 1))
    return runs


def _key(node: Node, patterns: Sequence[str]) -> tuple[str, str] | None:
    """What nodes of one block have in common; None for a node of none."""
    if not _movable(node):
        return None
    parts = node.name.split("/")
    for pattern in patterns:
        for count in range(1, len(parts) + 1):
            path = "/".join(parts[:count])
            if fnmatchcase(path, pattern):
                return pattern, path if count < len(parts) else "/".join(parts[: count - 1])
    return None


def _movable(node: Node) -> bool:
    """Whether a node may stand in a block: a constant is copied, and a size is known to all that comes behind it."""
    return bool(node.name) and node.op.name != "constant" and bound_symbol(node) is None


def by_budget(body: Graph, budget: int | None) -> Runs:
    """As few parts as keep `peak_bytes`, for one example, within ``budget`` bytes; None: about as many as a part has
    nodes that keep something, which keeps least for its work (Chen et al. 2016).

    Raises `ArgumentError` if no number of parts does.
    """
    movable = [number for number, node in enumerate(body.nodes) if _movable(node)]
    if budget is not None and peak_bytes(body) <= budget:
        return []
    keeping = sum(bool(made([body.nodes[number]])) for number in movable)
    if budget is None:
        return _equal_parts(body, movable, max(1, isqrt(keeping)))
    least = peak_bytes(body)
    for parts in range(2, keeping + 1):
        runs = _equal_parts(body, movable, parts)
        found = _estimate(body, runs)
        if found <= budget:
            return runs
        least = min(least, found)
    raise ArgumentError(
        f"remat: the gradient keeps at least {least:,} bytes for each example, of {peak_bytes(body):,} without blocks; "
        f"the budget is {budget:,}."
    )


def _equal_parts(body: Graph, movable: Sequence[int], parts: int) -> Runs:
    """``parts`` runs that keep about the same number of bytes."""
    weights = [made([body.nodes[number]]) for number in movable]
    total, so_far = sum(weights), 0
    runs: Runs = []
    begin: int | None = None
    for place, (number, weight) in enumerate(zip(movable, weights, strict=True)):
        begin = number if begin is None else begin
        so_far += weight
        last = place + 1 == len(movable)
        if last or movable[place + 1] != number + 1 or so_far * parts >= total * (len(runs) + 1):
            runs.append((begin, number + 1))
            begin = None
    return runs


def _estimate(body: Graph, runs: Runs) -> int:
    """`peak_bytes` of ``body`` in blocks."""
    kept = made(node for number, node in enumerate(body.nodes) if not any(a <= number < b for a, b in runs))
    largest = 0
    for start, stop in runs:
        inside = body.nodes[start:stop]
        later = {value for node in body.nodes[stop:] for value in node.operands} | set(body.outputs)
        kept += made(replace(node, outputs=tuple(v for v in node.outputs if v in later)) for node in inside)
        largest = max(largest, made(inside))
    return kept + largest
