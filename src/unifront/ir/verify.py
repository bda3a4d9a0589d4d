"""The rules every graph obeys; `verify` names the first one that is broken."""

from __future__ import annotations

from collections import Counter

from unifront.errors import GraphError, UnifrontError
from unifront.ir.graph import Graph, Node, Value, bound_symbol

# What a type rule raises for operands it was not written for, such as an absent one in a graph from a file.
_BROKEN = (UnifrontError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def verify(graph: Graph) -> Graph:
    """Check ``graph`` and give it back; raises `GraphError` naming the node, the rule and what was found.

    Values are defined once and before use, names of inputs, outputs and variables are unique, every
    node's output types are what its operation's type rule says, and the same holds in every region.
    """
    defined: set[Value] = set()
    sizes: set[str] = set(graph.symbols)
    ids: set[int] = set()

    def define(value: Value, where: str) -> None:
        if value.id in ids:
            raise GraphError(f"{where}: the value {value} is defined twice in graph {graph.name!r}.")
        ids.add(value.id)
        defined.add(value)

    for names, kind in (
        (graph.input_names, "input"),
        (graph.output_names, "output"),
        ([variable.name for variable in graph.variables], "variable"),
    ):
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise GraphError(f"Graph {graph.name!r} has two {kind}s called {twice[0]!r}.")
    for value, name in zip(graph.inputs, graph.input_names, strict=True):
        define(value, f"input {name!r}")
    for variable in graph.variables:
        define(variable.value, f"variable {variable.name!r}")
        if not variable.value.type.is_static:
            raise GraphError(f"Variable {variable.name!r} has the symbolic type {variable.value.type}.")
    for node in graph.nodes:
        for operand in node.operands:
            if operand is not None and operand not in defined:
                raise GraphError(f"{node.where()}: the operand {operand} is used before it is defined.")
        for region in node.regions:
            verify(region)
            if region.variables:
                raise GraphError(
                    f"{node.where()}: its region {region.name!r} has variables; pass them as operands."
                )
        if not node.is_sound:
            _check_types(node)
        for value in node.outputs:
            define(value, node.where())
        size = bound_symbol(node)
        if size in sizes:
            raise GraphError(f"{node.where()}: the size {size} has a value already in graph {graph.name!r}.")
        if size is not None:
            sizes.add(size)
    for value, name in zip(graph.outputs, graph.output_names, strict=True):
        if value not in defined:
            raise GraphError(
                f"The output {name!r} of graph {graph.name!r} is {value}, which nothing defines."
            )
    return graph


def _check_types(node: Node) -> None:
    try:
        types = node.infer()
    except _BROKEN as error:
        raise GraphError(f"{node.where()}: {error}") from error
    found = tuple(value.type for value in node.outputs)
    if types != found:
        raise GraphError(f"{node.where()}: the outputs are {list(found)}, the type rule says {list(types)}.")
    object.__setattr__(node, "_sound", True)
