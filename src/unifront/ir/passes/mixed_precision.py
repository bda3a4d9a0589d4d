"""Computing in float32 what 16 bits are not enough for."""

from __future__ import annotations

from collections.abc import Mapping

from unifront.dtypes import DType, float32
from unifront.ir.graph import Graph, Node, Op, Value
from unifront.ir.passes.rewrite import Result, Rewriter, Values, in_regions


def mixed_precision(graph: Graph, values: Values, *, ops: Mapping[str, Op]) -> Result:
    """``graph`` with casts around operations on 16-bit floats whose fact is ``"float32"`` (`Facts.precision`).

    Their results come in 16 bits as before; where such an operation takes what another one gave, nothing is rounded in
    between. Sums of products are left to the kernels, which add up in float32 by themselves, and so are updates of
    weights.
    """
    after = _widened(graph, ops["cast"])
    return after, values, after is not graph


def is_half(dtype: DType) -> bool:
    """Whether it is one of the 16-bit floats."""
    return dtype.is_float and dtype.bits == 16


def _widened(graph: Graph, cast: Op) -> Graph:
    writer = Rewriter(graph)
    wide: dict[Value, Value] = {}
    """Of values in 16 bits, the same before they were rounded, or cast once for all."""

    def widened(value: Value | None, name: str) -> Value | None:
        if value is None or not is_half(value.type.dtype):
            return value
        if value not in wide:
            (wide[value],) = writer.add(cast, [value], {"dtype": float32.name}, name)
        return wide[value]

    for node in graph.nodes:
        node = in_regions(lambda body: _widened(body, cast), node)
        if not _is_too_narrow(node):
            writer.keep(node)
            continue
        operands = [widened(value, node.name) for value in writer.operands(node)]
        results = writer.add(node.op, operands, node.attributes, node.name, node.regions)
        for old, new in zip(node.outputs, results, strict=True):
            if new.type.dtype == old.type.dtype:
                writer.replace(old, new)
                continue
            (narrow,) = writer.add(cast, [new], {"dtype": old.type.dtype.name}, node.name)
            wide[narrow] = new
            writer.replace(old, narrow)
    return writer.finish()


def _is_too_narrow(node: Node) -> bool:
    if node.op.facts.precision != "float32" or getattr(node.op, "lanes", None) is not None:
        return False
    return any(value is not None and is_half(value.type.dtype) for value in node.operands)
