"""Turning channels-last operations into channels-first ones."""

from __future__ import annotations

from collections.abc import Mapping

from unifront.ir.facts import inverse, to_channels_first
from unifront.ir.graph import Graph, Op
from unifront.ir.passes.rewrite import Result, Rewriter, Values, in_regions


def channels_first(graph: Graph, values: Values, *, ops: Mapping[str, Op]) -> Result:
    """``graph`` with every operation that has a ``data_format`` made channels-first, between transposes.

    The first operand and the result of such an operation are its data; kernels and biases stay as they are.
    `simplify_layout` then leaves as few transposes as it can.

    Args:
        ops: operations by name; ``transpose`` is taken from there.
    """
    after = _turned(graph, ops)
    return after, values, after is not graph


def _turned(graph: Graph, ops: Mapping[str, Op]) -> Graph:
    writer = Rewriter(graph)
    for node in graph.nodes:
        node = in_regions(lambda body: _turned(body, ops), node)
        if node.attributes.get("data_format") != "channels_last":
            writer.keep(node)
            continue
        data, *others = writer.operands(node)
        assert data is not None
        order = to_channels_first(data.type.rank)
        (moved,) = writer.add(ops["transpose"], (data,), {"axes": order}, node.name)
        attributes = {**node.attributes, "data_format": "channels_first"}
        (result,) = writer.add(node.op, (moved, *others), attributes, node.name, node.regions)
        (back,) = writer.add(ops["transpose"], (result,), {"axes": inverse(order)}, node.name)
        writer.replace(node.outputs[0], back)
    return writer.finish()
