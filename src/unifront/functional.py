"""The functional API: `Input`, and the calls noted between inputs and outputs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from unifront import tree
from unifront.dtypes import DTypeLike, dtype_of, floatx
from unifront.errors import ArgumentError, DataError, ShapeError
from unifront.ir.dims import Dim, DimExpr, symbol
from unifront.ir.types import TensorType
from unifront.layers.layer import snake_case
from unifront.ops.tensor import Call, Symbolic

BATCH = symbol("batch")


def Input(
    shape: Sequence[int | str | DimExpr | None],
    *,
    name: str | None = None,
    dtype: DTypeLike | None = None,
    batch_size: int | None = None,
) -> Symbolic:
    """A symbolic tensor to build a model from.

    Args:
        shape: sizes without the batch axis. None or a name makes the size free: ``(None, 64)``,
            ``("time", 64)``; a name that several inputs share is the same size in all of them.
        name: how data and errors call it; ``input``, ``input_1`` … unless given.
        dtype: `floatx` unless given.
        batch_size: a fixed batch size; free unless given.

    Raises `ShapeError` for a negative size, or what is no size, name or None.

    Example::

        words = uf.Input((None,), name="words", dtype="int32")  # int32[batch, words_1]
    """
    dims: list[Dim] = [BATCH if batch_size is None else batch_size]
    for axis, size in enumerate(shape, 1):
        if isinstance(size, int | np.integer) and size < 0:
            raise ShapeError(f"Input {name or ''}: the size {size} in {tuple(shape)} is negative.")
        fresh = f"{snake_case(name or 'input').replace('-', '_')}_{axis}"
        if not isinstance(size, int | np.integer | str | DimExpr | None):
            raise ShapeError(f"Input {name or ''}: {size!r} in {tuple(shape)} is not a size, a name or None.")
        dims.append(
            size if isinstance(size, DimExpr)
            else symbol(size) if isinstance(size, str)
            else symbol(fresh) if size is None
            else int(size)
        )  # fmt: skip
    return Symbolic(TensorType(dtype_of(dtype) if dtype else floatx(), tuple(dims)), name or "")


def numbered(structure: Any) -> Any:
    """The same structure with the leaves numbered 0, 1, 2 …"""
    count = itertools.count()
    return tree.map_leaves(lambda _: next(count), structure)


def calls_below(outputs: Sequence[Symbolic], inputs: Sequence[Symbolic]) -> Iterator[Call]:
    """The calls that lead from the inputs to the outputs, each after those it needs; no recursion."""
    done: set[int] = set()
    allowed = {id(leaf) for leaf in inputs}
    stack: list[tuple[Call, bool]] = []

    def push(tensor: Symbolic) -> None:
        if tensor.call is None:
            if id(tensor) not in allowed:
                raise ArgumentError(
                    f"An output depends on the Input {tensor.name or tensor!r}, "
                    "which is not among the model's inputs."
                )
        elif id(tensor.call) not in done:
            stack.append((tensor.call, False))

    for output in outputs:
        push(output)
        while stack:
            call, ready = stack.pop()
            if id(call) in done:
                continue
            if ready:
                done.add(id(call))
                yield call
                continue
            stack.append((call, True))
            for leaf in reversed(tree.leaves([call.args, dict(call.kwargs)])):
                if isinstance(leaf, Symbolic):
                    push(leaf)


def named_types(inputs: Sequence[Symbolic]) -> dict[str, TensorType]:
    """The name and type of each input; unnamed ones are called ``input``, ``input_1`` …"""
    types: dict[str, TensorType] = {}
    for leaf in inputs:
        name, number = leaf.name or "input", 0
        while name in types:
            if leaf.name:
                raise ArgumentError(f"Two inputs are called {leaf.name!r}.")
            number += 1
            name = f"input_{number}"
        types[name] = leaf.type
    return types


def flatten_like(given: Any, structure: Any) -> list[Any]:
    """The leaves of ``given`` in the order of ``structure``; dicts are matched by key."""
    if isinstance(structure, dict) and isinstance(given, dict):
        if set(given) != set(structure):
            raise DataError(
                f"The inputs are a dict with the keys {sorted(structure)}; given were {sorted(given)}."
            )
        return [leaf for key, part in structure.items() for leaf in flatten_like(given[key], part)]
    return tree.leaves(given)
