"""Zero padding taken into the convolution or pooling after it."""

from __future__ import annotations

from unifront.ir.graph import Graph, Node, Value
from unifront.ir.passes.dead_code import without_dead_code
from unifront.ir.passes.rewrite import Result, Rewriter, Values, in_regions


def fold_padding(graph: Graph, values: Values) -> Result:
    """``graph`` with zeros padded by the convolution that reads them, or by the pooling that may.

    A max pooling pads with what never counts, so that zeros can go into it only where no element is negative
    and no window would be padding alone.
    """
    after = _padded(graph)
    return after, values, after is not graph


def _padded(graph: Graph) -> Graph:
    writer = Rewriter(graph)
    pads: dict[Value, Node] = {}
    positive: set[Value] = set()
    for node in graph.nodes:
        node = in_regions(_padded, node)
        if _stays_positive(node, positive):
            positive.update(node.outputs)
        x = node.operands[0] if node.operands else None
        if x in pads and (merged := _merged(node, pads[x], x in positive)) is not None:
            inner, *others = pads[x].operands[0], *writer.operands(node)[1:]
            attributes = {**node.attributes, "padding": merged}
            (new,) = writer.add(node.op, (inner, *others), attributes, node.name)
            writer.replace(node.outputs[0], new)
            continue
        kept = writer.keep(node)
        if node.op.name == "pad" and node.attributes["mode"] == "constant" and node.attributes["value"] == 0:
            pads[node.outputs[0]] = kept
    return without_dead_code(writer.finish())


def _stays_positive(node: Node, positive: set[Value]) -> bool:
    """Whether the results of ``node`` are never negative."""
    sign = node.op.facts.sign_with(node.attributes)
    kept = sign == "kept" and all(value is None or value in positive for value in node.operands)
    return kept or sign == "not negative"


def _merged(node: Node, pad: Node, positive: bool) -> tuple[tuple[int, int], ...] | None:
    """The padding of ``node`` with that of ``pad`` before it; None if they cannot be one."""
    kind, own = node.op.facts.pads_with, node.attributes.get("padding")
    if kind is None or not isinstance(own, tuple):
        return None
    first = node.attributes["data_format"] == "channels_first"
    widths = pad.attributes["widths"]
    batch, channels, spatial = (
        (widths[0], widths[1], widths[2:]) if first else (widths[0], widths[-1], widths[1:-1])
    )
    if any((*batch, *channels)):
        return None
    merged = tuple((a + c, b + d) for (a, b), (c, d) in zip(own, spatial, strict=True))
    if kind == "lowest":
        fits = all(max(pair) < k for pair, k in zip(merged, node.attributes["pool_size"], strict=True))
        return merged if fits and positive else None
    return merged
