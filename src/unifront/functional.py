"""The functional API: the calls noted between inputs and outputs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from unifront import tree
from unifront.errors import ArgumentError, DataError
from unifront.ir.types import TensorType
from unifront.layers.input import InputTensor
from unifront.opset.tensor import Call, Symbolic


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


@dataclass(frozen=True)
class Place:
    """A tensor in a list of calls: the ``index``-th result of the call ``number``."""

    number: int
    index: int
    type: TensorType
    name: str


Listed = tuple[list[tuple[Any, Any, Any]], Any]


def listed(calls: Sequence[Call], tensors: Any) -> Listed:
    """The calls, each after those it needs, and a structure of their tensors, without references from one to
    another: to copy or pickle, which would follow them as deep as the model is."""
    numbers = {id(call): number for number, call in enumerate(calls)}

    def place(leaf: Any) -> Any:
        if not isinstance(leaf, Symbolic) or leaf.call is None:
            return leaf
        return Place(numbers[id(leaf.call)], leaf.index, leaf.type, leaf.name)

    flat = [
        (call.function, tree.map_leaves(place, call.args), tree.map_leaves(place, dict(call.kwargs)))
        for call in calls
    ]
    return flat, tree.map_leaves(place, tensors)


def unlisted(given: Listed) -> tuple[list[Call], Any]:
    """The calls and tensors that `listed` was given."""
    calls: list[Call] = []
    known: dict[tuple[int, int], Symbolic] = {}

    def tensor(leaf: Any) -> Any:
        if not isinstance(leaf, Place):
            return leaf
        place = (leaf.number, leaf.index)
        if place not in known:
            known[place] = Symbolic(leaf.type, leaf.name, calls[leaf.number], leaf.index)
        return known[place]

    flat, tensors = given
    for function, args, kwargs in flat:
        calls.append(Call(function, tree.map_leaves(tensor, args), tree.map_leaves(tensor, kwargs)))
    return calls, tree.map_leaves(tensor, tensors)


def named_types(inputs: Sequence[InputTensor], keys: Sequence[str] = ()) -> dict[str, TensorType]:
    """The name and type of each input; unnamed ones are called as in ``keys``, or ``input``, ``input_1`` …"""
    types: dict[str, TensorType] = {}
    for i, leaf in enumerate(inputs):
        own = leaf.name or (keys[i] if keys else "")
        name, number = own or "input", 0
        while name in types:
            if own:
                raise ArgumentError(f"Two inputs are called {own!r}.")
            number += 1
            name = f"input_{number}"
        types[name] = leaf.type_as(name)
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
