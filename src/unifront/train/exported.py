"""A model's training step as an ONNX file: forward, loss, gradients, updates and metrics in operators that runtimes for
inference have.

A file trains where there is no framework: in a program with ONNX Runtime, in a browser. Its inputs are the batch, and
with default values the state: weights, statistics, slots of the optimizer, and numbers such as the learning rate. Its
outputs are what `train_on_batch` logs, and for each part of the state its next value, called ``new`` and its name.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unifront import ops, weights
from unifront.errors import ArgumentError
from unifront.ir.graph import Graph, Value, Variable
from unifront.onnx.training import StepToWrite, refuse_options
from unifront.onnx.training import export_step as write
from unifront.opset.replay import inline
from unifront.opset.tensor import Builder, Counter, Traced
from unifront.train import data
from unifront.train.compiled import state_dtype
from unifront.train.metrics.base import Metric, MetricVariable
from unifront.train.sources import checked
from unifront.train.step import TracedStep, trace_step
from unifront.weights import together

if TYPE_CHECKING:
    from unifront.model import Model

LOOKED_AT = 4
"""How many runs ahead are looked at to see whether a number stays, or counts by one."""


def export_step(model: Model, path: str | Path, training: Any, **options: Any) -> None:
    """Write the step of ``fit`` as an ONNX model.

    Args:
        model: compiled with a loss and an optimizer.
        training: a batch, ``(x, y)`` or ``(x, y, sample_weight)``: its dtypes and ranks are those of the file, whose
            batches may be of other sizes where the model's are free; ``verify`` runs the first step on it.
        options: ``opset``, ``optimize``, ``external_data``, ``verify``, ``functions`` of `unifront.onnx.export`.

    Logs are those of this batch alone. A number that neither stays nor counts by one, as the rate of a schedule, has
    no default and is given at each run. Raises `ExportError` naming the layer whose operation has no gradient that is
    written, or no ONNX form; `ArgumentError` for a model that is not compiled and data that are no such tuple.

        model.export("step.onnx", training=(x_train[:32], y_train[:32]))
    """
    refuse_options(options)
    step, batch, done = _traced(model, training)
    with together(step.variables):
        write(_to_write(step, batch, done), path, **options)


def step_and_inference(model: Model, training: Any) -> tuple[StepToWrite, StepToWrite]:
    """The step of `export_step`, and what the model computes from the same state in inference, to run between steps.

    Raises as `export_step` does, and `ArgumentError` where a number has to be given at each run.
    """
    step, batch, done = _traced(model, training)
    with together(step.variables):
        written = _to_write(step, batch, done)
        missing = [name for name in written.batch if name not in batch]
        if missing:
            raise ArgumentError(
                f"export: {missing[0]!r} changes from step to step, which no page counts. Compile with a constant one."
            )
        return written, _between(model, step, written)


def _traced(model: Model, training: Any) -> tuple[TracedStep, dict[str, np.ndarray], int]:
    """The step, the batch by the names of its inputs, and how many steps are done."""
    compiled = model._compiled()
    if compiled.optimizer is None:
        raise ArgumentError("The model was compiled without an optimizer; call compile(optimizer=...).")
    if compiled.run_eagerly:
        raise ArgumentError(
            "export: a step that runs eagerly is no graph; compile the model without run_eagerly."
        )
    if not isinstance(training, tuple | list) or not 1 <= len(training) <= 3:
        raise ArgumentError("export: training is a batch: (x, y) or (x, y, sample_weight).")
    x, y, weight = (*training, None, None)[:3]
    arrays = checked(model, compiled, x, y, weight, None)
    types, structure = data.types_of(model, arrays)
    dtype = state_dtype(model)
    for metric in model.metrics:
        metric.computed_in(dtype)
    step = trace_step(
        f"{model.name} training step", lambda given: _logs(model.train_step(given)), structure, types,
        training=True, paths=model.variable_paths, wanted=model._input_types,
    )  # fmt: skip
    return step, dict(zip(types, arrays.all, strict=True)), compiled.optimizer.calls


def _logs(logs: Any) -> dict[str, Any]:
    """What a step logs, as tensors."""
    if not isinstance(logs, Mapping) or not logs:
        raise ArgumentError(f"export: train_step gives a dict of logs, not {logs!r}.")
    found: dict[str, Any] = {}
    for name, log in logs.items():
        result = log.result() if isinstance(log, Metric) else log
        found |= result if isinstance(result, Mapping) else {name: result}
    return {name: ops.convert_to_tensor(one) for name, one in found.items()}


@dataclass(frozen=True)
class _Input:
    """An input of the step as it is written: its name, its value in the traced graph, and how it goes on."""

    name: str
    value: Value
    default: np.ndarray | None = None
    counts: bool = False


@dataclass(frozen=True)
class _Opened:
    """A graph written again, some of whose variables are inputs after its own ones.

    Args:
        given: the inputs.
        results: the outputs of the graph.
        constants: the variables that are left.
    """

    builder: Builder
    given: list[Traced]
    results: tuple[Traced, ...]
    constants: list[Variable]


def _opened(graph: Graph, names: Sequence[str], states: Mapping[int, str]) -> _Opened:
    """``graph`` with its inputs called ``names``, and its variables ``states`` as inputs of these names."""
    builder = Builder(graph.name)
    given = [builder.input(name, value.type) for name, value in zip(names, graph.inputs, strict=True)]
    taken = {i: builder.input(name, graph.variables[i].value.type) for i, name in states.items()}
    constants = [
        replace(variable, value=builder.new(variable.value.type))
        for i, variable in enumerate(graph.variables)
        if i not in taken
    ]
    fixed = iter(constants)
    variables = [
        taken[i] if i in taken else Traced(next(fixed).value, builder) for i in range(len(graph.variables))
    ]
    results = inline(graph, builder, given, variables)
    return _Opened(builder, [*given, *taken.values()], results, constants)


def _to_write(step: TracedStep, batch: Mapping[str, np.ndarray], done: int) -> StepToWrite:
    """The traced step with its state as inputs and outputs."""
    graph, plan = step.plan.graph, step.plan
    carried = {p: i for i, p in enumerate(plan.carry) if not isinstance(step.variables[p], MetricVariable)}
    numbers = list(_numbers(graph, step.counters, done))
    states = [
        _Input(graph.variables[p].name, graph.variables[p].value, step.variables[p].numpy()) for p in carried
    ]
    first = plan.results
    front = graph.input_names[: len(graph.inputs) - plan.counters]
    opened = _opened(
        graph,
        [*front, *(one.name for one in numbers)],
        dict(zip(carried, (one.name for one in states), strict=True)),
    )
    state = {one.name: f"new {one.name}" for one in (*numbers, *states) if one.counts or one in states}
    new = [
        ops.add(tensor, 1)
        for one, tensor in zip(numbers, opened.given[len(front) :], strict=False)
        if one.counts
    ]
    new += [opened.results[first + i] for i in carried.values()]
    names = [str(name) for name in step.structure]
    whole = opened.builder.graph([*opened.results[:first], *new], (*names, *state.values()), opened.constants)
    defaults = {one.name: one.default for one in (*numbers, *states) if one.default is not None}
    missing = {one.name: np.asarray(v, one.value.type.dtype.numpy) for one, v in _first(numbers, step, done)}
    return StepToWrite(whole, _fixed(graph, step.variables, carried), {**batch, **missing}, defaults, state)


def _between(model: Model, step: TracedStep, written: StepToWrite) -> StepToWrite:
    """The model in inference, with what the step carries on as inputs."""
    traced = model.trace(False)
    graph, count = traced.graph, traced.output_count
    called = {
        id(live): seen.name for seen, live in zip(step.plan.graph.variables, step.variables, strict=True)
    }
    states = {
        i: called[id(live)]
        for i, live in enumerate(traced.variables)
        if called.get(id(live)) in written.state
    }
    opened = _opened(graph, graph.input_names, states)
    whole = opened.builder.graph(opened.results[:count], graph.output_names[:count], opened.constants)
    left_out = [name for name in graph.data_inputs if name not in written.batch]
    if left_out:
        raise ArgumentError(f"export: training leaves out the input {left_out[0]!r}, which the model has.")
    batch = {name: written.batch[name] for name in graph.data_inputs}
    defaults = {name: written.defaults[name] for name in states.values()}
    return StepToWrite(whole, _fixed(graph, traced.variables, states), batch, defaults, {})


def _fixed(graph: Graph, live: Sequence[weights.Variable], states: Container[int]) -> dict[str, np.ndarray]:
    """The values of the variables outside ``states``, by name."""
    return {
        seen.name: one.start() if isinstance(one, MetricVariable) else one.numpy()
        for i, (seen, one) in enumerate(zip(graph.variables, live, strict=True))
        if i not in states
    }


def _first(numbers: list[_Input], step: TracedStep, done: int) -> Iterator[tuple[_Input, Any]]:
    """The numbers without a default, at the first step."""
    for one, counter in zip(numbers, step.counters, strict=True):
        if one.default is None:
            yield one, counter.value(0, done)


def _numbers(graph: Graph, counters: tuple[Counter, ...], done: int) -> Iterator[_Input]:
    """What the host counts for a step."""
    taken: set[str] = set()
    for number, counter in enumerate(counters):
        place = len(graph.inputs) - len(counters) + number
        value = graph.inputs[place]
        name = re.sub(r"^counter \d+: | (float|bfloat)\d+$", "", graph.input_names[place])
        while name in taken:
            name += "'"
        taken.add(name)
        seen = [counter.value(ahead, done) for ahead in range(LOOKED_AT)]
        counts = value.type.dtype.is_integer and seen == [seen[0] + i for i in range(LOOKED_AT)]
        default = np.asarray(seen[0], value.type.dtype.numpy) if counts or len(set(seen)) == 1 else None
        yield _Input(name, value, default, counts)
