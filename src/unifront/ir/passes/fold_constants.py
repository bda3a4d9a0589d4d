"""Computing beforehand what depends on constants alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from unifront.ir.dims import Dim
from unifront.ir.graph import Graph, Literal, Node, Op, Value, map_dims
from unifront.ir.passes.rewrite import Result, Rewriter, Values, in_regions, reads_key

Evaluate = Callable[[Node, Sequence[np.ndarray]], Sequence[np.ndarray]]
LIMIT = 1 << 16
# What the reference raises for values outside an operation's domain, such as a position that is not there. The
# node may stand in a branch that is never taken: it is left, and whoever runs it says what is wrong.
_REFUSED = (ArithmeticError, LookupError, MemoryError, ValueError)


def fold_constants(
    graph: Graph, values: Values, *, ops: Mapping[str, Op], evaluate: Evaluate, limit: int = LIMIT
) -> Result:
    """``graph`` with a constant in place of each node whose operands are all constants, and have a result.

    Args:
        ops: operations by name; ``constant`` is taken from there.
        evaluate: ``(node, operands) -> results``, NumPy arrays of the types of the node's outputs.
        limit: results of more bytes than this, and than the operands together, are left to be computed, so
            that files stay small.
    """
    after = _folded(graph, ops, evaluate, limit)
    return after, values, after is not graph


def _folded(graph: Graph, ops: Mapping[str, Op], evaluate: Evaluate, limit: int) -> Graph:
    writer = Rewriter(graph)
    known: dict[Value, np.ndarray] = {}
    for node in graph.nodes:
        node = in_regions(lambda body: _folded(body, ops, evaluate, limit), node)
        if node.op.name == "constant":
            known[writer.keep(node).outputs[0]] = node.attributes["value"].numpy()
            continue
        operands = [known[value] for value in writer.operands(node) if value in known]
        if (
            len(operands) < len(node.operands)
            or not _foldable(node)
            or _bytes(node) > max(limit, sum(operand.nbytes for operand in operands))
        ):
            writer.keep(node)
            continue
        try:
            results = evaluate(node, operands)
        except _REFUSED:
            writer.keep(node)
            continue
        for old, array in zip(node.outputs, results, strict=True):
            (new,) = writer.add(ops["constant"], (), {"value": Literal.of(array)}, node.name)
            writer.replace(old, new)
            known[new] = array
    return writer.finish()


def _foldable(node: Node) -> bool:
    typed = all(value.type.is_static and value.type.dtype.kind != "k" for value in node.outputs)
    return typed and not node.regions and not reads_key(node) and not _symbolic(node)


def _symbolic(node: Node) -> bool:
    found: list[Dim] = []

    def note(dim: Dim) -> Dim:
        found.append(dim)
        return dim

    map_dims(dict(node.attributes), note)
    return bool(found)


def _bytes(node: Node) -> int:
    sizes = [size for value in node.outputs for size in [value.type.size] if isinstance(size, int)]
    return sum(size * value.type.dtype.bits // 8 for size, value in zip(sizes, node.outputs, strict=True))
