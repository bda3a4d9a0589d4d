"""What has to be known at import: asked for by name where it comes from inputs, else computed, within bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np

from unifront import ops
from unifront.errors import FileFormatError
from unifront.ir.dims import Dim, DimExpr
from unifront.ir.graph import Graph, map_dims
from unifront.ir.graph import Node as GraphNode
from unifront.ir.graph import Value as GraphValue
from unifront.ir.types import TensorType
from unifront.onnx.imports.values import Narrow, NeedsValue, NotKnown, Parts, Sizes, Value, Weight
from unifront.opset.tensor import Builder, Traced, lift, type_of
from unifront.weights import Variable

COMPUTED = 2**22
"""Elements that one result may have, and that a value may take, which is computed at import."""


class Folding:
    """Finds what values of the graph that ``builder`` writes are.

    Args:
        bind: whether sizes that come from values are named in the graph; else they are asked for (`NeedsValue`).
    """

    def __init__(self, builder: Builder, *, bind: bool) -> None:
        self._builder, self._bind = builder, bind

    def known(self, value: Value, what: str) -> np.ndarray:
        """See `Node.known`."""
        if isinstance(value, np.ndarray):
            return value
        if isinstance(value, Weight):
            return value.array
        if isinstance(value, Narrow):
            return self.known(value.tensor, what)
        if not isinstance(value, Sizes | Traced | Variable):
            raise FileFormatError(
                f"{what} is {'a sequence' if isinstance(value, Parts) else 'left out'}, not a tensor"
            )
        names = self._sources(value, what)
        if names:
            self._ask(names, what)
        return self._computed(value, what)

    def _ask(self, names: Sequence[str], what: str) -> NoReturn:
        listed = ", ".join(map(repr, names))
        raise NeedsValue(
            f"{what} decides what the graph is, so it has to be known at import, but it comes from {listed}. Give "
            f"a value: from_onnx(…, inputs={{{names[0]!r}: array}}), or a shape where sizes are enough.",
            names,
        )

    def dims(self, value: Value, what: str) -> tuple[Dim, ...]:
        """See `Node.dims`."""
        if isinstance(value, Weight):
            value = value.array
        if isinstance(value, Sizes):
            return tuple(value.array.reshape(-1))
        if isinstance(value, np.ndarray):
            return tuple(int(dim) for dim in value.reshape(-1))
        if not isinstance(value, Traced):
            raise FileFormatError(f"{what} is no tensor of sizes")
        names = self._sources(value, what)
        if not names:
            return self.dims(self._computed(value, what), what)
        if not self._bind or not value.type.is_static or value.rank > 1 or not value.dtype.is_integer:
            self._ask(names, what)
        parts = [value] if value.rank == 0 else ops.unstack(value, axis=0)
        return tuple(type_of(ops.bind_size(part)).shape[0] for part in parts)

    def _sources(self, value: Any, what: str) -> list[str]:
        """The model's inputs from which ``value`` is computed."""
        if isinstance(value, Sizes):
            free = set().union(*(dim.symbols() for dim in value.array.flat if isinstance(dim, DimExpr)))
            return self._with_sizes(free, what)
        found: dict[str, None] = {}
        free = set()
        seen: set[GraphValue] = set()
        stack = [(value.value, value.builder)] if isinstance(value, Traced) else []
        makers: dict[int, dict[GraphValue, GraphNode]] = {}
        while stack:
            one, builder = stack.pop()
            if one in seen:
                continue
            seen.add(one)
            made = makers.setdefault(id(builder), {v: node for node in builder.nodes for v in node.outputs})
            if one in made:
                stack += [(operand, builder) for operand in made[one].operands if operand is not None]
                free |= _symbols(made[one])
            elif one in builder.inputs:
                outside = {inner.value: outer for outer, inner in builder.captures.values()}
                if builder is self._builder:
                    found[builder.input_names[builder.inputs.index(one)]] = None
                elif one in outside:
                    stack.append((outside[one].value, outside[one].builder))
                else:
                    raise NotKnown(
                        f"{what} has to be known at import, but changes from step to step of a loop."
                    )
        return list(found) or (self._with_sizes(free, what) if free else [])

    def _with_sizes(self, free: set[str], what: str) -> list[str]:
        """The model's inputs that have one of the sizes ``free``."""
        inputs = zip(self._builder.input_names, self._builder.inputs, strict=True)
        named = [name for name, value in inputs if _mentions(value, free)]
        if not named:
            raise NotKnown(f"{what} has to be known at import, but hangs on sizes that come from values.")
        return named

    def _computed(self, value: Any, what: str) -> np.ndarray:
        """The value of a tensor that hangs on no input."""
        from unifront.reference import BACKEND

        builder = value.builder if isinstance(value, Traced) else self._builder
        wanted = needed(builder.graph([lift(value, builder)]))
        size = work(wanted)
        if size is None or size > COMPUTED:
            raise FileFormatError(
                f"{what} has to be known at import, but computing it takes "
                + (f"{size} numbers" if size is not None else "a loop of unknown length")
                + f"; at most {COMPUTED} are computed then"
            )
        values = [variable.numpy() for variable, _ in builder.variables.values()]
        (array,) = BACKEND.compile(wanted)((), values)
        return np.asarray(array)


def _mentions(value: GraphValue, symbols: set[str]) -> bool:
    type_: TensorType = value.type
    return any(isinstance(dim, DimExpr) and not symbols.isdisjoint(dim.symbols()) for dim in type_.shape)


def _symbols(node: GraphNode) -> set[str]:
    """The sizes that are not known which a node's attributes speak of."""
    found: set[str] = set()

    def seen(dim: Dim) -> Dim:
        if isinstance(dim, DimExpr):
            found.update(dim.symbols())
        return dim

    map_dims(dict(node.attributes), seen)
    return found


def needed(graph: Graph) -> Graph:
    """``graph`` without inputs, of which nothing that is asked for depends on one."""
    wanted = set(graph.outputs)
    kept = []
    for node in reversed(graph.nodes):
        if not wanted.isdisjoint(node.outputs):
            kept.append(node)
            wanted.update(value for value in node.operands if value is not None)
    return replace(graph, inputs=(), input_names=(), nodes=tuple(reversed(kept)))


def work(graph: Graph) -> int | None:
    """How many elements are made when ``graph`` is run; None where that cannot be told."""
    total = 0
    for node in graph.nodes:
        sizes: list[Any] = [math.prod(value.type.shape) for value in node.outputs]
        steps: Any = 1
        if node.regions:
            inner = [work(region) for region in node.regions]
            if node.op.name == "scan":
                steps = max(
                    (v.type.shape[0] for v in node.operands if v is not None and v.type.shape), default=1
                )
            elif node.op.name != "cond":
                return None
            sizes += [None if one is None else one * steps for one in inner]
        if not all(isinstance(size, int) for size in sizes):
            return None
        total += sum(sizes)
    return total
