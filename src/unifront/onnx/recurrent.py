"""Recurrent operations in the forms that ONNX has: the time first, and both directions in one node.

Written as operations of their own between transposes, so that `simplify_layout` carries the transposes
through stacks of them and through what stands between.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np

from unifront.ir.graph import Graph, Node, Op, Value
from unifront.ir.passes.dead_code import without_dead_code
from unifront.ir.passes.rewrite import Rewriter, in_regions
from unifront.ir.types import TensorType
from unifront.opset.rnn import GRU, LSTM, SIMPLE_RNN
from unifront.opset.shape import CONCATENATE, RESHAPE, SPLIT, TRANSPOSE
from unifront.opset.spec import OpSpec

_SWAP = (1, 0, 2)


def _swapped(type_: TensorType) -> TensorType:
    return type_.with_shape(tuple(type_.shape[axis] for axis in _SWAP))


def _time_major(spec: OpSpec) -> OpSpec:
    """``spec`` with its first operand and first result ``[time, batch, …]``."""

    def rule(x: TensorType, *others: TensorType | None, **attributes: Any) -> tuple[TensorType, ...]:
        sequence, *states = spec.infer(_swapped(x), *others, **attributes)
        return (_swapped(sequence), *states)

    def reference(x: np.ndarray, *others: Any, **attributes: Any) -> Any:
        sequence, *states = spec.reference(x.transpose(_SWAP), *others, **attributes)
        return (sequence.transpose(_SWAP), *states)

    return OpSpec(
        f"{spec.name}_time_major",
        rule,
        reference,
        lambda rng: (),
        spec.source,
        attributes=spec.attributes,
        facts=spec.facts,
    )


TIME_MAJOR: dict[Op, OpSpec] = {spec: _time_major(spec) for spec in (LSTM, GRU, SIMPLE_RNN)}
"""Each recurrent operation and its time-major form."""


def _bidirectional(spec: OpSpec) -> OpSpec:
    """A time-major ``spec`` in both directions, as ONNX has it.

    Its operands are ``x``, those of the forward and those of the backward direction, and ``lengths``; its
    results ``[time, 2, batch, units]`` and ``[2, batch, units]``.
    """

    def each(operands: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        x, *given, lengths = operands
        half = len(given) // 2
        return [(x, *given[:half], lengths), (x, *given[half:], lengths)]

    def rule(*operands: TensorType | None, **attributes: Any) -> tuple[TensorType, ...]:
        forward, backward = each(operands)
        (time, *rest), *states = (t.shape for t in spec.infer(*forward, reverse=False, **attributes))
        spec.infer(*backward, reverse=True, **attributes)
        x = forward[0]
        return (x.with_shape((time, 2, *rest)), *(x.with_shape((2, *state)) for state in states))

    def reference(*operands: Any, **attributes: Any) -> Any:
        forward, backward = each(operands)
        ahead = spec.reference(*forward, reverse=False, **attributes)
        back = spec.reference(*backward, reverse=True, **attributes)
        return tuple(np.stack(pair, 0 if i else 1) for i, pair in enumerate(zip(ahead, back, strict=True)))

    attributes = {name: kind for name, kind in spec.attributes.items() if name != "reverse"}
    name = spec.name.replace("time_major", "bidirectional")
    return OpSpec(name, rule, reference, lambda rng: (), spec.source, attributes=attributes, facts=spec.facts)


BIDIRECTIONAL: dict[Op, OpSpec] = {spec: _bidirectional(spec) for spec in TIME_MAJOR.values()}
"""Each time-major operation and its form that reads in both directions."""


def time_major(graph: Graph) -> Graph:
    """``graph`` with every recurrent operation in its time-major form, between transposes."""
    writer = Rewriter(graph)
    for node in graph.nodes:
        node = in_regions(time_major, node)
        if node.op not in TIME_MAJOR:
            writer.keep(node)
            continue
        x, *others = writer.operands(node)
        (moved,) = writer.add(TRANSPOSE, (x,), {"axes": _SWAP}, node.name)
        sequence, *states = writer.add(TIME_MAJOR[node.op], (moved, *others), node.attributes, node.name)
        (back,) = writer.add(TRANSPOSE, (sequence,), {"axes": _SWAP}, node.name)
        for old, new in zip(node.outputs, (back, *states), strict=True):
            writer.replace(old, new)
    return writer.finish()


def bidirectional(graph: Graph) -> Graph:
    """``graph`` with one node for the two with which a layer reads one sequence forward and backward.

    Their results come joined along the last axis, and are split for whoever reads one of them alone.
    """
    writer = Rewriter(graph)
    partners = _partners(graph)
    names = {node.name for node in graph.nodes}
    done: set[Value] = set()
    joined: dict[tuple[Value | None, ...], Value] = {}
    for node in graph.nodes:
        node = in_regions(bidirectional, node)
        if node.outputs[0] in done:
            continue
        if node.op is CONCATENATE and node.operands in joined:
            result = joined[node.operands]
            if node.attributes["axis"] == result.type.rank - 1:
                writer.replace(node.outputs[0], result)
                continue
        if node.outputs[0] not in partners:
            writer.keep(node)
            continue
        other = partners[node.outputs[0]]
        done.add(other.outputs[0])
        layer = _layer(node)
        name = layer if layer in names and node.name != other.name else node.name
        forward, backward = (other, node) if node.attributes["reverse"] else (node, other)
        results = _add(writer, forward, backward, name)
        for one, two, both in zip(forward.outputs, backward.outputs, results, strict=True):
            joined[one, two] = both
            units = one.type.shape[-1]
            parts = writer.add(SPLIT, (both,), {"sizes": (units, units), "axis": one.type.rank - 1}, name)
            for old, new in zip((one, two), parts, strict=True):
                writer.replace(old, new)
    return without_dead_code(writer.finish())


def _add(writer: Rewriter, forward: Node, backward: Node, name: str) -> list[Value]:
    """One node in the place of two, and its results with the directions joined along the last axis."""
    x, *ahead, lengths = writer.operands(forward)
    _, *back, _ = writer.operands(backward)
    attributes = {key: value for key, value in forward.attributes.items() if key != "reverse"}
    results: list[Value] = []
    for result in writer.add(BIDIRECTIONAL[forward.op], (x, *ahead, *back, lengths), attributes, name):
        *axes, units = range(result.type.rank)
        directions = axes.pop(-2)  # [time, 2, batch, units] or [2, batch, units]
        (moved,) = writer.add(TRANSPOSE, (result,), {"axes": (*axes, directions, units)}, name)
        *sizes, two, width = moved.type.shape
        results += writer.add(RESHAPE, (moved,), {"shape": (*sizes, two * width)}, name)
    return results


def _partners(graph: Graph) -> dict[Value, Node]:
    """The second of each pair of nodes that can be one, by the first result of the first."""
    found: dict[Value, Node] = {}
    waiting: dict[Hashable, tuple[int, Node]] = {}
    made = {value: place for place, node in enumerate(graph.nodes) for value in node.outputs}
    for place, node in enumerate(graph.nodes):
        if node.op not in BIDIRECTIONAL:
            continue
        x, *own, lengths = node.operands
        types = tuple(None if value is None else value.type for value in own)
        attributes = dict(node.attributes)
        reverse = attributes.pop("reverse")
        alike = (_layer(node), node.op, x, lengths, types, *attributes.items())
        first, other = waiting.pop((not reverse, alike), (-1, None))
        # The pair stands where its first node did: all that the second one reads must be there by then.
        if other is not None and all(made.get(value, -1) < first for value in own if value is not None):
            found[other.outputs[0]] = node
        else:
            waiting[reverse, alike] = place, node
    return found


def _layer(node: Node) -> str:
    """The path of the layer that ``node`` and others like it belong to; of a layer at the top its own."""
    return node.name.rpartition("/")[0] or node.name
