"""A model that is its two graphs: what `unifront.load` gives."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unifront import ops, tree
from unifront.errors import ArgumentError, ShapeError
from unifront.ir.dims import Dim, solve, symbol
from unifront.ir.graph import Graph
from unifront.ir.types import TensorType
from unifront.model import Model
from unifront.opset.replay import inline
from unifront.opset.spec import OPS
from unifront.opset.tensor import CONSTANT, backend_of_arrays, bind, builder_of, lift, type_of
from unifront.trace import Tracing, current_context
from unifront.weights import Variable


@dataclass(frozen=True)
class Saved:
    """A graph as it stands in a file: its outputs are ``outputs, masks, losses, new values``.

    Args:
        graph: with a random key as its last input when it is for training, or if it draws.
        masks: the numbers of the outputs that have a mask.
        losses: how many scalars layers add to the loss.
        updates: the paths of the variables that the last outputs replace.
    """

    graph: Graph
    masks: tuple[int, ...]
    losses: int
    updates: tuple[str, ...]

    @property
    def output_count(self) -> int:
        """The number of the model's own outputs."""
        return len(self.graph.outputs) - len(self.masks) - self.losses - len(self.updates)

    def bare(self) -> Graph:
        """The graph without masks and losses."""
        first, last = self.output_count, len(self.graph.outputs) - len(self.updates)
        return dataclasses.replace(
            self.graph,
            outputs=(*self.graph.outputs[:first], *self.graph.outputs[last:]),
            output_names=(*self.graph.output_names[:first], *self.graph.output_names[last:]),
        )


class LoadedModel(Model):
    """A model made of graphs. It does all that the model which was saved did."""

    def __init__(
        self,
        name: str,
        graphs: Mapping[bool, Saved],
        values: Mapping[str, np.ndarray],
        structures: tuple[Any, Any],
    ) -> None:
        super().__init__(name=name)
        self.input_structure, self._output_structure = structures
        inference = graphs[False].graph
        self._input_types = {name: value.type for name, value in inference.data_inputs.items()}
        self._by_path: dict[str, Variable] = {}
        for saved in graphs.values():
            for seen in saved.graph.variables:
                if seen.name not in self._by_path:
                    variable = Variable(
                        seen.name, values[seen.name].shape, seen.value.type.dtype,
                        initial=values[seen.name], trainable=seen.trainable,
                    )  # fmt: skip
                    variable.owners = (self,)
                    self._by_path[seen.name] = variable
        self._weights = list(self._by_path.values())
        self._saved = dict(graphs)
        self.built = self.placed = True

    def named_weights(self) -> list[tuple[str, Variable]]:
        """Every weight with its path in the model that was saved."""
        return list(self._by_path.items())

    def _variables(self, graph: Graph) -> tuple[Variable, ...]:
        return tuple(self._by_path[seen.name] for seen in graph.variables)

    def _traced(self, training: bool) -> Tracing:
        saved = self._saved[training]
        graph = saved.bare()
        if not self.trainable:
            frozen = tuple(dataclasses.replace(seen, trainable=False) for seen in graph.variables)
            graph = dataclasses.replace(graph, variables=frozen)
        updates = tuple(self._by_path[path] for path in saved.updates)
        return Tracing(graph, self._variables(graph), updates, self._output_structure)

    def call(self, *args: Any) -> Any:
        """Run the graph for training or inference, by the call around."""
        context = current_context()
        assert context is not None
        saved = self._saved[context.training]
        inputs = tree.leaves(args[0] if len(args) == 1 else list(args))
        if len(inputs) != len(self.input_types):
            raise ArgumentError(f"The model takes {len(self.input_types)} inputs; {len(inputs)} were given.")
        inputs = [
            self._fitting(name, wanted, given)
            for (name, wanted), given in zip(self.input_types.items(), inputs, strict=True)
        ]
        operands = list(inputs)
        if saved.graph.takes_key:
            at_top = context.depth == 1  # then nobody else draws from the key
            operands.append(context.own_key() if at_top else context.random_key())
        results = iter(_replay(saved.graph, self._variables(saved.graph), operands, self.name))
        outputs = [next(results) for _ in range(saved.output_count)]
        for number in saved.masks:
            context.set_mask(outputs[number], next(results))
        context.losses.extend(next(results) for _ in range(saved.losses))
        for path in saved.updates:
            self.update(self._by_path[path], next(results))
        return tree.map_leaves(lambda number: outputs[number], self._output_structure)

    def _fitting(self, name: str, wanted: TensorType, given: Any) -> Any:
        """``given`` in the dtype of the input, as layers cast what they get."""
        type_ = type_of(given)
        if type_.dtype != wanted.dtype and type_.dtype.is_float == wanted.dtype.is_float:
            given = ops.cast(given, wanted.dtype)
        fits = type_of(given).dtype == wanted.dtype and type_.rank == wanted.rank
        pairs = zip(wanted.shape, type_.shape, strict=False)
        if not fits or any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in pairs):
            raise ShapeError(f"The input {name!r} of {self.name!r} is {wanted}; {type_} was given.")
        return given


def _replay(graph: Graph, variables: Sequence[Variable], operands: list[Any], name: str) -> Sequence[Any]:
    """The graph on traced tensors (inlined) or native arrays (run node by node)."""
    types = [type_of(operand) for operand in operands]
    builder = builder_of(operands)
    if builder is not None:
        bound = graph.bind_symbols(_renamed(graph, types))
        given = [lift(operand, builder) for operand in operands]
        return inline(bound, builder, given, [builder.variable(variable) for variable in variables])
    sizes: dict[str, int] = {}
    for value, type_ in zip(graph.inputs, types, strict=True):
        for own, size in zip(value.type.shape, type_.shape, strict=True):
            if not solve(own, int(size), sizes):  # type: ignore[arg-type]  # native shapes are ints
                raise ShapeError(f"An input of {name!r} is {value.type}; {type_} was given.")
    bound = graph.bind_symbols(sizes)
    with backend_of_arrays(operands):  # constants and keys belong there too
        return _run(bound, variables, operands)


def _renamed(graph: Graph, types: Sequence[TensorType]) -> dict[str, Dim]:
    """What the graph's symbols are in the graph around."""
    found: dict[str, Dim] = {}
    for value, type_ in zip(graph.inputs, types, strict=True):
        for own, given in zip(value.type.shape, type_.shape, strict=True):
            name = str(own)
            if name.isidentifier() and own == symbol(name):
                found.setdefault(name, given)
    return found


def _run(graph: Graph, variables: Sequence[Variable], operands: Sequence[Any]) -> Sequence[Any]:
    known: dict[Any, Any] = dict(zip(graph.inputs, operands, strict=True))
    known.update(zip((seen.value for seen in graph.variables), variables, strict=True))
    for node in graph.nodes:
        if node.op is CONSTANT:
            known[node.outputs[0]] = node.attributes["value"].numpy()
            continue
        given = [None if value is None else known[value] for value in node.operands]
        extra = {"regions": node.regions} if node.regions else {}
        result = bind(OPS[node.op.name], *given, **extra, **node.attributes)
        known.update(zip(node.outputs, result if isinstance(result, tuple) else (result,), strict=True))
    return [known[value] for value in graph.outputs]
