"""Running a part of a graph inside a call, and putting other parts in the place of calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from unifront import ops
from unifront.errors import ArgumentError, ShapeError
from unifront.graph_parts import LayerCall, Part, inside
from unifront.ir.dims import Dim, solve, substitute, symbol
from unifront.ir.graph import Graph, Value, bound_symbol, map_dims
from unifront.ir.types import TensorType
from unifront.opset.spec import OPS
from unifront.opset.tensor import (
    CONSTANT,
    Builder,
    Traced,
    backend_of_arrays,
    bind,
    builder_for,
    current_path,
    lift,
    type_of,
)
from unifront.trace import current_context, update
from unifront.weights import Variable


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
        operands.append(context.own_key() if at_top else context.random_key())
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
    builder = builder_for(operands)
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
    sizes: dict[str, Dim] = {}  # those that come from values
    for node in graph.nodes:
        if node.op is CONSTANT:
            known[node.outputs[0]] = node.attributes["value"].numpy()
            continue
        given = [None if value is None else known[value] for value in node.operands]
        attributes, regions = dict(node.attributes), node.regions
        if sizes:
            attributes = map_dims(attributes, lambda dim: substitute(dim, sizes))
            regions = tuple(region.bind_symbols(sizes) for region in regions)
        extra = {"regions": regions} if regions else {}
        result = bind(OPS[node.op.name], *given, **extra, **attributes)
        known.update(zip(node.outputs, result if isinstance(result, tuple) else (result,), strict=True))
        size = bound_symbol(node)
        if size is not None:
            sizes[size] = type_of(result).shape[0]
    return [known[value] for value in graph.outputs]


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
    gone = {id(one) for number in replaced for one in inside(whole, whole.calls[number])}
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
