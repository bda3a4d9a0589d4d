"""Where a number that is not finite came from: a step is run again, with all of its values as results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from unifront.backends import Placement
from unifront.ir.graph import Graph, Node, Value
from unifront.train.session import natives
from unifront.train.step import TracedStep
from unifront.weights import Variable


def first_broken(
    step: TracedStep, place: Placement, before: Sequence[tuple[Variable, np.ndarray]], batch: Sequence[np.ndarray],
    key: Any, counters: Sequence[float],
) -> str:  # fmt: skip
    """What was not finite first in the step on ``batch``, as the end of a sentence.

    The variables get their values from ``before`` the step, with which the model is left.
    """
    for variable, value in before:
        variable.assign(value)
    names = step.plan.graph.input_names
    for name, array in zip(names, batch, strict=False):
        if not _finite(array):
            row = int(np.argmax(~np.isfinite(array.reshape(len(array), -1)).all(axis=1)))
            return f"the data: {name!r} of example {row} of the batch"
    for variable, value in before:
        if not _finite(value):
            return f"{variable.path!r}, before the step"
    return _among_values(step, place, batch, key, counters)


def _among_values(
    step: TracedStep, place: Placement, batch: Sequence[np.ndarray], key: Any, counters: Sequence[float]
) -> str:
    graph = step.plan.graph
    types = [value.type for value in graph.inputs[len(graph.inputs) - len(counters) :]]
    numbers = [np.asarray(value, type_.dtype.numpy) for value, type_ in zip(counters, types, strict=True)]
    inputs = [place.batch(array) for array in (*batch, *numbers)]
    if key is not None:
        inputs.insert(len(batch), key)
    gradients = [node for node in graph.nodes if node.op.name == "gradient"]
    wanted = {
        value: None for node in gradients for value in (*node.operands, *node.outputs) if value is not None
    }
    found = _run(replace(graph, outputs=tuple(wanted), output_names=()), place, inputs, step.variables)
    values = dict(zip(wanted, found, strict=True))
    for node in gradients:
        region = node.regions[0]
        kept = list(_floats(region.nodes))
        given = [values[value] for value in node.operands if value is not None]
        inside = _run(replace(region, outputs=tuple(kept), output_names=()), place, given, ())
        broken = _broken(kept, inside, place)
        for one in region.nodes:
            if broken.intersection(one.outputs):
                return f"the value of {one.op.name!r} in the layer {_layer(one)!r}"
    paths = {variable.value: variable.name for variable in graph.variables}
    for node in gradients:
        broken = _broken(node.outputs, [values[value] for value in node.outputs], place)
        weights = [value for value in node.operands[: node.attributes["wrt"]] if value is not None]
        for value, gradient in reversed(list(zip(weights, node.outputs[-len(weights) :], strict=True))):
            if gradient in broken:  # gradients come from the last layer to the first
                return f"the gradient of the weight {paths.get(value, 'of another step')!r}"
    return "what the optimizer made of finite gradients"


def _run(
    graph: Graph, place: Placement, inputs: Sequence[Any], variables: Sequence[Variable]
) -> Sequence[Any]:
    program = place.backend.compile(graph, place.device)
    return program(inputs, natives(variables, program.storage, place))


def _floats(nodes: Iterable[Node]) -> Iterator[Value]:
    return (value for node in nodes for value in node.outputs if value.type.dtype.is_float)


def _broken(values: Sequence[Value], arrays: Sequence[Any], place: Placement) -> set[Value]:
    pairs = zip(values, arrays, strict=True)
    return {v for v, array in pairs if v.type.dtype.is_float and not _finite(place.backend.numpy(array))}


def _finite(array: np.ndarray) -> bool:
    return array.dtype.kind not in "fV" or bool(np.isfinite(array.astype(np.float32, copy=False)).all())


def _layer(node: Node) -> str:
    return node.name or "the loss"
