"""Running a graph again in another trace: to inline it, or to write composite operations out."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from unifront.backends import StepPlan
from unifront.dtypes import DType
from unifront.ir.dims import Dim, substitute
from unifront.ir.emit import Program, Rows, emit
from unifront.ir.graph import Graph, Node, Op, Value, bound_symbol, map_dims
from unifront.ir.in_place import updates_in
from unifront.ir.passes.batch_elementwise import Each, batch_elementwise
from unifront.ir.passes.common_subexpressions import common_subexpressions
from unifront.ir.passes.group_updates import group_updates
from unifront.opset.optimize import GROUPED, SLOTS
from unifront.opset.spec import DEFINED, OPS, OpSpec
from unifront.opset.tensor import Builder, Traced, lift


def inline(
    graph: Graph, builder: Builder, inputs: Sequence[Traced], variables: Sequence[Traced],
    keep: Container[Op] | None = None,
) -> tuple[Traced, ...]:  # fmt: skip
    """Add the nodes of ``graph`` to ``builder`` and give its outputs.

    Args:
        inputs, variables: what stands for the inputs and variables of ``graph``.
        keep: operations to leave as they are; others are written out by their decomposition. None keeps all.
    """
    values: dict[Value, Traced] = dict(zip(graph.inputs, inputs, strict=True))
    values.update(zip((v.value for v in graph.variables), variables, strict=True))
    sizes: dict[str, Dim] = {}
    for node in graph.nodes:
        operands = [None if value is None else values[value] for value in node.operands]
        size = bound_symbol(node)
        if size is not None:  # another size than that of the same name in another part of the new graph
            sizes[size] = builder.new_size(size)
        here = _renamed(node, sizes) if sizes else node
        values.update(zip(node.outputs, _again(here, builder, operands, keep), strict=True))
    return tuple(values[value] for value in graph.outputs)


def _renamed(node: Node, sizes: Mapping[str, Dim]) -> Node:
    attributes = map_dims(dict(node.attributes), lambda dim: substitute(dim, sizes))
    regions = tuple(region.bind_symbols(sizes) for region in node.regions)
    return replace(node, attributes=attributes, regions=regions)


def _again(
    node: Node, builder: Builder, operands: list[Traced | None], keep: Container[Op] | None
) -> tuple[Traced, ...]:
    decomposition = node.op.decomposition if isinstance(node.op, OpSpec) else None
    # What has no decomposition is left: `emit` says why a backend has no row for it.
    if keep is None or node.op in keep or node.op.name == "constant" or decomposition is None:
        regions = tuple(region if keep is None else expand(region, keep) for region in node.regions)
        values = [None if operand is None else operand.value for operand in operands]
        return builder.add(node.op, values, node.attributes, regions, node.name)
    extra: dict[str, Any] = {"regions": node.regions} if node.regions else {}
    inner = Builder(node.op.name)
    inner_inputs = [None if o is None else inner.input(f"x{i}", o.type) for i, o in enumerate(operands)]
    result = decomposition(*inner_inputs, **extra, **node.attributes)
    outputs = result if isinstance(result, tuple) else (result,)
    body = inner.graph([lift(output, inner) for output in outputs])
    named = replace(body, nodes=_named(body.nodes, node.name))
    return inline(named, builder, [o for o in operands if o is not None], [], keep)


def _named(nodes: tuple[Node, ...], name: str) -> tuple[Node, ...]:
    return tuple(replace(node, name=name) for node in nodes)


def expand(graph: Graph, keep: Container[Op]) -> Graph:
    """``graph`` with every operation outside ``keep`` written out by its decomposition; layer names stay."""
    if all(node.op in keep or node.op.name == "constant" for node in graph.nodes) and not any(
        node.regions for node in graph.nodes
    ):
        return graph
    builder = Builder(graph.name)
    inputs = [builder.input(n, v.type) for n, v in zip(graph.input_names, graph.inputs, strict=True)]
    values = [builder.new(variable.value.type) for variable in graph.variables]
    outputs = inline(graph, builder, inputs, [Traced(value, builder) for value in values], keep)
    variables = [replace(v, value=value) for v, value in zip(graph.variables, values, strict=True)]
    return builder.graph(outputs, graph.output_names, variables)


def taking(graph: Graph, dtypes: Sequence[DType]) -> Graph:
    """``graph``, its first inputs coming in ``dtypes`` and cast to what they were."""
    if all(value.type.dtype == dtype for value, dtype in zip(graph.inputs, dtypes, strict=False)):
        return graph
    builder = Builder(graph.name)
    given = [*dtypes, *(value.type.dtype for value in graph.inputs[len(dtypes) :])]
    inputs = []
    for name, value, dtype in zip(graph.input_names, graph.inputs, given, strict=True):
        tensor = builder.input(name, value.type.with_dtype(dtype))
        if dtype != value.type.dtype:
            (tensor,) = builder.add(OPS["cast"], [tensor.value], {"dtype": value.type.dtype.name})
        inputs.append(tensor)
    values = [builder.new(variable.value.type) for variable in graph.variables]
    outputs = inline(graph, builder, inputs, [Traced(value, builder) for value in values])
    variables = [replace(v, value=value) for v, value in zip(graph.variables, values, strict=True)]
    return builder.graph(outputs, graph.output_names, variables)


@dataclass(frozen=True)
class StepProgram:
    """A plan as a backend runs it.

    Args:
        graph: the plan's, its equal updates joined, written out in what the backend has rows for.
        program: its function, which takes cells too where ``in_place`` is not empty.
        in_place: for each set of variables that one update overwrites their positions: the weight, then its slots.
        carry: the plan's positions, None for what is written in place.
    """

    graph: Graph
    program: Program
    in_place: tuple[tuple[int, ...], ...]
    carry: tuple[int | None, ...]


def step_program(plan: StepPlan, rows: Rows) -> StepProgram:
    """``plan`` for the backend of ``rows``."""
    grouped = {rule: op for rule, op in GROUPED.items() if op in rows.in_place}
    graph = group_updates(plan.graph, plan.carry, grouped, SLOTS)
    graph = expand(graph, rows.table.keys() | rows.in_place.keys())
    places = {variable.value: i for i, variable in enumerate(graph.variables)}
    own = tuple(tuple(places[value] for value, _ in update) for update in updates_in(graph, rows.in_place))
    written = {position for positions in own for position in positions}
    if rows.batched:
        each = {op: Each(op) for op in rows.batched}
        graph, _, _ = common_subexpressions(
            graph, {}
        )  # of rules written out: numbers of the step, for every weight
        graph = batch_elementwise(graph, each, rows.in_place)
        rows = replace(rows, table={**rows.table, **{each[op]: row for op, row in rows.batched.items()}})
    program = emit(graph, rows, carry=plan.carry)
    return StepProgram(graph, program, own, tuple(None if p in written else p for p in plan.carry))


class _Known:
    """The operations that another process knows, and those that it could not be told in other words."""

    def __contains__(self, op: object) -> bool:
        if (
            isinstance(op, OpSpec) and OPS.get(op.name) is not op
        ):  # no file knows it: it says what it is itself
            return op.decomposition is None
        return not isinstance(op, OpSpec) or op.name not in DEFINED or op.decomposition is None


def known_only(graph: Graph) -> tuple[Graph, tuple[str, ...]]:
    """``graph`` with users' operations written out, and the names of those that cannot be."""
    known = _Known()
    written = graph if all(op in known for op in _ops_of(graph)) else expand(graph, known)
    return written, tuple(sorted({op.name for op in _ops_of(written) if op.name in DEFINED}))


def _ops_of(graph: Graph) -> set[Op]:
    found = {node.op for node in graph.nodes}
    return found.union(*(_ops_of(region) for node in graph.nodes for region in node.regions))
