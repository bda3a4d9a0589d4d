"""Rewriting graphs: a pass is a pure function from a graph to one that does the same, and is checked.

    from unifront.ir import passes

    graph, values, changed = passes.run(graph, values, passes.standard(OPS, evaluate))

``values`` are the arrays of the graph's variables by name, as far as they are known: none, if they are not to
be looked at. One pass to a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from unifront.errors import GraphError
from unifront.ir.graph import Graph, Op
from unifront.ir.passes.channels_first import channels_first
from unifront.ir.passes.common_subexpressions import common_subexpressions
from unifront.ir.passes.dead_code import dead_code, unused_variables
from unifront.ir.passes.fold_batch_norm import fold_batch_norm
from unifront.ir.passes.fold_constants import Evaluate, fold_constants
from unifront.ir.passes.fold_padding import fold_padding
from unifront.ir.passes.mixed_precision import mixed_precision
from unifront.ir.passes.rewrite import Result, Values
from unifront.ir.passes.simplify_layout import simplify_layout
from unifront.ir.verify import verify

CONTRACT: dict[str, Callable[[Graph], Any]] = {
    "name": lambda graph: graph.name,
    "inputs": lambda graph: [(n, v.type) for n, v in zip(graph.input_names, graph.inputs, strict=True)],
    "outputs": lambda graph: [(n, v.type) for n, v in zip(graph.output_names, graph.outputs, strict=True)],
    "variables": lambda graph: [(v.name, v.value.type, v.trainable) for v in graph.variables],
}
"""What stays the same through a pass."""


@dataclass(frozen=True)
class Pass:
    """A pass whose contract is checked each time it runs.

    Args:
        name: for errors.
        function: the rewriting itself, ``(graph, values) -> (graph, values, changed)``. If it says that it
            changed nothing, it gives the very graph that it was given.
        changes: the entries of `CONTRACT` that it may change.
    """

    name: str
    function: Callable[[Graph, Values], Result]
    changes: frozenset[str] = frozenset()

    def __call__(self, graph: Graph, values: Values = MappingProxyType({})) -> Result:
        """The graph rewritten and verified; `GraphError` if the pass did not keep to its contract."""
        after, arrays, changed = self.function(graph, values)
        if not changed:
            if after is not graph or arrays is not values:
                raise GraphError(
                    f"The pass {self.name!r} says that it left graph {graph.name!r} as it was, but did not."
                )
            return graph, values, False
        for part in CONTRACT.keys() - self.changes:
            old, new = CONTRACT[part](graph), CONTRACT[part](after)
            if old != new:
                raise GraphError(
                    f"The pass {self.name!r} changed the {part} of graph {graph.name!r} from {old} to {new}."
                )
        strange = {node.name for node in after.nodes} - {node.name for node in graph.nodes}
        if strange:
            raise GraphError(
                f"The pass {self.name!r} made up the layer name {min(strange)!r} in graph {graph.name!r}."
            )
        unknown = arrays.keys() - values.keys() - {variable.name for variable in after.variables}
        if unknown:
            raise GraphError(
                f"The pass {self.name!r} gives the value of {min(unknown)!r}, which graph {graph.name!r} has not."
            )
        try:
            return verify(after), arrays, True
        except GraphError as error:
            raise GraphError(f"The pass {self.name!r} broke graph {graph.name!r}: {error}") from error


def on_graph(function: Callable[[Graph], Graph]) -> Callable[[Graph, Values], Result]:
    """The pass of a function that looks at the graph alone, and gives it itself where there is nothing to do."""

    def rewrite(graph: Graph, values: Values) -> Result:
        after = function(graph)
        return after, values, after is not graph

    return rewrite


def registry(ops: Mapping[str, Op], evaluate: Evaluate) -> dict[str, Pass]:
    """Every pass by name.

    Args:
        ops: operations by name, for the nodes that passes add.
        evaluate: ``(node, arrays) -> arrays``, for `fold_constants`; ``unifront.reference.evaluate`` is one.
    """
    found = (
        Pass("mixed_precision", partial(mixed_precision, ops=ops)),
        Pass("simplify_layout", partial(simplify_layout, ops=ops)),
        Pass("fold_constants", partial(fold_constants, ops=ops, evaluate=evaluate)),
        Pass("common_subexpressions", common_subexpressions),
        Pass("dead_code", dead_code),
        Pass("fold_batch_norm", fold_batch_norm, frozenset({"variables"})),
        Pass("fold_padding", fold_padding),
        Pass("channels_first", partial(channels_first, ops=ops)),
        Pass("unused_variables", unused_variables, frozenset({"variables"})),
    )
    return {one.name: one for one in found}


def standard(ops: Mapping[str, Op], evaluate: Evaluate) -> tuple[Pass, ...]:
    """The passes that do any graph good, in order."""
    table = registry(ops, evaluate)
    order = (
        "mixed_precision", "fold_padding", "simplify_layout", "fold_constants", "common_subexpressions", "dead_code",
    )  # fmt: skip
    return tuple(table[name] for name in order)


ROUNDS = 100
"""How often `run` asks one pass at most."""


def run(graph: Graph, values: Values, passes: Iterable[Pass]) -> Result:
    """``graph`` after all ``passes``, each checked, in order and again until none of them changes anything.

    A pass is asked again only if another one changed something since. Values come out numbered in order.

    Raises `GraphError` if a pass breaks its contract, or if two undo one another for ever.
    """
    order = list(passes)
    first, settled = graph, 0
    for turn in range(ROUNDS * len(order)):
        if settled >= len(order):
            break
        graph, values, changed = order[turn % len(order)](graph, values)
        # What it has just done, a pass finds done: only the others have to look again.
        settled = 1 if changed else settled + 1
    else:
        if settled < len(order):
            names = ", ".join(one.name for one in order)
            raise GraphError(
                f"The passes {names} come to no end on graph {graph.name!r}: two undo one another."
            )
    return graph.renumbered(), values, graph is not first


__all__ = [
    "CONTRACT", "Evaluate", "Pass", "Result", "Values", "channels_first", "common_subexpressions", "dead_code",
    "fold_batch_norm", "fold_constants", "fold_padding", "mixed_precision", "on_graph", "registry", "run",
    "simplify_layout", "standard", "unused_variables",
]  # fmt: skip
