"""The graph: frozen, in SSA form.

A `Graph` takes ``inputs`` and ``variables``, runs ``nodes`` in order and gives ``outputs``. Every node
defines new values; nothing is ever changed in place. Values and nodes are compared by identity, graphs by
what they do: two are equal if they are the same but for the numbers of their values.
Regions (the bodies of ``cond``, ``scan`` …) are closed graphs: what they need from outside comes in as operands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from unifront.ir.dims import Dim, substitute
from unifront.ir.facts import Facts
from unifront.ir.types import TensorType, symbols_of


class Op(Protocol):
    """What the IR knows of an operation; `unifront.opset.spec.OpSpec` is the one class that fits."""

    @property
    def name(self) -> str: ...

    @property
    def facts(self) -> Facts: ...

    def infer(
        self, *types: TensorType | None, regions: tuple[Graph, ...] = (), **attributes: Any
    ) -> tuple[TensorType, ...]: ...


@dataclass(frozen=True, eq=False, slots=True)
class Value:
    """One SSA value: a number that is unique in its graph, by which texts call it, and a type."""

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


@dataclass(frozen=True, eq=False)
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

    @classmethod
    def typed(
        cls,
        op: Op,
        operands: tuple[Value | None, ...],
        attributes: Mapping[str, Any],
        regions: tuple[Graph, ...],
        name: str,
        new: Callable[[TensorType], Value],
    ) -> Node:
        """A node whose outputs are ``new`` values of the types that the type rule gives; raises as the rule does."""
        bare = cls(op, operands, (), attributes, regions, name)
        node = cls(op, operands, tuple(map(new, bare.infer())), attributes, regions, name)
        object.__setattr__(node, "_sound", True)
        return node

    def on(self, operands: tuple[Value | None, ...], outputs: tuple[Value, ...]) -> Node:
        """The same operation on other values."""
        node = Node(self.op, operands, outputs, self.attributes, self.regions, self.name)
        pairs = zip((*self.operands, *self.outputs), (*operands, *outputs), strict=True)
        if self.is_sound and all(a is b or (a and b and a.type is b.type) for a, b in pairs):
            object.__setattr__(node, "_sound", True)
        return node

    @property
    def is_sound(self) -> bool:
        """Whether the outputs are known to be of the types of the type rule, which it says once for all."""
        return "_sound" in self.__dict__

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_sound"}

    def where(self) -> str:
        """How errors name this node."""
        return f"{self.name or 'graph'}: {self.op.name}"


@dataclass(frozen=True, eq=False)
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

    def __eq__(self, other: object) -> bool:
        """Whether ``other`` is the same graph but for the numbers of its values."""
        return isinstance(other, Graph) and (self is other or _same(self, other))

    def __hash__(self) -> int:
        return hash((self.name, self.input_names, self.output_names, len(self.variables), len(self.nodes)))

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
        """The same graph, values numbered in the order of definition, in bodies too."""
        regions = [tuple(region.renumbered() for region in node.regions) for node in self.nodes]
        new = [Value(number, value.type) for number, value in enumerate(self.values())]
        if all(a.id == b.id for a, b in zip(self.values(), new, strict=True)) and all(
            a is b
            for node, own in zip(self.nodes, regions, strict=True)
            for a, b in zip(node.regions, own, strict=True)
        ):
            return self
        changed = self.with_values(dict(zip(self.values(), new, strict=True)).__getitem__)
        nodes = (
            replace(node, regions=own) if own else node
            for node, own in zip(changed.nodes, regions, strict=True)
        )
        return replace(changed, nodes=tuple(nodes))

    def with_values(self, change: Callable[[Value], Value]) -> Graph:
        """This graph with every value replaced by ``change(value)``, which is asked once for each."""
        new: dict[Value, Value] = {}

        def now(value: Value) -> Value:
            found = new.get(value)
            if found is None:
                found = new[value] = change(value)
            return found

        def all_of(values: tuple[Value | None, ...]) -> tuple[Any, ...]:
            return tuple([None if value is None else now(value) for value in values])

        return replace(
            self,
            inputs=all_of(self.inputs),
            variables=tuple([Variable(v.name, now(v.value), v.trainable) for v in self.variables]),
            nodes=tuple([node.on(all_of(node.operands), all_of(node.outputs)) for node in self.nodes]),
            outputs=all_of(self.outputs),
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


def _same(a: Graph, b: Graph) -> bool:
    """Whether two graphs are equal, value for value in the order of definition."""
    pairs = dict(zip(a.values(), b.values(), strict=False))

    def same(ours: Sequence[Value | None], theirs: Sequence[Value | None]) -> bool:
        return len(ours) == len(theirs) and all(
            (x is None and y is None) or (x in pairs and pairs[x] is y)
            for x, y in zip(ours, theirs, strict=True)
        )

    def heads(graph: Graph) -> tuple[Any, ...]:
        weights = [(variable.name, variable.trainable) for variable in graph.variables]
        return graph.name, graph.input_names, graph.output_names, weights, len(graph.nodes)

    return (
        heads(a) == heads(b)
        and len(a.inputs) == len(b.inputs)
        and all(x.type == y.type for x, y in pairs.items())
        and all(
            x.op is y.op
            and x.name == y.name
            and same(x.operands, y.operands)
            and same(x.outputs, y.outputs)
            and dict(x.attributes) == dict(y.attributes)
            and x.regions == y.regions
            for x, y in zip(a.nodes, b.nodes, strict=True)
        )
        and same(a.outputs, b.outputs)
    )


def bound_symbol(node: Node) -> str | None:
    """The symbol that ``node`` names, whose size is read from its result; None for all but ``bind_size``."""
    return str(node.attributes["size"]) if node.op.name == "bind_size" else None


def symbols_in(attributes: Mapping[str, Any]) -> frozenset[str]:
    """The names of the symbols in attributes."""
    found: set[str] = set()

    def note(dim: Dim) -> Dim:
        found.update(dim.symbols())  # type: ignore[union-attr]  # it is asked for expressions alone
        return dim

    map_dims(dict(attributes), note)
    return frozenset(found)


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
