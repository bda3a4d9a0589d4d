"""A transpose before a flattening, taken into the dense layers behind it."""

from __future__ import annotations

import math

from unifront.ir.facts import inverse
from unifront.ir.graph import Graph, Node, Value
from unifront.ir.passes.dead_code import without_dead_code
from unifront.ir.passes.rewrite import Rewriter
from unifront.opset.linalg import DENSE
from unifront.opset.shape import RESHAPE, TRANSPOSE


def flatten_in_place(graph: Graph) -> Graph:
    """``graph`` in which dense layers read features in the order they have before a transpose.

    The rows of their kernels are reordered by operations on a variable, which the writer computes itself.
    """
    users, producers = graph.users(), graph.producers()
    variables = {variable.value for variable in graph.variables}
    writer = Rewriter(graph)
    orders: dict[Value, tuple[Value, tuple[int, ...]]] = {}
    for node in graph.nodes:
        source = _transposed(node, producers)
        if source is not None and all(
            _reads_rows(user, at, variables) for user, at in users.get(node.outputs[0], [])
        ):
            base, order = source
            if node.outputs[0] not in graph.outputs:
                shape = {"shape": node.attributes["shape"]}
                (flat,) = writer.add(RESHAPE, (writer.now(base),), shape, node.name)
                orders[node.outputs[0]] = flat, order
        x = node.operands[0] if node.operands else None
        if x in orders and x is not None:
            flat, order = orders[x]
            _, kernel, bias = writer.operands(node)
            assert kernel is not None
            sizes = producers[x].operands[0]
            assert sizes is not None
            rows = _reordered(writer, kernel, sizes.type.shape[1:], order, node.name)  # type: ignore[arg-type]  # static
            (new,) = writer.add(DENSE, (flat, rows, bias), {}, node.name)
            writer.replace(node.outputs[0], new)
            continue
        writer.keep(node)
    return without_dead_code(writer.finish())


def _transposed(node: Node, producers: dict[Value, Node]) -> tuple[Value, tuple[int, ...]] | None:
    """What ``node`` flattens but for the first axis, and in which order; None if it does something else."""
    if node.op is not RESHAPE or node.operands[0] not in producers:
        return None
    before = producers[node.operands[0]]
    shape = before.outputs[0].type.shape
    if before.op is not TRANSPOSE or before.attributes["axes"][0] != 0 or before.operands[0] is None:
        return None
    static = all(isinstance(dim, int) for dim in shape[1:])
    flat = node.attributes["shape"] == (shape[0], math.prod(shape[1:]))
    return (before.operands[0], before.attributes["axes"]) if static and flat else None


def _reads_rows(user: Node, position: int, variables: set[Value]) -> bool:
    """Whether an operand is the input of a dense layer whose kernel is a variable."""
    return user.op is DENSE and position == 0 and user.operands[1] in variables


def _reordered(
    writer: Rewriter, kernel: Value, sizes: tuple[int, ...], order: tuple[int, ...], name: str
) -> Value:
    """A kernel whose rows are in the order of the features before the transpose ``order``."""
    count = len(sizes)
    back = (*(axis - 1 for axis in inverse(order)[1:]), count)
    (blocks,) = writer.add(RESHAPE, (kernel,), {"shape": (*sizes, kernel.type.shape[1])}, name)
    (moved,) = writer.add(TRANSPOSE, (blocks,), {"axes": back}, name)
    (rows,) = writer.add(RESHAPE, (moved,), {"shape": kernel.type.shape}, name)
    return rows
