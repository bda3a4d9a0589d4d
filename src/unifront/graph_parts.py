"""Parts of a graph: the calls of a model's layers in it, cut out as graphs of their own, and run."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from unifront import ops
from unifront.errors import ArgumentError, GraphError, ShapeError
from unifront.ir import graph as ir
from unifront.ir.dims import Dim, solve, symbol
from unifront.ir.graph import Graph, Node, Value
from unifront.ir.types import TensorType
from unifront.opset.spec import OPS
from unifront.opset.tensor import (
    CONSTANT,
    Builder,
    Traced,
    backend_of_arrays,
    bind,
    builder_of,
    current_path,
    lift,
    type_of,
)
from unifront.trace import current_context, update
from unifront.weights import Variable


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
        for one in _inside(whole, call)
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


def with_calls_replaced(whole: Part, replaced: Mapping[int, Part]) -> Part:
    """``whole`` with other parts in the place of some calls (by their number), which give the same outputs.

    The inputs and masks of such a part are those of the call. What the call gave variables as new values is dropped.
    """
    graph, calls = whole.graph, whole.calls
    builder = Builder(graph.name)
    known: dict[int, Traced] = {}
    for name, value in zip(graph.input_names, graph.inputs, strict=True):
        known[value.id] = builder.input(name, value.type)
    variables = {}
    for seen in (*graph.variables, *(seen for part in replaced.values() for seen in part.graph.variables)):
        if seen.name not in variables:
            variables[seen.name] = replace(seen, value=builder.new(seen.value.type))
    for seen in graph.variables:
        known[seen.value.id] = Traced(variables[seen.name].value, builder)
    starts = {calls[number].start: number for number in replaced}
    before: list[int] = []
    skipped = 0
    for node in graph.nodes:
        if node.op is not CONSTANT:
            at = len(before)
            before.append(len(builder.nodes))
            if at in starts:
                call, part = calls[starts[at]], replaced[starts[at]]
                skipped = call.stop
                _splice(part, call, builder, known, variables)
            if at < skipped:
                continue
            before[-1] = len(builder.nodes)
        _inline(replace(graph, nodes=(node,)), builder, known)
    return _reassembled(whole, replaced, builder, known, [*before, len(builder.nodes)], variables.values())


def _splice(
    part: Part, call: LayerCall, builder: Builder, known: dict[int, Traced], variables: Mapping[str, Any]
) -> None:
    inside = {seen.value.id: Traced(variables[seen.name].value, builder) for seen in part.graph.variables}
    masks = [call.input_masks[number] for number in part.masked]
    for own, value in zip(part.graph.inputs, (*call.inputs, *masks), strict=True):
        assert value is not None
        inside[own.id] = known[value.id]
    named = (replace(n, name=f"{call.layer}/{n.name}" if n.name else call.layer) for n in part.graph.nodes)
    _inline(replace(part.graph, nodes=tuple(named)), builder, inside)
    wanted = (*call.outputs, *(mask for mask in call.output_masks if mask is not None))
    for value, own in zip(wanted, part.graph.outputs, strict=True):
        known[value.id] = inside[own.id]


def _reassembled(
    whole: Part, replaced: Mapping[int, Part], builder: Builder, known: Mapping[int, Traced],
    before: Sequence[int], variables: Iterable[Any],
) -> Part:  # fmt: skip
    """The part that ``builder`` has written, its calls where they are now."""

    def here(values: Iterable[Value | None]) -> tuple[Any, ...]:
        return tuple(None if value is None else known[value.id].value for value in values)

    counts = [0]
    for node in builder.nodes:
        counts.append(counts[-1] + (node.op is not CONSTANT))
    gone = {id(one) for number in replaced for one in _inside(whole, whole.calls[number])}
    calls = tuple(
        LayerCall(
            call.layer, call.depth, counts[before[call.start]], counts[before[call.stop]], here(call.inputs),
            here(call.input_masks), here(call.outputs), here(call.output_masks), here(call.losses),
        )
        for call in whole.calls
        if id(call) not in gone
    )  # fmt: skip
    graph, first = whole.graph, len(whole.graph.outputs) - len(whole.updates)
    kept = [i for i, value in enumerate(graph.outputs) if i < first or value.id in known]
    work = [node for node in builder.nodes if node.op is not CONSTANT]
    constants = [node for node in builder.nodes if node.op is CONSTANT]
    made = replace(
        graph,
        inputs=tuple(builder.inputs),
        variables=tuple(variables),
        nodes=(*constants, *work),
        outputs=here(graph.outputs[i] for i in kept),
        output_names=tuple(graph.output_names[i] for i in kept),
    )
    updates = tuple(whole.updates[i - first] for i in kept if i >= first)
    return replace(whole, graph=made, updates=updates, calls=calls)


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


def reaching(whole: Part, path: str, value: Value) -> Part:
    """The nodes that lead from the variable at ``path`` alone to ``value``; `GraphError` if others are needed."""
    (variable,) = (own for own, seen in whole.variables.items() if seen.name == path)
    numbers, free, fixed = _reached(whole, [value], {variable}, range(len(whole.work)))
    if free or any(other in whole.variables for other in fixed):
        raise GraphError(f"What is said to be the regularizer of {path!r} depends on more than it.")
    constants = (node for other, node in whole.constants.items() if other in fixed)
    nodes = (*constants, *(whole.work[number] for number in sorted(numbers)))
    return Part(Graph("regularizer", (variable,), (), nodes, (value,)), (), 0, ())


def _inside(whole: Part, call: LayerCall) -> Iterator[LayerCall]:
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


def run(
    part: Part, variables: Mapping[str, Variable], layers: Mapping[str, Any], given: Sequence[Any], name: str,
    at_top: bool,
) -> list[Any]:  # fmt: skip
    """The outputs of ``part`` on traced tensors (it is inlined) or native arrays (it runs node by node).

    Masks of the inputs are read from the call around, and those of the outputs, losses and new values given to it.

    Args:
        variables, layers: by their paths.
        name: how errors call it.
        at_top: whether nobody else draws from the random key of the call around.

    Raises `ArgumentError` for another number of tensors, `ShapeError` for one that does not fit.
    """
    context = current_context()
    assert context is not None
    wanted = part.tensors
    if len(given) != len(wanted):
        raise ArgumentError(f"{name} takes {len(wanted)} inputs; {len(given)} were given.")
    for first, second in part.repeated:
        if not _is_one(given[first], given[second]):
            raise ArgumentError(
                f"{name} was called with one tensor as its inputs {first} and {second}; its graph knows of one only, "
                "so two cannot be given."
            )
    names = part.graph.input_names
    tensors = [
        _fitting(f"The input {called!r} of {name}", value.type, one)
        for called, value, one in zip(names, wanted, given, strict=False)
    ]
    operands = list(tensors)
    for number, mask in zip(part.masked, part.graph.inputs[len(wanted) :], strict=False):
        own = context.mask_of(given[number])
        operands.append(_all_true(mask.type, wanted[number], tensors[number]) if own is None else own)
    if part.keyed:
        operands.append(context.key if at_top and context.key is not None else context.random_key())
    own_variables = [variables[seen.name] for seen in part.graph.variables]
    results = iter(replay(part, own_variables, operands, name, context.recorder, layers))
    outputs = [next(results) for _ in range(part.output_count)]
    for number in part.masks:
        context.set_mask(outputs[number], next(results))
    context.losses.extend(next(results) for _ in range(part.losses))
    for path in part.updates:
        update(variables[path], next(results))
    return outputs


def _is_one(first: Any, second: Any) -> bool:
    same_value = isinstance(first, Traced) and isinstance(second, Traced) and first.value == second.value
    return first is second or (same_value and first.builder is second.builder)


def _fitting(what: str, wanted: TensorType, given: Any) -> Any:
    """``given`` in the dtype that is wanted, as layers cast what they get."""
    type_ = type_of(given)
    if type_.dtype != wanted.dtype and type_.dtype.is_float == wanted.dtype.is_float:
        given = ops.cast(given, wanted.dtype)
    fits = type_of(given).dtype == wanted.dtype and type_.rank == wanted.rank
    pairs = zip(wanted.shape, type_.shape, strict=False)
    if not fits or any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in pairs):
        raise ShapeError(f"{what} is {wanted}; {type_} was given.")
    return given


def _all_true(mask: TensorType, tensor: Value, given: Any) -> Any:
    """The mask of a tensor that has none."""
    sizes = dict(zip(tensor.type.shape, type_of(given).shape, strict=True))
    return ops.full(tuple(sizes.get(dim, dim) for dim in mask.shape), True, "bool", like=given)


def replay(
    part: Part, variables: Sequence[Variable], operands: Sequence[Any], name: str, recorder: Any = None,
    layers: Mapping[str, Any] | None = None,
) -> Sequence[Any]:  # fmt: skip
    """The results of the graph of ``part`` on traced tensors or native arrays."""
    graph = part.graph
    types = [type_of(operand) for operand in operands]
    builder = builder_of(operands)
    if builder is not None:
        given = [lift(operand, builder) for operand in operands]
        bound = _placed(graph.bind_symbols(_renamed(graph, types, name)))
        known = dict(zip(_ids(graph.inputs), given, strict=True))
        known.update(zip(part.variable_ids, map(builder.variable, variables), strict=True))
        before = _inline(bound, builder, known)
        if recorder is not None and recorder.builder is builder:
            recorder.adopt(part.calls, layers, before, known)
        return [known[value.id] for value in graph.outputs]
    sizes: dict[str, int] = {}
    for value, type_ in zip(graph.inputs, types, strict=True):
        for own, size in zip(value.type.shape, type_.shape, strict=True):
            if not solve(own, int(size), sizes):  # type: ignore[arg-type]  # native shapes are ints
                raise ShapeError(f"An input of {name} is {value.type}; {type_} was given.")
    bound = graph.bind_symbols(sizes)
    with backend_of_arrays(operands):  # constants and keys belong there too
        return _run(bound, variables, operands)


def _ids(values: Iterable[Value]) -> list[int]:
    return [value.id for value in values]


def _inline(graph: Graph, builder: Builder, known: dict[int, Traced]) -> list[int]:
    """Add the nodes of ``graph`` to ``builder``; gives the builder's size before each that is no constant."""
    before = []
    for node in graph.nodes:
        if node.op is not CONSTANT:
            before.append(len(builder.nodes))
        operands = [None if value is None else known[value.id].value for value in node.operands]
        results = builder.add(node.op, operands, node.attributes, node.regions, node.name)
        known.update(zip(_ids(node.outputs), results, strict=True))
    return [*before, len(builder.nodes)]


def _placed(graph: Graph) -> Graph:
    """``graph`` with the names of its nodes below the layer whose call this is."""
    path = current_path()
    if not path:
        return graph
    nodes = (replace(n, name=f"{path}/{n.name}" if n.name else path) for n in graph.nodes)
    return replace(graph, nodes=tuple(nodes))


def _renamed(graph: Graph, types: Sequence[TensorType], name: str) -> dict[str, Dim]:
    """What the graph's symbols are in the graph around."""
    found: dict[str, Dim] = {}
    composite: list[tuple[Dim, Dim]] = []
    for value, type_ in zip(graph.inputs, types, strict=True):
        for own, given in zip(value.type.shape, type_.shape, strict=True):
            called = str(own)
            if called.isidentifier() and own == symbol(called):
                found.setdefault(called, given)
            elif not isinstance(own, int):
                composite.append((own, given))
    for own, given in composite:
        if not isinstance(own, int) and not own.symbols() <= found.keys() and own != given:
            raise ShapeError(
                f"{name} takes a size {own}, of which {given} does not say what {', '.join(sorted(own.symbols()))} "
                "is. Call it on a tensor of the model it comes from, or the model around it."
            )
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
