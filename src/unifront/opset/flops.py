"""How many floating-point operations a node takes: the formulas behind `OpSpec.flops`, and the sum over a graph.

The convention: a multiplication and the addition after it are two operations. Of an operation that has no formula of
its own, each element that an elementwise one makes counts as one, and so does each element that another one reads
(sums, norms, softmax); what moves, compares or draws numbers counts nothing. Operations on integers and booleans do
not count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from unifront.ir.dims import Dim, maximum
from unifront.ir.types import TensorType

if TYPE_CHECKING:
    from unifront.ir.graph import Graph, Node, Value

Flops = Callable[["Node"], Dim]
"""The count for a node; symbolic where sizes are."""


def product_of(sizes: Iterable[Dim]) -> Dim:
    """The product of ``sizes``, some of which may be symbols."""
    total: Dim = 1
    for size in sizes:
        total = size * total
    return total


def flops_of_node(node: Node) -> Dim:
    """The floating-point operations of one node; those of its bodies too."""
    formula: Flops | None = getattr(node.op, "flops", None)
    if formula is not None:
        return formula(node)
    if node.regions:
        return _sum(map(flops_of, node.regions))
    if node.op.facts.elementwise:
        return max(
            (_elements(value.type) for value in node.outputs if value.type.dtype.is_float),
            key=_rank,
            default=0,
        )
    if node.op.facts.precision == "half":
        return 0
    return max((_elements(value.type) for value in _floats(node)), key=_rank, default=0)


def flops_of(graph: Graph) -> Dim:
    """The floating-point operations of all nodes of ``graph``."""
    return _sum(map(flops_of_node, graph.nodes))


def flops_of_an_example(graph: Graph) -> int | None:
    """`flops_of` for a batch of one; None where more is free than the size of the batch, or nothing can be counted."""
    shapes = [value.type.shape for value in graph.inputs]
    free = {str(size) for shape in shapes for size in shape if not isinstance(size, int)}
    if free - {str(shape[0]) for shape in shapes if shape} or len(free) > 1:
        return None
    count = flops_of(graph.bind_symbols(dict.fromkeys(free, 1)))
    return count if isinstance(count, int) else None


def flops_by_path(graph: Graph, sizes: Mapping[str, Dim]) -> dict[str, Dim]:
    """The floating-point operations by the path of the layer whose call they are, with these sizes of symbols."""
    found: dict[str, Dim] = {}
    for node in graph.bind_symbols(sizes).nodes:
        found[node.name] = flops_of_node(node) + found.get(node.name, 0)
    return found


def _sum(counts: Iterable[Dim]) -> Dim:
    total: Dim = 0
    for count in counts:
        total = count + total
    return total


def _elements(type_: TensorType) -> Dim:
    return product_of(type_.shape)


def _floats(node: Node) -> list[Value]:
    return [value for value in node.operands if value is not None and value.type.dtype.is_float]


def _rank(size: Dim) -> int:
    """An order in which the largest of a node's tensors comes last: free sizes stand for many."""
    return size if isinstance(size, int) else size.evaluate(dict.fromkeys(size.symbols(), 1024))


# ---------------------------------------------------------------- formulas


def none(node: Node) -> Dim:
    """Of what only names, copies or converts its operand."""
    return 0


def dense(node: Node) -> Dim:
    """Of ``[..., in] @ [in, out]``, and the bias."""
    (result,), inner = node.outputs, _type(node, 1).shape[0]
    return _elements(result.type) * (2 * inner) + _bias(node)


def matmul(node: Node) -> Dim:
    """Of a product of matrices or vectors."""
    return 2 * _elements(node.outputs[0].type) * _type(node, 0).shape[-1]


def einsum(node: Node) -> Dim:
    """Of a sum of products over all labels, taken at once."""
    terms = node.attributes["equation"].partition("->")[0].split(",")
    sizes: dict[str, Dim] = {}
    for term, value in zip(terms, node.operands, strict=True):
        assert value is not None
        sizes.update(zip(term, value.type.shape, strict=True))
    return len(terms) * product_of(sizes.values()) if _floats(node) else 0


def conv(node: Node) -> Dim:
    """Of a convolution: each output sees the window and the input channels of its group."""
    return _elements(node.outputs[0].type) * (2 * product_of(_type(node, 1).shape[:-1])) + _bias(node)


def depthwise_conv(node: Node) -> Dim:
    """Of a convolution where each output sees the window of one channel."""
    return _elements(node.outputs[0].type) * (2 * product_of(_type(node, 1).shape[:-2])) + _bias(node)


def conv_transpose(node: Node) -> Dim:
    """Of a transposed convolution: each input goes into the window and the output channels."""
    return _elements(_type(node, 0)) * (2 * product_of(_type(node, 1).shape[:-1])) + _bias(node)


def _bias(node: Node) -> Dim:
    return _elements(node.outputs[0].type) if len(node.operands) > 2 and node.operands[2] is not None else 0


def attention(node: Node) -> Dim:
    """Of the products of queries and keys, their softmax, and the weighted values (all pairs, also masked ones)."""
    (batch, target, heads, size), source = _type(node, 0).shape, _type(node, 1).shape[1]
    pairs = product_of((batch, heads, target, source))
    return pairs * (2 * size + 2 * _type(node, 2).shape[3] + 1)


def recurrent(gates: int, cell: int) -> Flops:
    """Of a recurrent layer with so many gates, whose cell takes ``cell`` operations for each unit and step."""

    def count(node: Node) -> Dim:
        (batch, time, features), units = _type(node, 0).shape, _type(node, 2).shape[0]
        biased = node.operands[3] is not None
        return batch * time * (units * (gates * (2 * (features + units) + biased) + cell))

    return count


def scan(node: Node) -> Dim:
    """Of a body, once for each step."""
    states, sequences, steps = (node.attributes[name] for name in ("states", "sequences", "length"))
    if sequences:
        steps = _type(node, states).shape[0]
    return flops_of(node.regions[0]) * (steps or 0)


def cond(node: Node) -> Dim:
    """Of the branch that takes more."""
    return maximum(*map(flops_of, node.regions))


def forward(node: Node) -> Dim:
    """Of what has a body for its gradient too, which is not run."""
    return flops_of(node.regions[0])


def gradient(node: Node) -> Dim:
    """Of a function and its gradient, which takes about twice as many as the function (a product has two factors)."""
    return 3 * flops_of(node.regions[0])


def fft(node: Node) -> Dim:
    """Of a fast transform of ``n`` points: ``5 n log2 n`` (Van Loan 1992), half of it for reals."""
    kind, axes = node.attributes["kind"], node.attributes["dimensions"]
    shape = _type(node, 0).shape if kind == "rfft" else node.outputs[0].type.shape
    points = product_of(shape[-axes:])
    steps = math.ceil(math.log2(max(2, _rank(points))))
    return _elements(node.outputs[0].type.with_shape(shape)) * 5 * steps // (2 if "r" in kind else 1)


def of_matrix(*terms: tuple[int, int, int, int], columns: bool = False) -> Flops:
    """Of an algorithm on matrices ``[..., m, n]``: the sum of ``a m^i n^j / d`` over the terms ``(a, d, i, j)``.

    The terms are those of Golub and Van Loan 2013, without what grows slower.

    With ``columns`` ``m`` is the number of right sides, of the second operand. Otherwise ``m >= n``: the two change
    places where they are not.
    """

    def count(node: Node) -> Dim:
        *batch, m, n = _type(node, 0).shape
        if columns:
            m = _type(node, 1).shape[-1]
        elif isinstance(m, int) and isinstance(n, int) and m < n:
            m, n = n, m
        found = (product_of((*batch, a, *[m] * i, *[n] * j)) // d for a, d, i, j in terms)
        return _sum(found)

    return count


def _type(node: Node, position: int) -> TensorType:
    value = node.operands[position]
    assert value is not None  # by the type rule of the operation
    return value.type
