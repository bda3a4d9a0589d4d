"""Branches and loops. What a body takes from outside it reads by its name there, as ONNX allows."""

from __future__ import annotations

from typing import Any

import numpy as np

from unifront.dtypes import bool_, int64
from unifront.ir.dims import Dim
from unifront.ir.graph import Graph
from unifront.ir.types import TensorType
from unifront.onnx.writer import Ref, Row, Writer
from unifront.opset import control as c
from unifront.opset.custom import CUSTOM_GRADIENT
from unifront.opset.gradient import GRADIENT
from unifront.opset.remat import REMAT
from unifront.opset.spec import OpSpec

Regions = tuple[Graph, ...]


def _types(graph: Graph) -> list[TensorType]:
    return [value.type for value in graph.outputs]


def _typed(results: list[Ref], graph: Graph) -> list[tuple[Ref, TensorType]]:
    return list(zip(results, _types(graph), strict=True))


def _several(results: Any, count: int) -> Any:
    return results if count > 1 else (results,)


def _cond(w: Writer, predicate: Ref, *operands: Ref, regions: Regions) -> Any:
    branches = [
        w.body(region.name, (), lambda inner, region=region: _typed(inner.graph(region, operands), region))
        for region in regions
    ]
    count = len(regions[0].outputs)
    return _several(
        w.op("If", predicate, outputs=count, then_branch=branches[0], else_branch=branches[1]), count
    )


def _while_loop(
    w: Writer, *operands: Ref, regions: Regions, states: int, maximum_iterations: int | None
) -> Any:
    """ONNX's Loop asks for the condition before its first step, and its body for that of the next."""
    condition, body = regions
    initial, captured = operands[:states], operands[states:]

    def step(inner: Writer, _iteration: Ref, _condition: Ref, *state: Ref) -> Any:
        new = _typed(inner.graph(body, [*state, *captured]), body)
        given = [*(Ref(ref.name, type_, ref.array) for ref, type_ in new), *captured]
        (again,) = inner.graph(condition, given)
        return [(again, TensorType(bool_)), *new]

    types = [value.type for value in body.inputs[:states]]
    inputs = [("iteration", TensorType(int64)), ("condition", TensorType(bool_))]
    inputs += [(f"state_{i}", type_) for i, type_ in enumerate(types)]
    (first,) = w.graph(condition, operands)
    limit = None if maximum_iterations is None else np.array(maximum_iterations)
    loop = w.body(body.name, inputs, step)
    return _several(w.op("Loop", limit, first, *initial, outputs=states, body=loop), states)


def _zero(w: Writer, type_: TensorType) -> Ref:
    return w.known(np.zeros((), type_.dtype.numpy))


def _scan(
    w: Writer,
    *operands: Ref,
    regions: Regions,
    states: int,
    sequences: int,
    length: Dim | None,
    reverse: bool,
) -> Any:
    (body,) = regions
    if (operands[states].type.shape[0] if sequences else length) == 0:  # ONNX Runtime takes at least one step
        stacked = [value.type.with_shape((0, *value.type.shape)) for value in body.outputs[states:]]
        return (*operands[:states], *(w.expand(_zero(w, type_), type_.shape) for type_ in stacked))
    initial, captured = operands[:states], operands[states + sequences :]
    scanned = list(operands[states : states + sequences])
    inputs = [(f"x{i}", value.type) for i, value in enumerate(body.inputs[: states + sequences])]
    if not scanned:  # ONNX takes the number of steps from a sequence
        assert length is not None
        scanned = [w.op("Expand", np.array(0), w.sizes((length,)))]
        inputs.append(("step", TensorType(int64)))

    def step(inner: Writer, *given: Ref) -> Any:
        return _typed(inner.graph(body, [*given[: states + sequences], *captured]), body)

    outputs = len(body.outputs) - states
    count = len(body.outputs)
    ways = (
        {"scan_output_directions": [int(reverse)] * outputs} if outputs else {}
    )  # an empty list has no type
    results = w.op(
        "Scan", *initial, *scanned, outputs=count, num_scan_inputs=len(scanned),
        body=w.body(body.name, inputs, step),
        scan_input_directions=[int(reverse)] * len(scanned), **ways,
    )  # fmt: skip
    return _several(results, count)


def _function(w: Writer, *operands: Ref, regions: Regions, results: int, wrt: int) -> Any:
    """The function alone, for there are no gradients here."""
    return tuple(w.graph(regions[0], operands)[:results])


def _written_out(w: Writer, *operands: Ref, regions: Regions) -> Any:
    found = tuple(w.graph(regions[0], operands))
    return found if len(found) > 1 else found[0]


TABLE: dict[OpSpec, Row] = {
    REMAT: _written_out,
    CUSTOM_GRADIENT: _function,
    c.COND: _cond,
    c.WHILE_LOOP: _while_loop,
    c.SCAN: _scan,
}

UNSUPPORTED: dict[OpSpec, str] = {
    GRADIENT: "ONNX has no gradients in a graph for inference; export(training=…) writes them out"
}
