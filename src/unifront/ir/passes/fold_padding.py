"""Zero padding taken into the convolution or pooling after it."""

from __future__ import annotations

from unifront.ir.graph import Graph, Node, Value
from unifront.ir.passes.dead_code import dead_code
from unifront.ir.passes.rewrite import Rewriter, in_regions

NOT_NEGATIVE = frozenset({"relu", "sigmoid", "softmax", "softplus", "square", "abs", "exp", "hard_sigmoid"})
"""Operations whose results are never negative."""

KEEP_SIGN = frozenset({
    "add", "multiply", "maximum", "minimum", "max_pool", "average_pool", "transpose", "reshape",
    "concatenate", "stop_gradient", "slice",
})  # fmt: skip
"""Operations whose results are not negative where no operand is."""


def fold_padding(graph: Graph) -> Graph:
    """``graph`` with zeros padded by the convolution that reads them, or by the pooling that may.

    A max pooling pads with what never counts, so that zeros can go into it only where no element is negative
    and no window would be padding alone.
    """
    writer = Rewriter(graph)
    pads: dict[Value, Node] = {}
    positive: set[Value] = set()
    for node in graph.nodes:
        node = in_regions(fold_padding, node)
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
    return dead_code(writer.finish())


def _stays_positive(node: Node, positive: set[Value]) -> bool:
    """Whether the results of ``node`` are never negative."""
    name, attributes = node.op.name, node.attributes
    if name in NOT_NEGATIVE or (name == "clip" and attributes["minimum"] >= 0):
        return True
    kept = name in KEEP_SIGN or (
        name == "pad" and attributes["mode"] == "constant" and attributes["value"] >= 0
    )
    return kept and all(value in positive for value in node.operands)


def _merged(node: Node, pad: Node, positive: bool) -> tuple[tuple[int, int], ...] | None:
    """The padding of ``node`` with that of ``pad`` before it; None if they cannot be one."""
    name, own = node.op.name, node.attributes.get("padding")
    if name not in ("conv", "depthwise_conv", "max_pool") or not isinstance(own, tuple):
        return None
    first = node.attributes["data_format"] == "channels_first"
    widths = pad.attributes["widths"]
    batch, channels, spatial = (
        (widths[0], widths[1], widths[2:]) if first else (widths[0], widths[-1], widths[1:-1])
    )
    if any((*batch, *channels)):
        return None
    merged = tuple((a + c, b + d) for (a, b), (c, d) in zip(own, spatial, strict=True))
    if name == "max_pool":
        fits = all(max(pair) < k for pair, k in zip(merged, node.attributes["pool_size"], strict=True))
        return merged if fits and positive else None
    return merged
