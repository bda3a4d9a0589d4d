"""In which layout each value of a graph is kept, where a backend's rows want another than Keras's.

A row that wants an operand in a layout of its own (`Storage`) decides how the variable behind it is stored. The
layout spreads from there: through operations that work element by element, and into and out of the bodies of
``gradient``, ``remat`` and ``cond``, so that gradients, optimizer slots and averages lie as their weights do, and
nothing is turned in a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unifront.ir.graph import Graph, Node, Op, Value


@dataclass(frozen=True)
class Storage:
    """How a backend keeps an operand of an operation: a reversible change of layout.

    ``to_native`` takes the canonical (Keras) layout to the stored one and ``from_native`` takes it back;
    both are the framework's own differentiable operations.
    """

    name: str
    to_native: Callable[[Any], Any]
    from_native: Callable[[Any], Any]


RUN_ONCE = ("gradient", "remat")
"""Operations whose body takes just their operands, and runs on them as they lie."""
AS_THEY_LIE = (*RUN_ONCE, "cond")
"""Operations whose bodies run on operands as they lie."""
Wanted = Mapping[tuple[Op, int], Storage]
Layouts = dict[Value, Storage | None]


def lanes(node: Node) -> Iterable[tuple[list[Value], list[Value]]]:
    """The sets of operands and results of one shape on which ``node`` works element by element."""
    own = getattr(node.op, "lanes", None)
    if own is not None:
        for operands, results in own(node):
            given = [node.operands[i] for i in operands]
            yield [value for value in given if value is not None], [node.outputs[i] for i in results]
    elif node.op.facts.elementwise:
        given = [value for value in node.operands if value is not None and value.type.shape]
        (result,) = node.outputs
        if all(value.type.shape == result.type.shape for value in given):
            yield given, [result]


def bodies(node: Node) -> Iterator[tuple[Graph, Sequence[Value | None]]]:
    """The bodies of ``node`` that run on operands as they lie, and those operands."""
    if node.op.name in AS_THEY_LIE:
        operands = node.operands[1:] if node.op.name == "cond" else node.operands
        for region in node.regions:
            yield region, operands


def inside(region: Graph, operands: Sequence[Value | None], layouts: Layouts) -> Layouts:
    """The layouts of the inputs of a body that runs on ``operands`` as they lie."""
    pairs = zip(region.inputs, operands, strict=True)
    return {own: layouts[outside] for own, outside in pairs if outside is not None and outside in layouts}


def _gradients(node: Node) -> Iterator[tuple[Value, Value]]:
    """What ``node`` takes gradients by, and these, which lie in memory alike."""
    if node.op.name == "gradient":
        count = node.attributes["wrt"]
        for operand, result in zip(node.operands, node.outputs[len(node.outputs) - count :], strict=False):
            if operand is not None:
                yield operand, result


class _Sets:
    """Values that lie alike, joined step by step."""

    def __init__(self) -> None:
        self.parent: dict[tuple[int, Value], tuple[int, Value]] = {}

    def find(self, key: tuple[int, Value]) -> tuple[int, Value]:
        root = key
        while self.parent.get(root, root) != root:
            root = self.parent[root]
        while self.parent.get(key, key) != root:
            self.parent[key], key = root, self.parent[key]
        return root

    def join(self, a: tuple[int, Value], b: tuple[int, Value]) -> None:
        self.parent[self.find(a)] = self.find(b)


def storage_of(graph: Graph, wanted: Wanted) -> tuple[Storage | None, ...]:
    """The layout of each variable: that which the first node asks for of it, or of what lies as it does."""
    if not wanted:
        return (None,) * len(graph.variables)
    sets, asked = _Sets(), []

    def look(part: Graph, level: int) -> None:
        for node in part.nodes:
            for position, value in enumerate(node.operands):
                if value is not None and (node.op, position) in wanted:
                    asked.append(((level, value), wanted[node.op, position]))
            for operands, results in lanes(node):
                for value in (*operands[1:], *results):
                    if operands:
                        sets.join((level, operands[0]), (level, value))
            for operand, gradient in _gradients(node):
                sets.join((level, operand), (level, gradient))
            for region, given in bodies(node):
                for outside, own in zip(given, region.inputs, strict=True):
                    if outside is not None:
                        sets.join((level, outside), (id(region), own))
                for result, own in zip(
                    node.outputs, region.outputs if node.op.name == "cond" else (), strict=False
                ):
                    sets.join((level, result), (id(region), own))
                look(region, id(region))

    look(graph, 0)
    found: dict[tuple[int, Value], Storage] = {}
    for key, storage in asked:
        found.setdefault(sets.find(key), storage)
    return tuple(found.get(sets.find((0, variable.value))) for variable in graph.variables)


def spread(graph: Graph, known: Layouts) -> Layouts:
    """The layout of every value that is not in Keras's, given those of inputs and variables."""
    found: Layouts = {value: storage for value, storage in known.items() if storage is not None}
    if not found:
        return found
    for node in graph.nodes:
        for operands, results in lanes(node):
            layout = lane_layout(operands, found)
            if layout is not None:
                found.update(dict.fromkeys(results, layout))
        for operand, gradient in _gradients(node):
            if operand in found:
                found[gradient] = found[operand]
        if node.op.name == "cond":
            for region, given in bodies(node):
                own = spread(region, inside(region, given, found))
                for result, value in zip(node.outputs, region.outputs, strict=True):
                    if own.get(value) is not None:
                        found.setdefault(result, own[value])
    return found


def lane_layout(operands: Iterable[Value], layouts: Mapping[Value, Storage | None]) -> Storage | None:
    """The layout in which a node works on ``operands`` of one shape: that of the first which has one."""
    return next((layouts[value] for value in operands if layouts.get(value) is not None), None)
