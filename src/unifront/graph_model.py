"""`GraphModel`: what a loaded or imported graph becomes, a model whose layers are found again by path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from unifront import tree
from unifront.dtypes import key as key_dtype
from unifront.errors import ArgumentError, GraphError
from unifront.functional import find_layer, flatten_like
from unifront.graph_parts import (
    LayerCall,
    Part,
    calls_by_name,
    cut,
    paths_in,
    pruned,
    reaching,
    replay,
    run,
    taken_by,
    with_calls_replaced,
)
from unifront.ir.graph import Graph, Node, Value
from unifront.ir.types import TensorType
from unifront.layers.ends import end_of
from unifront.layers.input import InputTensor
from unifront.layers.layer import Layer
from unifront.model import Model
from unifront.opset.tensor import Call, Symbolic, bind
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
                kinds.setdefault(node.name, {})[node.op.name] = None
        paths = paths_in(graphs)
        layers = tuple(LayerInfo(path, _kind(path, kinds)) for path in paths)
        weights = {seen.name: seen.trainable for graph in graphs for seen in graph.variables}
        tops = [number for number, path in enumerate(paths) if "/" not in path]
        inputs = range(len([v for v in graphs[0].inputs if v.type.dtype != key_dtype]))
        return cls(layers, weights, (*(-1 - number for number in inputs), *tops))


_MOST_KINDS = 4


def _kind(path: str, kinds: Mapping[str, Mapping[str, None]]) -> str:
    """The operations of a layer, which stand for the name of its class."""
    own = {
        op: None for name, ops in kinds.items() if name == path or name.startswith(f"{path}/") for op in ops
    }
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
        self.path, self.kind = info.path, info.kind
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
            _numbers(len(inference.inputs)), _numbers(parts[False].output_count)
        )  # fmt: skip
        self._input_types = {n: v.type for n, v in zip(inference.input_names, inference.inputs, strict=True)}
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
        key = Value(1 + max((value.id for value in graph.values()), default=0), TensorType(key_dtype))
        training = replace(graph, inputs=(*graph.inputs, key), input_names=(*graph.input_names, "key"))
        parts = {False: Part(graph, (), 0, ()), True: Part(training, (), 0, ())}
        return cls(name or graph.name, parts, values)

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
        given = flatten_like(args[0] if len(args) == 1 else list(args), self.input_structure)
        wiring = self._wiring
        part = wiring.whole(context.training)
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
        path: Variable(path, values[path].shape, types[path].dtype, initial=values[path], trainable=trainable)
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
    """A weight's regularizer that was read from a graph: it gives a scalar of the weight."""

    part: Part

    @classmethod
    def of(cls, whole: Part, path: str, value: Value) -> Penalty:
        """The nodes from the variable at ``path`` to the scalar; `GraphError` if it depends on anything else."""
        return cls(reaching(whole, path, value))

    def __call__(self, weight: Any) -> Any:
        return replay(self.part, (), [weight], "a regularizer")[0]


Pair = tuple[Value, Value]
"""A value in the graph for inference, and the same in that for training."""
Item = tuple[tuple[Any, ...], Any]
"""What tells calls or bare nodes of two graphs apart, and the call or node."""


class Wiring:
    """How the layers of a graph model are connected: their calls in both graphs, and the symbolic tensors between.

    Args:
        name: the model's.
        parts: the graphs, by whether they are for training.
        inputs: the model's inputs, as symbolic tensors.
        variables: by path.
    """

    def __init__(
        self, name: str, parts: Mapping[bool, Part], inputs: Sequence[InputTensor],
        variables: Mapping[str, Variable],
    ) -> None:  # fmt: skip
        self.name, self.parts, self.inputs, self.variables = name, parts, inputs, variables
        self.layers: dict[str, GraphLayer] = {}
        self.calls = {training: _by_layer(part.calls) for training, part in parts.items()}
        self._frozen: dict[frozenset[int], Part] = {}
        self._cut: dict[Any, Part] = {}
        self._maps: dict[frozenset[str], tuple[dict[Pair, Any], dict[str, Any]]] = {}

    def whole(self, training: bool) -> Part:
        """The graph. For training, frozen layers that keep statistics run in it as at inference."""
        still = frozenset(self._still() if training else ())
        if not still:
            return self.parts[training]
        if still not in self._frozen:
            parts = {number: self._at_inference(number) for number in still}
            known = {number: part for number, part in parts.items() if part is not None}
            self._frozen[still] = with_calls_replaced(self.parts[True], known)
        return self._frozen[still]

    def _still(self) -> Iterator[int]:
        """The calls that give new values to variables themselves, of frozen layers, in the graph for training."""
        part = self.parts[True]
        for number in {number for value in part.news if (number := part.innermost(value)) is not None}:
            if not self.layers[part.calls[number].layer].trainable:
                yield number

    def _at_inference(self, number: int) -> Part | None:
        """What the call in the graph for training is in that for inference, if it is such a thing at all."""
        call = self.parts[True].calls[number]
        node = self.calls[True][call.layer].index(call)
        others = self.calls[False].get(call.layer, [])
        if node >= len(others):
            return None
        part = cut(self.parts[False], others[node])
        fits = len(part.tensors) == len(call.inputs) and part.output_count == len(call.outputs)
        masks = tuple(i for i, mask in enumerate(call.output_masks) if mask is not None)
        masked = all(call.input_masks[i] is not None for i in part.masked)
        closed = not (part.keyed or part.losses or part.updates or call.losses)
        return part if fits and masked and closed and part.masks == masks else None

    def part(self, path: str, node: int, training: bool) -> Part:
        """The part that the call number ``node`` of the layer at ``path`` is.

        Raises `ArgumentError` if there is none.
        """
        whole = self.whole(training)
        key = (path, node, id(whole))
        if key not in self._cut:
            calls = _by_layer(whole.calls).get(path, [])
            if node >= len(calls):
                what = (
                    f"is called {len(calls)} times" if calls else "runs inside a loop or branch, if at all,"
                )
                raise ArgumentError(
                    f"The layer {path!r} {what} in the {'training' if training else 'inference'} graph of "
                    f"{self.name!r}, so this call of it is no part of its own. Call the layer around it."
                )
            self._cut[key] = cut(whole, calls[node])
        return self._cut[key]

    # ------------------------------------------------------------ symbolic tensors

    def ends(self, path: str) -> tuple[Any, Any]:
        """The symbolic tensors that the first call of the layer at ``path`` takes and gives."""
        around = frozenset(other for other in self.layers if path.startswith(f"{other}/"))
        ends = self._map(around)[1].get(path)
        if ends is None:
            raise ArgumentError(
                f"The layer {path!r} of {self.name!r} has no symbolic input and output: it runs inside a loop or "
                "branch, or is not used in the same way for training and inference."
            )
        return ends

    def outputs(self) -> list[Any]:
        """The model's outputs."""
        known = self._map(frozenset())[0]
        count = self.parts[False].output_count
        pairs = zip(*(self.parts[key].graph.outputs[:count] for key in (False, True)), strict=True)
        found = [self._at(pair, known) for pair in pairs]
        if any(not isinstance(one, Symbolic) for one in found):
            raise ArgumentError(
                f"{self.name!r} cannot be taken apart into its layers: between them, its graphs for training and "
                "inference differ. Call the model itself."
            )
        return found

    def _map(self, opened: frozenset[str]) -> tuple[dict[Pair, Any], dict[str, Any]]:
        """What the values are as symbolic tensors, and the ends of layers; those ``opened`` are taken apart."""
        if opened not in self._maps:
            graphs = [self.parts[training].graph for training in (False, True)]
            known: dict[Pair, Any] = dict(
                zip(zip(*(graph.inputs for graph in graphs), strict=False), self.inputs, strict=False)
            )
            ends: dict[str, Any] = {}
            others = dict(_items(self.parts[True], opened))
            for key, item in _items(self.parts[False], opened):
                other = others.get(key)
                if other is not None:
                    join = self._join_call if isinstance(item, LayerCall) else self._join_node
                    join(item, other, key, known, ends)
            self._maps[opened] = known, ends
        return self._maps[opened]

    def _at(self, pair: Pair, known: Mapping[Pair, Any]) -> Any:
        """What ``pair`` is: a symbolic tensor, variable or array; None if it is not known."""
        parts = self.parts[False], self.parts[True]
        nodes = [part.constants.get(value) for part, value in zip(parts, pair, strict=True)]
        if nodes[0] is not None and nodes[1] is not None:
            literals = [node.attributes["value"] for node in nodes if node is not None]
            return literals[0].numpy() if literals[0] == literals[1] else None
        seen = [part.variables.get(value) for part, value in zip(parts, pair, strict=True)]
        if seen[0] is not None:
            return self.variables[seen[0].name] if seen[1] and seen[0].name == seen[1].name else None
        return known.get(pair)

    def _join_call(
        self, call: LayerCall, other: LayerCall, key: Any, known: dict[Pair, Any], ends: dict[str, Any]
    ) -> None:
        parts = (self.parts[False], call), (self.parts[True], other)
        taken = [taken_by(part, one) for part, one in parts]
        if len(taken[0]) != len(taken[1]) or len(call.outputs) != len(other.outputs):
            return
        given = [self._at(pair, known) for pair in zip(*taken, strict=True)]
        if any(one is None for one in given):
            return
        node = key[-1]
        made = Call(self.layers[call.layer], tuple(given), {"node": node} if node else {})
        results = [Symbolic(value.type, "", made, i) for i, value in enumerate(call.outputs)]
        known.update(zip(zip(call.outputs, other.outputs, strict=True), results, strict=True))
        ends.setdefault(call.layer, tuple(one[0] if len(one) == 1 else one for one in (given, results)))

    def _join_node(
        self, node: Node, other: Node, key: Any, known: dict[Pair, Any], ends: dict[str, Any]
    ) -> None:
        if dict(node.attributes) != dict(other.attributes) or len(node.operands) != len(other.operands):
            return
        given = []
        for a, b in zip(node.operands, other.operands, strict=True):
            given.append(None if a is None or b is None else self._at((a, b), known))
            if given[-1] is None and (a is not None or b is not None):
                return
        extra = {"regions": node.regions} if node.regions else {}
        made = Call(bind, (node.op, *given), {**extra, **node.attributes})
        for i, pair in enumerate(zip(node.outputs, other.outputs, strict=True)):
            known[pair] = Symbolic(pair[0].type, node.op.name, made, i)


def _by_layer(calls: Sequence[LayerCall]) -> dict[str, list[LayerCall]]:
    found: dict[str, list[LayerCall]] = {}
    for call in calls:
        found.setdefault(call.layer, []).append(call)
    return found


def _items(part: Part, opened: frozenset[str]) -> Iterator[Item]:
    """The outermost calls of layers that are not opened, and the nodes that belong to none of them, in order."""
    counts: dict[Any, int] = {}

    def counted(*key: Any) -> tuple[Any, ...]:
        counts[key] = counts.get(key, -1) + 1
        return (*key, counts[key])

    at, inside = 0, None
    nodes = part.work
    for call in part.calls:
        if inside is not None and call.depth > inside:
            counted("call", call.layer)
            continue
        inside = None if call.layer in opened else call.depth
        for node in nodes[at : call.start]:
            yield counted("node", node.op.name, node.name), node
        key = counted("call", call.layer)
        at = max(at, call.start)
        if inside is not None:
            yield key, call
            at = call.stop
    for node in nodes[at:]:
        yield counted("node", node.op.name, node.name), node
