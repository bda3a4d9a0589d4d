"""A function of one row run on all rows at once, operation by operation: what `vectorized_map` makes of a graph.

A value of the graph is either the same for each row, or mapped: then its rows lie along a new axis 0. For an operation
on mapped values a rule says how it takes them all: `RULES`, or its facts, of operations on elements and along axes. One
without a rule is written out by its decomposition; one that has neither (a branch, a loop, a gradient, a scatter) is
gone through row by row, by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from string import ascii_letters
from typing import Any

from unifront.ir import facts
from unifront.ir.dims import Dim
from unifront.ir.graph import Graph, Literal, Node, Op, Value
from unifront.ir.types import TensorType
from unifront.opset import (
    conv,
    conv_transpose,
    factorizations,
    fft,
    index,
    linalg,
    nn,
    pool,
    shape,
    slicing,
    solving,
)
from unifront.opset.arrays import run
from unifront.opset.complex_numbers import COMPLEX, PARTS
from unifront.opset.control import SCAN
from unifront.opset.creation import BIND_SIZE, FILL, IOTA
from unifront.opset.linalg import matmul
from unifront.opset.searching import SEARCHSORTED
from unifront.opset.shape import broadcast_to, expand_dims, moveaxis, reshape, squeeze, transpose
from unifront.opset.spec import OpSpec
from unifront.opset.tensor import CONSTANT, Builder, bind, lift, type_of
from unifront.scopes import at_path


@dataclass(frozen=True)
class Rows:
    """A value of the graph of one row.

    Args:
        value: of all rows: with one axis more in front if it is mapped, else the same for each.
        type: of one row.
    """

    value: Any
    type: TensorType
    mapped: bool


Given = Sequence[Rows | None]
Rule = Callable[[Node, Given, Dim], Any]
"""What a node gives for all rows, a tuple of several results; None where the rule is not for what is mapped there."""


def over_rows(graph: Graph, inputs: Sequence[Rows], count: Dim, builder: Builder | None) -> list[Any]:
    """The outputs of ``graph``, which is of one row, for ``count`` rows.

    Args:
        inputs: what stands for the inputs of ``graph``, then for its variables.
        builder: where the work goes; None for work on native arrays.
    """
    return [_all(rows, count) for rows in _through(graph, inputs, count, builder)]


def needs_each_row(graph: Graph) -> bool:
    """Whether rows must be gone through one after the other: their sizes may differ, or each draws its own numbers."""
    return any(node.op is BIND_SIZE or _draws(node) for node in graph.nodes)


def _draws(node: Node) -> bool:
    if _op(node).random:
        return True
    return any(_draws(inner) for region in node.regions for inner in region.nodes)


def _op(node: Node) -> OpSpec:
    assert isinstance(node.op, OpSpec)
    return node.op


def _through(graph: Graph, inputs: Sequence[Rows], count: Dim, builder: Builder | None) -> list[Rows]:
    places = (*graph.inputs, *(variable.value for variable in graph.variables))
    known: dict[Value, Rows] = dict(zip(places, inputs, strict=True))
    for node in graph.nodes:
        given = [None if value is None else known[value] for value in node.operands]
        with at_path(node.name):
            known.update(zip(node.outputs, _results(node, given, count, builder), strict=True))
    return [known[value] for value in graph.outputs]


def _results(node: Node, given: Given, count: Dim, builder: Builder | None) -> Iterator[Rows]:
    mapped = node.op not in (FILL, IOTA) and any(rows.mapped for rows in given if rows)
    if not mapped:  # an operand of `fill` says where it is made, and no more
        found = _once(node, _values(given), builder)
    else:
        rule = rule_of(node.op)
        found = None if rule is None else rule(node, given, count)
        if found is None and _op(node).decomposition is not None:
            yield from _written_out(node, given, count, builder)
            return
        if found is None:
            found = _one_by_one(node, given)
    several = found if isinstance(found, tuple | list) else (found,)
    for value, one in zip(several, node.outputs, strict=True):
        yield Rows(value, one.type, mapped)


def _once(node: Node, operands: Sequence[Any], builder: Builder | None) -> Any:
    """The results of a node that are the same for each row."""
    if node.op is CONSTANT:
        literal = node.attributes["value"]
        assert isinstance(literal, Literal)
        return literal.numpy() if builder is None else builder.constant(literal.numpy())
    if builder is None:
        return run(_op(node), operands, node.attributes, node.regions)
    values = [None if operand is None else lift(operand, builder).value for operand in operands]
    return builder.add(node.op, values, node.attributes, node.regions)


def _written_out(node: Node, given: Given, count: Dim, builder: Builder | None) -> list[Rows]:
    """The results by the decomposition."""
    decomposition = _op(node).decomposition
    assert decomposition is not None
    inner = Builder(node.op.name)
    inputs = [None if rows is None else inner.input(f"x{i}", rows.type) for i, rows in enumerate(given)]
    extra: dict[str, Any] = {"regions": node.regions} if node.regions else {}
    found = decomposition(*inputs, **extra, **node.attributes)
    outputs = found if isinstance(found, tuple) else (found,)
    graph = inner.graph([lift(output, inner) for output in outputs])
    return _through(graph, [rows for rows in given if rows is not None], count, builder)


def _one_by_one(node: Node, given: Given) -> Any:
    """The results of a node row by row: a loop over it alone."""
    inner = Builder(node.op.name)
    sequences = [i for i, rows in enumerate(given) if rows is not None and rows.mapped]
    others = [i for i, rows in enumerate(given) if rows is not None and not rows.mapped]
    operands: list[Value | None] = [None] * len(given)
    loop = []
    for i in (*sequences, *others):
        rows = given[i]
        assert rows is not None
        operands[i] = inner.input(f"x{i}", rows.type).value
        loop.append(rows.value)
    body = inner.graph(inner.add(node.op, operands, node.attributes, node.regions))
    return bind(SCAN, *loop, regions=(body,), states=0, sequences=len(sequences), length=None, reverse=False)


def _all(rows: Rows, count: Dim) -> Any:
    """The value with an axis of rows, repeated if it is the same for each."""
    return rows.value if rows.mapped else broadcast_to(rows.value, (count, *rows.type.shape))


# ---------------------------------------------------------------- rules


def rule_of(op: Op) -> Rule | None:
    """How ``op`` takes rows, if there is a rule for it."""
    if op in RULES:
        return RULES[op]
    if op.facts.elementwise:
        return _elements
    return _ALONG.get(op.facts.follows) if op.facts.follows else None


def _others_are_same(given: Given) -> bool:
    """Whether only the first operand is mapped."""
    return not any(rows.mapped for rows in given[1:] if rows)


def _values(given: Given) -> list[Any]:
    return [rows and rows.value for rows in given]


def _only(given: Given) -> Rows:
    """The one operand."""
    (rows,) = given
    assert rows is not None
    return rows


def _lengthened(rows: Rows, rank: int) -> Any:
    """The value, the mapped rows with axes of 1 in front so that each is of ``rank``: what broadcasts as a row does."""
    extra = rank - rows.type.rank if rows.mapped else 0
    return expand_dims(rows.value, tuple(range(1, 1 + extra))) if extra > 0 else rows.value


def _elements(node: Node, given: Given, count: Dim) -> Any:
    rank = node.outputs[0].type.rank
    return bind(_op(node), *(rows and _lengthened(rows, rank) for rows in given), **node.attributes)


def _moved(node: Node) -> dict[str, Any]:
    """The attributes, axes counted with that of the rows."""
    found = dict(node.attributes)
    for name in ("axis", "axes"):
        if name in found:
            axes = found[name]
            found[name] = tuple(axis + 1 for axis in axes) if isinstance(axes, tuple) else axes + 1
    return found


def _along(node: Node, given: Given, count: Dim) -> Any:
    return bind(_op(node), *_values(given), **_moved(node)) if _others_are_same(given) else None


def _joined(node: Node, given: Given, count: Dim) -> Any:
    return bind(_op(node), *(_all(rows, count) for rows in given if rows), **_moved(node))


def _last_axes(node: Node, given: Given, count: Dim) -> Any:
    """Of operations along the last axes of the first operand, which take any number in front."""
    return bind(_op(node), *_values(given), **node.attributes) if _others_are_same(given) else None


def _all_last_axes(node: Node, given: Given, count: Dim) -> Any:
    """Of operations along the last axes of all operands, whose axes in front are equal."""
    return bind(_op(node), *(rows and _all(rows, count) for rows in given), **node.attributes)


def _examples(node: Node, given: Given, count: Dim) -> Any:
    """Of operations on batches of examples: all rows are one batch."""
    if not _others_are_same(given) or given[0] is None:
        return None
    first, *rest = given[0].type.shape
    x = reshape(given[0].value, (count * first, *rest))
    found = bind(_op(node), x, *_values(given[1:]), **node.attributes)
    return reshape(found, (count, first, *type_of(found).shape[1:]))


def _per_axis(**first: Any) -> Rule:
    """Of operations on one operand with attributes that have an entry for each axis; ``first`` is that of the rows."""

    def rule(node: Node, given: Given, count: Dim) -> Any:
        attributes = {name: (entry, *node.attributes[name]) for name, entry in first.items()}
        return bind(_op(node), *_values(given), **{**node.attributes, **attributes})

    return rule


def _reshape(node: Node, given: Given, count: Dim) -> Any:
    return reshape(_only(given).value, (count, *node.attributes["shape"]))


def _broadcast_to(node: Node, given: Given, count: Dim) -> Any:
    own = node.attributes["shape"]
    return broadcast_to(_lengthened(_only(given), len(own)), (count, *own))


def _transpose(node: Node, given: Given, count: Dim) -> Any:
    return transpose(_only(given).value, (0, *(axis + 1 for axis in node.attributes["axes"])))


def _matmul(node: Node, given: Given, count: Dim) -> Any:
    x, y = given
    assert x is not None
    assert y is not None
    if not y.mapped and y.type.rank <= 2:
        return matmul(x.value, y.value)
    if not x.mapped and x.type.rank <= 2 and y.type.rank == 1:
        return matmul(y.value, transpose(x.value))
    left = x if x.type.rank > 1 else _with_axis(x, 0)
    right = y if y.type.rank > 1 else _with_axis(y, 1)
    rank = max(left.type.rank, right.type.rank)
    found = matmul(_lengthened(left, rank), _lengthened(right, rank))
    ones = [*([-2] if x.type.rank == 1 else []), *([-1] if y.type.rank == 1 else [])]
    return squeeze(found, ones) if ones else found


def _with_axis(rows: Rows, axis: int) -> Rows:
    """The rows with an axis of 1 more."""
    own = rows.type.shape
    type_ = rows.type.with_shape((*own[:axis], 1, *own[axis:]))
    return Rows(expand_dims(rows.value, axis + rows.mapped), type_, rows.mapped)


def _einsum(node: Node, given: Given, count: Dim) -> Any:
    left, _, result = node.attributes["equation"].partition("->")
    free = [label for label in ascii_letters if label not in left]
    if not free:
        return None
    terms = [
        free[0] + term if rows and rows.mapped else term
        for term, rows in zip(left.split(","), given, strict=True)
    ]
    return bind(_op(node), *_values(given), equation=f"{','.join(terms)}->{free[0]}{result}")


def _take(node: Node, given: Given, count: Dim) -> Any:
    x, indices = given
    assert x is not None
    assert indices is not None
    axis = node.attributes["axis"]
    if not indices.mapped:
        return bind(_op(node), x.value, indices.value, axis=axis + 1)
    if not x.mapped:
        return moveaxis(bind(_op(node), x.value, indices.value, axis=axis), axis, 0)
    # Each row its own places: along one axis, the other axes of x together behind it.
    own = x.type.shape
    before, behind = own[:axis], own[axis + 1 :]
    table = moveaxis(x.value, axis + 1, 1)
    rest: Dim = 1
    for size in (*before, *behind):
        rest = rest * size
    table = reshape(table, (count, own[axis], rest))
    places = reshape(indices.value, (count, indices.type.size, 1))
    found = bind(index.TAKE_ALONG_AXIS, table, places, axis=1)
    found = reshape(found, (count, *indices.type.shape, *before, *behind))
    many = indices.type.rank
    moved = [1 + many + i for i in range(axis)]
    return transpose(
        found, (0, *moved, *range(1, 1 + many), *range(1 + many + axis, 1 + many + len(own) - 1))
    )


def _take_along_axis(node: Node, given: Given, count: Dim) -> Any:
    values = (rows.value if rows.mapped else expand_dims(rows.value, 0) for rows in given if rows)
    return bind(_op(node), *values, **_moved(node))


def _search(node: Node, given: Given, count: Dim) -> Any:
    places = given[0]
    return None if places is None or places.mapped else bind(_op(node), *_values(given), **node.attributes)


RULES: dict[Op, Rule] = {
    shape.RESHAPE: _reshape,
    shape.BROADCAST_TO: _broadcast_to,
    slicing.TILE: _per_axis(repeats=1),
    slicing.PAD: _per_axis(widths=(0, 0)),
    slicing.SLICE: _per_axis(starts=0, stops=None, strides=1),
    slicing.REPEAT: _along,
    shape.TRANSPOSE: _transpose,
    shape.EXPAND_DIMS: _along,
    shape.UNSTACK: _along,
    shape.STACK: _joined,
    index.ONE_HOT: _along,
    index.TAKE: _take,
    index.TAKE_ALONG_AXIS: _take_along_axis,
    index.EMBEDDING: _last_axes,
    index.TOP_K: _last_axes,
    linalg.MATMUL: _matmul,
    linalg.EINSUM: _einsum,
    linalg.DENSE: _last_axes,
    SEARCHSORTED: _search,
    COMPLEX: _all_last_axes,
    PARTS: _last_axes,
    fft.FFT: _all_last_axes,
    nn.SPARSE_SOFTMAX_CROSS_ENTROPY: _all_last_axes,
    nn.SOFTMAX_CROSS_ENTROPY: _all_last_axes,
    nn.SIGMOID_CROSS_ENTROPY: _all_last_axes,
    solving.SOLVE: _all_last_axes,
    solving.SOLVE_TRIANGULAR: _all_last_axes,
    solving.DET: _last_axes,
    solving.SLOGDET: _last_axes,
    factorizations.CHOLESKY: _last_axes,
    factorizations.QR: _last_axes,
    factorizations.SVD: _last_axes,
    factorizations.EIGH: _last_axes,
    factorizations.EIG: _last_axes,
    factorizations.LU_FACTOR: _last_axes,
    conv.CONV: _examples,
    conv.DEPTHWISE_CONV: _examples,
    conv_transpose.CONV_TRANSPOSE: _examples,
    pool.MAX_POOL: _examples,
    pool.AVERAGE_POOL: _examples,
}  # fmt: skip

_ALONG: dict[facts.Follows, Rule] = {
    facts.ALONG_AXIS: _along,
    facts.ALONG_AXES: _along,
    facts.ALONG_ONE_AXIS: _along,
    facts.OVER_AXES: _along,
    facts.OVER_AXIS: _along,
    facts.JOINED: _joined,
}
