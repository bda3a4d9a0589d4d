"""How the layers of a graph model are connected, so that it can be taken apart into symbolic tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from unifront.errors import ArgumentError
from unifront.graph_parts import LayerCall, Part, cut, taken_by
from unifront.graph_run import with_calls_replaced
from unifront.ir.graph import Node, Value
from unifront.layers.input import InputTensor
from unifront.layers.layer import Layer
from unifront.opset.tensor import Call, Symbolic, bind
from unifront.weights import Variable

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
        self.layers: dict[str, Layer] = {}
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
