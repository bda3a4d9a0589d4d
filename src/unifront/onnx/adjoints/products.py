"""The rules of products of matrices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unifront.onnx.adjoints.reverse import Rule, Written, fitted
from unifront.opset import linalg as a
from unifront.opset import shape as s
from unifront.opset.spec import OpSpec
from unifront.opset.tensor import bind, type_of


def _turned(x: Any) -> Any:
    rank = type_of(x).rank
    return s.transpose(x, [*range(rank - 2), rank - 1, rank - 2])


def _rows(x: Any) -> Any:
    """All but the last axis of ``x`` joined."""
    shape = type_of(x).shape
    count: Any = 1
    for dim in shape[:-1]:
        count = count * dim
    return s.reshape(x, (count, shape[-1]))


def _matmul(w: Written, g: Any) -> Any:
    x, y = w.operands
    ranks = type_of(x).rank, type_of(y).rank
    wide_x = s.expand_dims(x, 0) if ranks[0] == 1 else x
    wide_y = s.expand_dims(y, 1) if ranks[1] == 1 else y
    if ranks[1] == 1:
        g = s.expand_dims(g, type_of(g).rank)
    if ranks[0] == 1:
        g = s.expand_dims(g, type_of(g).rank - 1)
    of_x = a.matmul(g, _turned(wide_y)) if w.wanted[0] else None
    if not w.wanted[1]:
        of_y = None
    elif ranks[1] <= 2:  # one matrix for all of a batch
        of_y = a.matmul(_turned(_rows(wide_x)), _rows(g))
    else:
        of_y = a.matmul(_turned(wide_x), g)
    return _shaped(of_x, wide_x, x), _shaped(of_y, wide_y, y)


def _shaped(gradient: Any, wide: Any, x: Any) -> Any:
    return None if gradient is None else s.reshape(fitted(gradient, wide), type_of(x).shape)


def _einsum(w: Written, g: Any) -> Any:
    left, _, result = w["equation"].partition("->")
    terms = left.split(",")
    found: list[Any] = []
    for i, (term, x, asks) in enumerate(zip(terms, w.operands, w.wanted, strict=True)):
        if not asks:
            found.append(None)
            continue
        if len(set(term)) < len(term):
            raise w.fail(f"the diagonal {term!r} of the equation {w['equation']!r}")
        others = [one for k, one in enumerate(w.operands) if k != i]
        known = [result, *(one for k, one in enumerate(terms) if k != i)]
        there = [label for label in term if any(label in one for one in known)]
        part = bind(a.EINSUM, g, *others, equation=f"{','.join(known)}->{''.join(there)}")
        shape = type_of(x).shape
        part = s.expand_dims(part, [k for k, label in enumerate(term) if label not in there])
        found.append(s.broadcast_to(part, shape))
    return found


TABLE: Mapping[OpSpec, Rule] = {a.MATMUL: _matmul, a.EINSUM: _einsum}
