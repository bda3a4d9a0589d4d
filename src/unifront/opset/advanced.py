"""Indexing with integer tensors, as NumPy's advanced indexing."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from unifront.dtypes import int32
from unifront.ir.dims import DimExpr
from unifront.opset import comparison, creation, index
from unifront.opset import elementwise as e
from unifront.opset.shape import moveaxis, reshape, transpose
from unifront.opset.slicing import get_item
from unifront.opset.tensor import type_of


def take_at(x: Any, items: list[Any]) -> Any:
    """``x[items]``, where each axis has its entry (there is no Ellipsis), and at least one is an integer tensor."""
    arrays = [item is not None and not isinstance(item, slice) for item in items]
    # First the slices and new axes alone; every entry of theirs, and every tensor's, is then one axis.
    x = get_item(x, tuple(slice(None) if array else item for item, array in zip(items, arrays, strict=True)))
    axes = [axis for axis, array in enumerate(arrays) if array]
    if len(axes) == 1:
        (place,) = (item for item, array in zip(items, arrays, strict=True) if array)
        return index.take(x, place, axes[0])
    places = [item for item, array in zip(items, arrays, strict=True) if array]
    together = all(b == a + 1 for a, b in pairwise(axes))
    shape = type_of(x).shape
    front = transpose(x, [*axes, *(axis for axis in range(len(shape)) if axis not in axes)])
    lengths = [shape[axis] for axis in axes]
    rest = type_of(front).shape[len(axes) :]
    flat = reshape(front, (math.prod(lengths), *rest))
    found: Any = None
    for place, length in zip(places, lengths, strict=True):
        size = creation.full((), length, int32, like=x if isinstance(length, DimExpr) else None)
        if isinstance(place, DimExpr):
            place = creation.full((), place, int32, like=x)
        place = index.whole_numbers("get_item", place)
        place = e.where(comparison.less(place, 0), e.add(place, size), place)
        found = place if found is None else e.add(e.multiply(found, size), place)
    taken = index.take(flat, found, 0)
    if not together:
        return taken
    rank = type_of(found).rank
    return moveaxis(taken, tuple(range(rank)), tuple(range(axes[0], axes[0] + rank)))
