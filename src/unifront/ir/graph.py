"""The graph: frozen, in SSA form.

A `Graph` takes ``inputs`` and ``variables``, runs ``nodes`` in order and gives ``outputs``. Every node
defines new values; nothing is ever changed in place. Regions (the bodies of ``cond``, ``scan`` …) are
closed graphs: what they need from outside comes in as operands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from unifront.ir.dims import Dim, substitute
from unifront.ir.types import TensorType, symbols_of


class Op(Protocol):
    """What the IR knows of an operation; `unifront.opset.spec.OpSpec` is the one class that fits."""

    @property
    def name(self) -> str: ...

    def infer(
        self, *types: TensorType | None, regions: tuple[Graph, ...] = (), **attributes: Any
    ) -> tuple[TensorType, ...]: ...


@dataclass(frozen=True)
class Value:
    """One SSA value: a number that is unique in its graph, and a type."""

    id: int
    type: TensorType

    def __str__(self) -> str:
        return f"%{self.id}"


@dataclass(frozen=True)
class Variable:
    """A graph's view of a weight: its path (``encoder/dense/kernel``), its value, whether it trains."""

    name: str
    value: Value
    trainable: bool = True


@dataclass(frozen=True)
class Literal:
    """An array as an attribute: hashable, compared by dtype, shape and bytes."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes = field(repr=False)

    @classmethod
    def of(cls, array: np.ndarray) -> Literal:
        native = np.asarray(array, array.dtype.newbyteorder("="))
        return cls(native.dtype.name, native.shape, native.tobytes())

    def numpy(self) -> np.ndarray:
        from unifront.dtypes import dtype_of

        return np.frombuffer(self.data, dtype_of(self.dtype).numpy).reshape(self.shape)


@dataclass(frozen=True)
class Node:
    """One operation. ``name`` is the path of the layer that made it and survives every pass."""

    op: Op
    operands: tuple[Value | None, ...]
    outputs: tuple[Value, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    regions: tuple[Graph, ...] = ()
    name: str = ""

    def infer(self) -> tuple[TensorType, ...]:
        """The output types that the operation's type rule gives for these operands."""
        types = (None if value is None else value.type for value in self.operands)
        extra = {"regions": self.regions} if self.regions else {}
        return self.op.infer(*types, **extra, **self.attributes)

    def where(self) -> str:
        """How errors name this node."""
        return f"{self.name or 'graph'}: {self.op.name}"


@dataclass(frozen=True)
class Graph:
    """See the module. ``input_names`` and ``output_names`` are what a user calls them."""

    name: str
    inputs: tuple[Value, ...]
    variables: tuple[Variable, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Value, ...]
    input_names: tuple[str, ...] = ()
    output_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.input_names) != len(self.inputs):
            object.__setattr__(self, "input_names", tuple(f"input_{i}" for i in range(len(self.inputs))))
        if len(self.output_names) != len(self.outputs):
            object.__setattr__(self, "output_names", tuple(f"output_{i}" for i in range(len(self.outputs))))

    @property
    def takes_key(self) -> bool:
        """Whether an input is a random key."""
        return any(value.type.dtype.kind == "k" for value in self.inputs)

    @property
    def data_inputs(self) -> dict[str, Value]:
        """The inputs by name, without a random key."""
        named = zip(self.input_names, self.inputs, strict=True)
        return {name: value for name, value in named if value.type.dtype.kind != "k"}

    def __str__(self) -> str:
        from unifront.ir.text import print_graph

        return print_graph(self)

    @property
    def symbols(self) -> frozenset[str]:
        """The names of the symbolic dimensions of the inputs."""
        return symbols_of(*(value.type for value in self.inputs))

    def values(self) -> Iterator[Value]:
        """Every value, in the order of definition."""
        yield from self.inputs
        for variable in self.variables:
            yield variable.value
        for node in self.nodes:
            yield from node.outputs

    def users(self) -> dict[Value, list[tuple[Node, int]]]:
        """For each value the nodes that read it, with the operand's position."""
        found: dict[Value, list[tuple[Node, int]]] = {}
        for node in self.nodes:
            for position, value in enumerate(node.operands):
                if value is not None:
                    found.setdefault(value, []).append((node, position))
        return found

    def producers(self) -> dict[Value, Node]:
        """For each value that a node makes, that node."""
        return {value: node for node in self.nodes for value in node.outputs}

    def renumbered(self) -> Graph:
        """The same graph, values numbered in the order of definition, so that equal graphs compare equal."""
        new = {value: Value(number, value.type) for number, value in enumerate(self.values())}
        changed = self.with_values(lambda value: new[value])
        return replace(changed, nodes=tuple(map(_with_renumbered_regions, changed.nodes)))

    def with_values(self, change: Callable[[Value], Value]) -> Graph:
        """This graph with every value replaced by ``change(value)``."""
        return replace(
            self,
            inputs=tuple(map(change, self.inputs)),
            variables=tuple(replace(v, value=change(v.value)) for v in self.variables),
            nodes=tuple(
                replace(
                    node,
                    operands=tuple(None if v is None else change(v) for v in node.operands),
                    outputs=tuple(map(change, node.outputs)),
                )
                for node in self.nodes
            ),
            outputs=tuple(map(change, self.outputs)),
        )

    def bind_symbols(self, sizes: Mapping[str, Dim]) -> Graph:
        """This graph with symbolic dimensions replaced, in types, attributes and regions."""

        def type_of(type_: TensorType) -> TensorType:
            return type_.with_shape(tuple(substitute(dim, sizes) for dim in type_.shape))

        changed = self.with_values(lambda value: Value(value.id, type_of(value.type)))
        return replace(
            changed,
            nodes=tuple(
                replace(
                    node,
                    attributes=map_dims(dict(node.attributes), lambda dim: substitute(dim, sizes)),
                    regions=tuple(region.bind_symbols(sizes) for region in node.regions),
                )
                for node in changed.nodes
            ),
        )


def _with_renumbered_regions(node: Node) -> Node:
    return (
        replace(node, regions=tuple(region.renumbered() for region in node.regions)) if node.regions else node
    )


def map_dims(attribute: Any, change: Callable[[Dim], Dim]) -> Any:
    """An attribute with every symbolic dimension inside it replaced by ``change(dim)``."""
    from unifront.ir.dims import DimExpr

    match attribute:
        case DimExpr():
            return change(attribute)
        case tuple():
            return tuple(map_dims(item, change) for item in attribute)
        case dict():
            return {name: map_dims(item, change) for name, item in attribute.items()}
    return attribute
