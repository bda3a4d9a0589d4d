"""`GraphModel`: what a loaded or imported graph becomes, a model whose layers are found again by path."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from unifront import tree
from unifront.dtypes import key as key_dtype
from unifront.errors import GraphError
from unifront.functional import find_layer, flatten_like
from unifront.graph_parts import Part, calls_by_name, paths_in, pruned, reaching
from unifront.graph_run import replay, run
from unifront.graph_wiring import Wiring
from unifront.ir.graph import Graph, Value
from unifront.ir.types import TensorType
from unifront.layers.ends import end_of
from unifront.layers.input import InputTensor
from unifront.layers.layer import Layer
from unifront.model import Model
from unifront.opset.builder import key_name
from unifront.opset.tensor import Symbolic
from unifront.trace import current_context
from unifront.weights import Variable


@dataclass(frozen=True)
class LayerInfo:
    """What is told of a layer: its path, the name of its class, whether it is frozen."""

    path: str
    kind: str
    trainable: bool = True


@dataclass(frozen=True)
class Layout:
    """What is told of a model beside its graphs.

    Args:
        layers: outer layers before those inside them.
        weights: the path of each weight, and whether it is trainable by itself, in the order of `Model.weights`.
        order: what `Model.layers` lists: the number of an outermost layer, or -1, -2 … for the inputs.
    """

    layers: tuple[LayerInfo, ...]
    weights: Mapping[str, bool]
    order: tuple[int, ...]

    @classmethod
    def of(cls, graphs: Sequence[Graph]) -> Layout:
        """What the names of nodes and variables tell."""
        kinds: dict[str, dict[str, None]] = {}
        for node in graphs[0].nodes:
            if node.op.name != "constant":
                for path in _and_around(node.name):
                    kinds.setdefault(path, {})[node.op.name] = None
        paths = paths_in(graphs)
        layers = tuple(LayerInfo(path, _kind(kinds.get(path, {}))) for path in paths)
        weights = {seen.name: seen.trainable for graph in graphs for seen in graph.variables}
        tops = [number for number, path in enumerate(paths) if "/" not in path]
        inputs = range(len([v for v in graphs[0].inputs if v.type.dtype != key_dtype]))
        return cls(layers, weights, (*(-1 - number for number in inputs), *tops))


_MOST_KINDS = 4


def _and_around(path: str) -> Iterator[str]:
    """``path``, and the paths of the layers around it."""
    while path:
        yield path
        path = path.rpartition("/")[0]


def _kind(own: Collection[str]) -> str:
    """The operations of a layer, which stand for the name of its class."""
    return ", ".join(list(own)[:_MOST_KINDS]) + ", …" * (len(own) > _MOST_KINDS)


class GraphLayer(Layer):
    """A layer of a `GraphModel`: the nodes that its calls made, the weights below its path.

    It runs on native arrays and joins new models as every layer does; called several times in the model, it runs
    as its first call did, or as ``node`` says. ``path`` is where it is in its model, ``kind`` what its class was.
    A frozen layer leaves its running statistics alone and uses them, as Keras's BatchNormalization does.
    """

    autocast = False

    def __init__(self, info: LayerInfo, wiring: Wiring) -> None:
        super().__init__(name=info.path.rpartition("/")[2])
        self.path: str = info.path
        self.kind = info.kind
        self._wiring = wiring
        self.built = self.placed = True

    def call(self, *inputs: Any, node: int = 0, training: bool = False) -> Any:
        """Run a part of the graph, for training or inference."""
        given = [leaf for one in inputs for leaf in tree.leaves(one)]
        wiring = self._wiring
        part = wiring.part(self.path, node, training)
        name = f"the layer {self.path!r}"
        outputs = run(part, wiring.variables, wiring.layers, given, name, at_top=_alone())
        return outputs[0] if len(outputs) == 1 else outputs

    @property
    def layers(self) -> list[Layer]:
        """The layers directly inside this one."""
        return list(self.children())

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer inside this one called ``name``, or at ``index`` of `layers`; `UnknownName` if there is none."""
        return find_layer(self, self.layers, name, index)

    @end_of
    def input(self) -> Any:
        """What the layer's first call in its model takes: a symbolic tensor, or a list of them."""
        return self._wiring.ends(self.path)[0]

    @end_of
    def output(self) -> Any:
        """What the layer's first call in its model gives: a symbolic tensor, or a list of them."""
        return self._wiring.ends(self.path)[1]


def _alone() -> bool:
    """Whether the call that is running is the outermost one."""
    context = current_context()
    return context is not None and context.depth == 1


class GraphModel(Model):
    """A model made of graphs. It does all that the model did which they were made of, and has its layers.

    Args:
        name: the model's name.
        parts: the graph for inference (False) and that for training (True), over variables of the same names.
        values: the value of each variable, by name.
        structures: the inputs' and the outputs' structure, with numbers as leaves; a list, or a bare one, unless given.
        layout: what is told of the layers; else what the names of the nodes tell.

    `GraphModel.of` makes one of a single graph.
    """

    def __init__(
        self,
        name: str,
        parts: Mapping[bool, Part],
        values: Mapping[str, np.ndarray],
        structures: tuple[Any, Any] | None = None,
        layout: Layout | None = None,
    ) -> None:
        super().__init__(name=name)
        inference = parts[False].graph
        graphs = [inference, parts[True].graph]
        if layout is None:
            layout = Layout.of(graphs)
            paths = [info.path for info in layout.layers]
            parts = {
                key: replace(part, calls=calls_by_name(part.graph, paths)) for key, part in parts.items()
            }
        self.input_structure, self._output_structure = structures or (
            _numbers(len(inference.data_inputs)), _numbers(parts[False].output_count)
        )  # fmt: skip
        self._input_types = {name: value.type for name, value in inference.data_inputs.items()}
        self._output_titles = inference.output_names[: parts[False].output_count]
        variables = _variables(graphs, values, layout)
        tensors = [InputTensor(type_, called) for called, type_ in self._input_types.items()]
        bare = {training: without_penalties(part, variables) for training, part in parts.items()}
        self._wiring = Wiring(name, bare, tensors, variables)
        self._grow(layout)
        self.built = self.placed = True

    @classmethod
    def of(cls, graph: Graph, values: Mapping[str, np.ndarray], *, name: str = "") -> GraphModel:
        """A model of one graph, which is run in training too.

        Args:
            graph: its nodes are named by the paths of their layers, its variables ``PATH/NAME``.
            values: the value of each variable, by name.
            name: the model's; the graph's unless given.

        Raises `GraphError` if a variable has no value, or one of another shape.
        """
        for seen in graph.variables:
            given = values.get(seen.name)
            if given is None or np.shape(given) != seen.value.type.shape:
                found = "none" if given is None else np.shape(given)
                raise GraphError(
                    f"The value of {seen.name!r}, {seen.value.type}, is missing or does not fit: {found}."
                )
        training = graph
        if not graph.takes_key:  # the graph for training takes one, whether it draws or not
            key = Value(1 + max((value.id for value in graph.values()), default=0), TensorType(key_dtype))
            training = replace(
                graph,
                inputs=(*graph.inputs, key),
                input_names=(*graph.input_names, key_name(graph.input_names)),
            )
        parts = {False: Part(graph, (), 0, ()), True: Part(training, (), 0, ())}
        return cls(name or graph.name, parts, values)

    @property
    def variables_by_path(self) -> Mapping[str, Variable]:
        """Every weight by its path in the graphs."""
        return self._wiring.variables

    def _grow(self, layout: Layout) -> None:
        """Make the layers, give them their weights, and freeze those that are frozen."""
        found = self._wiring.layers
        tops: list[Layer] = []
        for info in layout.layers:
            layer = found[info.path] = GraphLayer(info, self._wiring)
            around = found.get(info.path.rpartition("/")[0])
            if around is None:
                tops.append(layer)
            else:
                around._children[layer.name] = layer
            calls = self._wiring.calls[False].get(info.path)
            if calls:
                types = [value.type for value in calls[0].outputs]
                layer.output_types = types[0] if len(types) == 1 else types
        self._children.update({layer.name: layer for layer in tops})
        for path, variable in self._wiring.variables.items():
            owner: Layer = found.get(path.rpartition("/")[0], self)
            owner._weights.append(variable)
            variable.owners = (owner,)
        for info in layout.layers:
            if not info.trainable:
                vars(found[info.path])["trainable"] = False  # those inside tell of themselves
        tensors = self._wiring.inputs
        self._order = [tensors[-1 - n] if n < 0 else layout.layers[n].path for n in layout.order]

    def call(self, *args: Any) -> Any:
        """Run the graph for training or inference, by the call around."""
        context = current_context()
        assert context is not None
        given = flatten_like(
            args[0] if len(args) == 1 else list(args), self.input_structure, list(self.input_types)
        )
        wiring = self._wiring
        part = wiring.whole(bool(context.training))
        name = f"{self.name!r}"
        outputs = run(part, wiring.variables, wiring.layers, given, name, at_top=context.depth == 1)
        return tree.map_leaves(lambda number: outputs[number], self._output_structure)

    @property
    def inputs(self) -> list[InputTensor]:
        """The model's inputs as symbolic tensors, to build other models from."""
        return list(self._wiring.inputs)

    @property
    def outputs(self) -> list[Symbolic]:
        """The model's outputs as symbolic tensors, computed from `inputs` by the layers."""
        return self._wiring.outputs()

    @end_of
    def input(self) -> Any:
        return tree.map_leaves(lambda number: self.inputs[number], self.input_structure)

    @end_of
    def output(self) -> Any:
        outputs = self.outputs
        return tree.map_leaves(lambda number: outputs[number], self._output_structure)

    def _output_names(self, count: int) -> tuple[str, ...]:
        return self._output_titles


def _numbers(count: int) -> Any:
    return 0 if count == 1 else list(range(count))


def _variables(
    graphs: Sequence[Graph], values: Mapping[str, np.ndarray], layout: Layout
) -> dict[str, Variable]:
    """The live variables in the order of the layout."""
    types = {seen.name: seen.value.type for graph in graphs for seen in graph.variables}
    return {
        path: Variable.at(
            path,
            values[path].shape,
            types[path].dtype,
            initial=values[path],
            trainable=trainable,
            scoped=False,
        )
        for path, trainable in layout.weights.items()
    }


def without_penalties(part: Part, variables: Mapping[str, Variable]) -> Part:
    """``part`` without the losses that regularizers of weights add; they become the weights' own again."""
    if not part.penalties:
        return part
    graph = part.graph
    last = len(graph.outputs) - len(part.updates)
    first = last - len(part.penalties)
    for path, value in zip(part.penalties, graph.outputs[first:last], strict=True):
        variables[path].regularizer = Penalty.of(part, path, value)
    outputs, names = (
        (*each[:first], *each[last:]) for each in (graph.outputs, graph.output_names)
    )  # fmt: skip
    end = max((call.stop for call in part.calls), default=0)
    return replace(
        pruned(replace(part, graph=replace(graph, outputs=outputs, output_names=names)), end),
        losses=part.losses - len(part.penalties), penalties=(),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Penalty:
    """A weight's regularizer or constraint that was read from a graph: a function of the weight."""

    part: Part

    @classmethod
    def of(cls, whole: Part, path: str, value: Value) -> Penalty:
        """The nodes from the variable at ``path`` to the scalar; `GraphError` if it depends on anything else."""
        return cls(reaching(whole, path, value))

    def __call__(self, weight: Any) -> Any:
        return replay(self.part, (), [weight], "a function of a weight")[0]
