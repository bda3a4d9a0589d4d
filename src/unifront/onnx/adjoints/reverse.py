"""The reverse mode over a graph: what of a gradient goes to which operand, by a table of rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from unifront.errors import ExportError
from unifront.ir.graph import Graph, Node, Value, bound_symbol
from unifront.opset import elementwise as e
from unifront.opset import reduce
from unifront.opset.creation import ones, zeros
from unifront.opset.gradient import GRADIENT
from unifront.opset.replay import expand
from unifront.opset.shape import reshape
from unifront.opset.spec import OPS, OpSpec
from unifront.opset.tensor import Builder, Traced, building, scope, type_of


@dataclass(frozen=True)
class Written:
    """An operation as it stands in the graph being written.

    Args:
        operands, results: its tensors there; None for an absent operand.
        wanted: for each operand whether anybody asks for its gradient.
    """

    node: Node
    operands: tuple[Any, ...]
    results: tuple[Any, ...]
    wanted: tuple[bool, ...]

    def __getitem__(self, attribute: str) -> Any:
        return self.node.attributes[attribute]

    def fail(self, why: str) -> ExportError:
        """The error of an operation that has no gradient here."""
        return ExportError(
            f"{self.node.where()} has no gradient that is written in ONNX: {why}. Train on a backend and export the "
            "model for inference."
        )


Rule = Callable[..., Sequence[Any]]
"""``rule(written, *gradients) -> a gradient for each operand``: of the results, zeros where nothing reads one; None for
an operand that has none."""
Form = Callable[..., Any]
"""``form(*operands, **attributes) -> result(s)``, in operations that have rules."""
Tables = tuple[Mapping[OpSpec, Rule], Mapping[OpSpec, Form]]


def shape_of(x: Any) -> tuple[Any, ...]:
    """The sizes of ``x``: where they are to be known, a rule has looked."""
    return type_of(x).shape


def fitted(gradient: Any, operand: Any) -> Any:
    """``gradient``, summed over the axes along which ``operand`` was repeated."""
    shape, own = type_of(gradient).shape, type_of(operand).shape
    if shape == own:
        return gradient
    more = len(shape) - len(own)
    axes = [i for i in range(len(shape)) if i < more or (own[i - more] == 1 and shape[i] != 1)]
    return reshape(reduce.sum(gradient, axes), own) if axes else gradient


def written_gradients(graph: Graph, tables: Tables | None = None) -> Graph:
    """``graph`` with each node ``gradient`` in it, and in the bodies in it, written out.

    Raises `ExportError` naming the layer whose operation has no rule.
    """
    if tables is None:
        from unifront.onnx.adjoints import forms, rules

        tables = rules(), forms()
    if not _has_gradients(graph):
        return graph
    builder = Builder(graph.name)
    inputs = [builder.input(n, v.type) for n, v in zip(graph.input_names, graph.inputs, strict=True)]
    variables = [replace(v, value=builder.new(v.value.type)) for v in graph.variables]
    values: dict[Value, Traced] = dict(zip(graph.inputs, inputs, strict=True))
    values.update(
        (old.value, Traced(new.value, builder)) for old, new in zip(graph.variables, variables, strict=True)
    )
    for node in graph.nodes:
        operands = [None if value is None else values[value] for value in node.operands]
        regions = tuple(written_gradients(region, tables) for region in node.regions)
        if node.op is GRADIENT:
            results = tuple(_with_gradients(regions[0], operands, node.attributes["wrt"], builder, tables))
        else:
            given = [None if operand is None else operand.value for operand in operands]
            results = builder.add(node.op, given, node.attributes, regions, node.name)
        values.update(zip(node.outputs, results, strict=True))
    return builder.graph([values[value] for value in graph.outputs], graph.output_names, variables)


def _has_gradients(graph: Graph) -> bool:
    return any(node.op is GRADIENT or any(map(_has_gradients, node.regions)) for node in graph.nodes)


def _with_gradients(
    region: Graph, operands: Sequence[Any], wrt: int, builder: Builder, tables: Tables
) -> list[Traced]:
    """The region's results, and the gradients of the first of them by the first ``wrt`` operands."""
    with building(builder):
        wanted = [i < wrt for i in range(len(operands))]
        region, tape, values = forward(region, operands, wanted, builder, tables)
        loss = values[region.outputs[0]]
        seeds = {region.outputs[0]: ones((), type_of(loss).dtype, like=loss)}
        found = backward(tape, seeds, tables)
        gradients = [
            found.get(value, zeros(type_of(x).shape, type_of(x).dtype, like=x))
            for value, x in zip(region.inputs[:wrt], operands, strict=False)
        ]
    return [*(values[value] for value in region.outputs), *gradients]


Tape = list[tuple[Node, Written]]


def forward(
    region: Graph, operands: Sequence[Any], wanted: Sequence[bool], builder: Builder, tables: Tables
) -> tuple[Graph, Tape, dict[Value, Any]]:
    """``region`` in operations that have rules, its nodes put into ``builder``, and what its values are there."""
    rules, forms = tables
    region = _in_forms(region, rules, forms)
    values: dict[Value, Any] = dict(zip(region.inputs, operands, strict=True))
    active = {value for value, is_wanted in zip(region.inputs, wanted, strict=True) if is_wanted}
    tape: Tape = []
    for node in region.nodes:
        given = [None if value is None else values[value] for value in node.operands]
        written = [None if one is None else builder.capture(one).value for one in given]
        results = builder.add(node.op, written, node.attributes, node.regions, node.name)
        values.update(zip(node.outputs, results, strict=True))
        asks = tuple(value in active for value in node.operands)
        assert isinstance(node.op, OpSpec)
        if any(asks) and node.op.differentiable:
            tape.append((node, Written(node, tuple(given), tuple(results), asks)))
            own = enumerate(node.outputs)
            active.update(v for i, v in own if v.type.dtype.is_float and i not in node.op.constant_results)
    return region, tape, values


def _in_forms(region: Graph, rules: Mapping[OpSpec, Rule], forms: Mapping[OpSpec, Form]) -> Graph:
    """``region`` in operations that have rules, as far as it can be written in such."""
    kept = {op for op in OPS.values() if op in rules or op in forms or not op.differentiable}
    if any(bound_symbol(node) is not None for node in region.nodes):
        raise ExportError(
            f"{region.name}: a size that comes from a value has no gradient that is written in ONNX."
        )
    return expand(_replaced(expand(region, kept), forms), kept)


def _replaced(region: Graph, forms: Mapping[OpSpec, Form]) -> Graph:
    builder = Builder(region.name)
    inputs = [builder.input(n, v.type) for n, v in zip(region.input_names, region.inputs, strict=True)]
    values: dict[Value, Any] = dict(zip(region.inputs, inputs, strict=True))
    with building(builder):
        for node in region.nodes:
            given = [None if value is None else values[value] for value in node.operands]
            assert isinstance(node.op, OpSpec)
            if node.op in forms:
                extra: dict[str, Any] = {"regions": node.regions} if node.regions else {}
                with scope(node.name):
                    found = forms[node.op](*given, **extra, **node.attributes)
                results = found if isinstance(found, tuple) else (found,)
            else:
                known = [None if one is None else one.value for one in given]
                results = builder.add(node.op, known, node.attributes, node.regions, node.name)
            values.update(zip(node.outputs, results, strict=True))
    return builder.graph([values[value] for value in region.outputs], region.output_names, ())


def backward(tape: Tape, seeds: Mapping[Value, Any], tables: Tables) -> dict[Value, Any]:
    """The gradient of each value of which one is wanted, from those of the results."""
    rules, _ = tables
    found = dict(seeds)
    for node, written in reversed(tape):
        assert isinstance(node.op, OpSpec)
        given = [found.get(value) for value in node.outputs]
        if all(one is None for one in given):
            continue
        rule = rules.get(node.op)
        if rule is None:
            raise written.fail("there is no rule for this operation")
        with scope(node.name):
            whole = [
                zeros(type_of(y).shape, type_of(y).dtype, like=y) if one is None else one
                for one, y in zip(given, written.results, strict=True)
            ]
            for value, gradient, asks in zip(
                node.operands, rule(written, *whole), written.wanted, strict=True
            ):
                if asks and gradient is not None:
                    assert value is not None
                    found[value] = e.add(found[value], gradient) if value in found else gradient
    return found
