"""Parts of a graph: the calls of a model's layers in it, cut out as graphs of their own."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from unifront.errors import ArgumentError, GraphError
from unifront.ir import graph as ir
from unifront.ir.graph import Graph, Node, Value
from unifront.opset.tensor import CONSTANT


@dataclass(frozen=True, eq=False)
class LayerCall:
    """A layer's call in a graph.

    Args:
        layer: the layer's path.
        depth: how many calls are around it; the calls of a graph stand in the order in which they begin.
        start, stop: which nodes it made, constants not counted.
        inputs, outputs: the tensors among its arguments and results, each with its mask or None.
        losses: the scalars it added to the loss.
    """

    layer: str
    depth: int
    start: int
    stop: int
    inputs: tuple[Value, ...] = ()
    input_masks: tuple[Value | None, ...] = ()
    outputs: tuple[Value, ...] = ()
    output_masks: tuple[Value | None, ...] = ()
    losses: tuple[Value, ...] = ()

    def __deepcopy__(self, memo: Any) -> LayerCall:
        return self  # it never changes


@dataclass(frozen=True, eq=False)
class Part:
    """A graph that does what a layer or model does: its outputs are ``outputs, masks, losses, new values``.

    Args:
        graph: its inputs are tensors, the masks of some of them, and a random key if the last one is a key.
        masks: the numbers of the outputs that have a mask.
        losses: how many scalars are added to the loss.
        updates: the paths of the variables that the last outputs replace.
        masked: the numbers of the inputs whose masks are inputs too.
        calls: the calls of layers in it.
        penalties: the paths of the variables whose regularizers the last of the losses are.
        repeated: the numbers of inputs that were one tensor, the first of which alone is read.
    """

    graph: Graph
    masks: tuple[int, ...]
    losses: int
    updates: tuple[str, ...]
    masked: tuple[int, ...] = ()
    calls: tuple[LayerCall, ...] = ()
    penalties: tuple[str, ...] = ()
    repeated: tuple[tuple[int, int], ...] = ()

    def __deepcopy__(self, memo: Any) -> Part:
        return self  # it never changes

    @property
    def output_count(self) -> int:
        """The number of the outputs proper."""
        return len(self.graph.outputs) - len(self.masks) - self.losses - len(self.updates)

    @property
    def keyed(self) -> bool:
        """Whether the last input is a random key."""
        return bool(self.graph.inputs) and self.graph.inputs[-1].type.dtype.name == "key"

    @property
    def tensors(self) -> tuple[Value, ...]:
        """The inputs proper."""
        return self.graph.inputs[: len(self.graph.inputs) - self.keyed - len(self.masked)]

    @cached_property
    def next_id(self) -> int:
        """A number that no value has, nor any after it."""
        return 1 + max((value.id for value in self.graph.values()), default=0)

    @cached_property
    def work(self) -> tuple[Node, ...]:
        """The nodes that are no constants."""
        return tuple(node for node in self.graph.nodes if node.op is not CONSTANT)

    @cached_property
    def constants(self) -> dict[Value, Node]:
        return {node.outputs[0]: node for node in self.graph.nodes if node.op is CONSTANT}

    @cached_property
    def variables(self) -> dict[Value, ir.Variable]:
        return {seen.value: seen for seen in self.graph.variables}

    @cached_property
    def number_of(self) -> dict[LayerCall, int]:
        """The number of each call."""
        return {call: number for number, call in enumerate(self.calls)}

    def innermost(self, value: Value) -> int | None:
        """The number of the innermost call that makes ``value``; None if none does."""
        at = self.made_at.get(value, -1)
        around = [i for i, call in enumerate(self.calls) if call.start <= at < call.stop]
        return max(around, key=lambda i: self.calls[i].depth, default=None)

    @property
    def variable_ids(self) -> list[int]:
        return [seen.value.id for seen in self.graph.variables]

    @cached_property
    def made_at(self) -> dict[Value, int]:
        """The number of the node (of `work`) that makes each value."""
        return {value: number for number, node in enumerate(self.work) for value in node.outputs}

    @cached_property
    def news(self) -> dict[Value, str]:
        """The variables' new values and their paths."""
        first = len(self.graph.outputs) - len(self.updates)
        return dict(zip(self.graph.outputs[first:], self.updates, strict=True))

    def is_fixed(self, value: Value) -> bool:
        """Whether ``value`` is a constant or a variable."""
        return value in self.constants or value in self.variables


def cut(whole: Part, call: LayerCall) -> Part:
    """The part of ``whole`` that ``call`` is. What it takes from around it beside its arguments are inputs too."""
    arguments, wanted, (numbers, free, fixed) = _extent(whole, call)
    masks = [i for i, mask in enumerate(call.output_masks) if mask is not None]
    news = wanted[len(call.outputs) + len(masks) + len(call.losses) :]
    keys = [value for value in free if value.type.dtype.name == "key"]
    others = _besides(free)
    if len(keys) > 1:
        raise ArgumentError(f"{call.layer} takes random keys from several places; it cannot be cut out.")
    tensors = _once_each([*(value for value, _ in arguments), *others], whole)
    masked = [i for i, (_, mask) in enumerate(arguments) if mask is not None]
    mask_inputs = _once_each([arguments[i][1] for i in masked], whole, len(tensors))
    kept, ordered = sorted(numbers), sorted(fixed, key=lambda value: value.id)
    graph = Graph(
        call.layer,
        (*tensors, *mask_inputs, *keys),
        tuple(whole.variables[value] for value in ordered if value in whole.variables),
        (
            *(whole.constants[value] for value in ordered if value in whole.constants),
            *(replace(whole.work[n], name=_below(whole.work[n].name, call.layer)) for n in kept),
        ),
        wanted,
    )
    inner = tuple(
        replace(
            one, depth=one.depth - call.depth - 1, start=bisect_left(kept, one.start),
            stop=bisect_left(kept, one.stop),
        )
        for one in inside(whole, call)
    )  # fmt: skip
    updates = tuple(whole.news[value] for value in news)
    values = [value for value, _ in arguments]
    repeated = tuple((values.index(v), i) for i, v in enumerate(values) if values.index(v) < i)
    return Part(graph, tuple(masks), len(call.losses), updates, tuple(masked), inner, repeated=repeated)


Argument = tuple[Value, Value | None]
"""What a call is given, and its mask."""


def _extent(
    whole: Part, call: LayerCall
) -> tuple[list[Argument], tuple[Value, ...], tuple[set[int], list[Value], set[Value]]]:
    """The arguments of a call that are not constants, what it gives (outputs, masks, losses, news), and `_reached`."""
    pairs = zip(call.inputs, call.input_masks, strict=True)
    arguments = [(value, mask) for value, mask in pairs if not whole.is_fixed(value)]
    masks = [mask for mask in call.output_masks if mask is not None]
    within = range(call.start, call.stop)
    news = [value for value in whole.news if whole.made_at.get(value, -1) in within]
    wanted = (*call.outputs, *masks, *call.losses, *news)
    given = {value for pair in arguments for value in pair if value is not None}
    return arguments, wanted, _reached(whole, wanted, given, within)


def _besides(free: Iterable[Value]) -> list[Value]:
    return sorted((value for value in free if value.type.dtype.name != "key"), key=lambda value: value.id)


def taken_by(whole: Part, call: LayerCall) -> list[Value]:
    """The inputs that `cut` gives ``call``, as they are in ``whole``; masks and random keys aside."""
    arguments, _, (_, free, _) = _extent(whole, call)
    return [*(value for value, _ in arguments), *_besides(free)]


def _once_each(values: Sequence[Any], whole: Part, skipped: int = 0) -> list[Value]:
    """``values``; those that come again are replaced by new ones, which nobody reads."""
    found: dict[Value, None] = {}
    for number, value in enumerate(values):
        fresh = Value(whole.next_id + skipped + number, value.type)
        found[fresh if value in found else value] = None
    return list(found)


def pruned(part: Part, start: int) -> Part:
    """``part`` without the nodes from number ``start`` on that lead to no output."""
    everywhere = range(len(part.work))
    numbers, _, _ = _reached(part, part.graph.outputs, set(), everywhere)
    work = tuple(node for i, node in enumerate(part.work) if i < start or i in numbers)
    read = {value for node in work for value in node.operands} | set(part.graph.outputs)
    constants = (node for value, node in part.constants.items() if value in read)
    return replace(part, graph=replace(part.graph, nodes=(*constants, *work)))


def reaching(whole: Part, path: str, value: Value, what: str = "regularizer") -> Part:
    """The nodes that lead from the variable at ``path`` alone to ``value``; `GraphError` if others are needed."""
    (variable,) = (own for own, seen in whole.variables.items() if seen.name == path)
    numbers, free, fixed = _reached(whole, [value], {variable}, range(len(whole.work)))
    if free or any(other in whole.variables for other in fixed):
        raise GraphError(f"What is said to be the {what} of {path!r} depends on more than it.")
    constants = (node for other, node in whole.constants.items() if other in fixed)
    nodes = (*constants, *(whole.work[number] for number in sorted(numbers)))
    return Part(Graph(what, (variable,), (), nodes, (value,)), (), 0, ())


def inside(whole: Part, call: LayerCall) -> Iterator[LayerCall]:
    """The calls that ``call`` makes."""
    for number in range(whole.number_of[call] + 1, len(whole.calls)):
        if whole.calls[number].depth <= call.depth:
            return
        yield whole.calls[number]


def _reached(
    whole: Part, wanted: Iterable[Value], given: set[Value], within: range
) -> tuple[set[int], list[Value], set[Value]]:
    """The nodes that lead to ``wanted``; the values from outside that they take; the constants and variables."""
    numbers: set[int] = set()
    free: dict[Value, None] = {}
    fixed: set[Value] = set()
    stack, seen = list(wanted), set(given)
    while stack:
        value = stack.pop()
        if value in seen:
            continue
        seen.add(value)
        at = whole.made_at.get(value, -1)
        if whole.is_fixed(value):
            fixed.add(value)
        elif at not in within:
            free[value] = None
        else:
            numbers.add(at)
            stack += [operand for operand in whole.work[at].operands if operand is not None]
    return numbers, list(free), fixed


def _below(name: str, path: str) -> str:
    """The node's name inside the layer at ``path``."""
    return "" if name == path else name.removeprefix(f"{path}/")


def calls_by_name(graph: Graph, layers: Iterable[str]) -> tuple[LayerCall, ...]:
    """The calls of ``layers`` in a graph that says only by the nodes' names which layer made them.

    Neighbouring nodes of a layer are one call, or several where no value passes from the earlier to the later.
    """
    whole = Part(graph, (), 0, ())
    users: dict[Value, list[int]] = {}
    for number, node in enumerate(whole.work):
        for operand in node.operands:
            if operand is not None:
                users.setdefault(operand, []).append(number)
    known, found = set(layers), []
    given = set(graph.outputs)
    paths = [_prefixes(node.name) for node in whole.work]
    for depth in range(max(map(len, paths), default=0)):
        at = [names[depth] if depth < len(names) else None for names in paths]
        for start, stop in _runs(at, whole, users):
            if at[start] not in known:
                continue
            outputs = [
                value
                for node in whole.work[start:stop]
                for value in node.outputs
                if value in given or any(user >= stop for user in users.get(value, ()))
            ]
            none = (None,) * len(outputs)
            found.append(LayerCall(str(at[start]), depth, start, stop, (), (), tuple(outputs), none))
    return tuple(sorted(found, key=lambda call: (call.start, call.depth)))


def _prefixes(name: str) -> list[str]:
    """``a``, ``a/b``, ``a/b/c`` of ``a/b/c``."""
    parts = name.split("/") if name else []
    return ["/".join(parts[: i + 1]) for i in range(len(parts))]


def _runs(
    at: Sequence[str | None], whole: Part, users: Mapping[Value, list[int]]
) -> Iterator[tuple[int, int]]:
    """Where the neighbours that are equal in ``at`` begin and end, parted where no value passes."""
    start = 0
    while start < len(at):
        end = next((i for i in range(start, len(at)) if at[i] != at[start]), len(at))
        reach = start
        for number in range(start, end):
            if reach < number:
                if at[start] is not None:
                    yield start, number
                start = number
            read = (user for value in whole.work[number].outputs for user in users.get(value, ()))
            reach = max([reach, number, *(user for user in read if user < end)])
        if at[start] is not None:
            yield start, end
        start = end


def paths_in(graphs: Iterable[Graph]) -> list[str]:
    """The paths of the layers that the names of nodes and variables speak of, outer ones first."""
    found: dict[str, None] = {}
    for graph in graphs:
        for node in graph.nodes:
            if node.op is not CONSTANT:
                found.update(dict.fromkeys(_prefixes(node.name)))
        for seen in graph.variables:
            found.update(dict.fromkeys(_prefixes(seen.name.rpartition("/")[0])))
    return list(found)
