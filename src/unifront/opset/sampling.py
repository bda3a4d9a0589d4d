"""Random inputs that a graph takes, for those who try it before anybody has data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from unifront.dtypes import bool_, key
from unifront.ir.graph import Graph, Node

FREE_SIZES = (7, 16, 64, 256)
"""Where free sizes begin, to be tried in order until the model takes them; each is one larger than the one before."""
LARGE = 2**16
"""Elements of an example from which one is enough."""
TABLES = {"embedding": 1, "take": 0, "take_along_axis": 0}
"""Operations that read rows by number, and the operand that holds the rows."""


def random_inputs(graph: Graph, first: int, batch: int | None = None) -> list[np.ndarray]:
    """Floats around zero; integers that are rows of every table.

    Args:
        first: the least of the free sizes.
        batch: the size of the first axis of the first input, where that is free; two unless given, or one of large
            examples.
    """
    rng = np.random.default_rng(0)
    free = {name: first + i for i, name in enumerate(sorted(graph.symbols))}
    wanted = [value for value in graph.inputs if value.type.dtype != key]
    if wanted and wanted[0].type.rank:
        example = [_size(dim, free) for dim in wanted[0].type.shape[1:]]
        free[str(wanted[0].type.shape[0])] = batch or (
            1 if np.prod(example) > LARGE else 2
        )  # most often the batch
    rows = min(_rows(graph), default=2)
    found = []
    for value in wanted:
        shape, dtype = [_size(dim, free) for dim in value.type.shape], value.type.dtype
        random = (
            rng.normal(size=shape)
            if dtype.is_float
            else rng.integers(0, 2 if dtype == bool_ else rows, shape)
        )
        found.append(np.asarray(random, dtype.numpy))
    return found


def free_sizes(graph: Graph) -> frozenset[str]:
    """The names of its free sizes but the first axis of the first input, which most often is the batch."""
    first = next((value.type for value in graph.inputs if value.type.rank), None)
    return frozenset(graph.symbols) - {str(first.shape[0]) if first is not None else ""}


def _size(dim: Any, free: Mapping[str, int]) -> int:
    return dim if isinstance(dim, int) else int(dim.substitute(free))


def _rows(graph: Graph) -> Iterator[int]:
    """The sizes of the tables of which a model's inputs may name rows."""
    for node in nodes_of(graph):
        table = node.operands[TABLES[node.op.name]] if node.op.name in TABLES else None
        size = table.type.shape[node.attributes.get("axis", 0)] if table is not None else None
        if isinstance(size, int) and size > 0:
            yield size


def nodes_of(graph: Graph) -> Iterator[Node]:
    """The nodes, those of bodies too."""
    for node in graph.nodes:
        yield node
        for region in node.regions:
            yield from nodes_of(region)
