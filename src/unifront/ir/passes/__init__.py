"""Rewriting graphs: a pass is a pure function from a graph to one that does the same, and is checked.

    from unifront.ir import passes

    graph = passes.run(graph, passes.standard(OPS, evaluate))

One pass to a file. `fold_batch_norm` takes and gives weights too, so it stands apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from unifront.errors import GraphError
from unifront.ir.graph import Graph, Op
from unifront.ir.passes.channels_first import channels_first
from unifront.ir.passes.common_subexpressions import common_subexpressions
from unifront.ir.passes.dead_code import dead_code, unused_variables
from unifront.ir.passes.fold_batch_norm import fold_batch_norm
from unifront.ir.passes.fold_constants import Evaluate, fold_constants
from unifront.ir.passes.fold_padding import fold_padding
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
        function: the rewriting itself.
        changes: the entries of `CONTRACT` that it may change.
    """

    name: str
    function: Callable[[Graph], Graph]
    changes: frozenset[str] = frozenset()

    def __call__(self, graph: Graph) -> Graph:
        """The graph rewritten and verified; `GraphError` if the pass did not keep to its contract."""
        after = self.function(graph)
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
        try:
            return verify(after)
        except GraphError as error:
            raise GraphError(f"The pass {self.name!r} broke graph {graph.name!r}: {error}") from error


def registry(ops: Mapping[str, Op], evaluate: Evaluate) -> dict[str, Pass]:
    """Every pass by name.

    Args:
        ops: operations by name, for the nodes that passes add.
        evaluate: ``(node, arrays) -> arrays``, for `fold_constants`; ``unifront.reference.evaluate`` is one.
    """
    found = (
        Pass("simplify_layout", partial(simplify_layout, ops=ops)),
        Pass("fold_constants", partial(fold_constants, ops=ops, evaluate=evaluate)),
        Pass("common_subexpressions", common_subexpressions),
        Pass("dead_code", dead_code),
        Pass("fold_padding", fold_padding),
        Pass("channels_first", partial(channels_first, ops=ops)),
        Pass("unused_variables", unused_variables, frozenset({"variables"})),
    )
    return {one.name: one for one in found}


def standard(ops: Mapping[str, Op], evaluate: Evaluate) -> tuple[Pass, ...]:
    """The passes that do any graph good, in order."""
    table = registry(ops, evaluate)
    order = ("simplify_layout", "fold_constants", "common_subexpressions", "dead_code")
    return tuple(table[name] for name in order)


def run(graph: Graph, passes: Iterable[Pass]) -> Graph:
    """``graph`` after all ``passes``, each checked."""
    for one in passes:
        graph = one(graph)
    return graph


__all__ = [
    "CONTRACT", "Evaluate", "Pass", "channels_first", "common_subexpressions", "dead_code", "fold_batch_norm",
    "fold_constants", "fold_padding", "registry", "run", "simplify_layout", "standard", "unused_variables",
]  # fmt: skip
