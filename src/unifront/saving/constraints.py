"""The constraints of weights in a ``.uf`` file: a graph of the weights, whose outputs are what they become."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from unifront.errors import FileFormatError
from unifront.graph_model import Penalty
from unifront.graph_parts import Part, reaching
from unifront.ir.graph import Graph
from unifront.layers.constraints import constrained
from unifront.opset.tensor import Builder, building, lift
from unifront.weights import Variable


def graph_of(weights: Iterable[Variable], paths: Mapping[int, str]) -> Graph:
    """The graph, an output for each of ``weights`` that has a constraint, called as the weight."""
    builder = Builder("constraints")
    known = [weight for weight in weights if weight.constraint is not None]
    with building(builder):
        news = [
            lift(constrained(weight.constraint, weight), builder) for weight in known if weight.constraint
        ]
    graph = builder.graph(news, [paths[id(weight)] for weight in known])
    seen = zip(graph.variables, builder.variables.values(), strict=True)
    named = tuple(replace(variable, name=paths[id(own)]) for variable, (own, _) in seen)
    return replace(graph, variables=named)


def give(graph: Graph, variables: Mapping[str, Variable]) -> None:
    """Give ``variables`` the constraints in ``graph``; `FileFormatError` if it does not fit them."""
    if graph.inputs or len(graph.output_names) != len(graph.outputs):
        raise FileFormatError("the graph of the constraints has inputs, or outputs without names")
    types = {seen.name: seen.value.type for seen in graph.variables}
    for path, value in zip(graph.output_names, graph.outputs, strict=True):
        if path not in variables or not variables[path].type == types.get(path) == value.type:
            raise FileFormatError(f"{path[:80]!r} has a constraint, but is no weight of its type")
        variables[path].constraint = _rule(graph, path, value)


def _rule(graph: Graph, path: str, value: Any) -> Penalty:
    return Penalty(reaching(Part(graph, (), 0, ()), path, value, "constraint"))
