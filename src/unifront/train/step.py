"""From a model to the graph of one step: forward, loss, gradient, updates and metrics, traced from `train_step`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from unifront import ops, tree
from unifront.backends import StepPlan
from unifront.dtypes import int32
from unifront.dtypes import key as key_dtype
from unifront.errors import ArgumentError
from unifront.ir.graph import Graph
from unifront.ir.passes.rematerialize import by_budget, by_patterns, rematerialize
from unifront.ir.types import TensorType
from unifront.ir.verify import verify
from unifront.opset.remat import REMAT
from unifront.opset.tensor import Builder, Counter, Traced, building, lift
from unifront.programs import tidied
from unifront.trace import CallContext, call_context, finish, first_key, renamed
from unifront.train.compiled import state_dtype
from unifront.train.metrics import Metric, MetricVariable
from unifront.weights import Variable

if TYPE_CHECKING:
    from unifront.model import Model


@dataclass(frozen=True, eq=False)
class TracedStep:
    """One traced step.

    Args:
        plan: for a backend to compile.
        variables: the live variables, one for each of the plan's graph.
        counters: the host's numbers, one for each of the plan's counters.
        logs: what the step logs: a metric, whose state is among the variables, or the number of a result.
        names: what the logs are called.
        structure: what the traced function gave, with numbers of results as leaves.
        optimizers: those that it applies, and how often.
        on_device: those that count by themselves what they are applied.
    """

    plan: StepPlan
    variables: tuple[Variable, ...]
    counters: tuple[Counter, ...]
    logs: Mapping[str, Metric | int]
    structure: Any
    optimizers: tuple[tuple[Any, int], ...]
    on_device: tuple[Any, ...] = ()

    @cached_property
    def metric_variables(self) -> list[int]:
        """The positions of the variables that metrics keep."""
        return [i for i, variable in enumerate(self.variables) if isinstance(variable, MetricVariable)]

    @property
    def metrics(self) -> dict[str, Metric]:
        """Those of the logs that are metrics."""
        return {name: log for name, log in self.logs.items() if isinstance(log, Metric)}


_JIT: Mapping[bool | str | None, bool | None] = {True: True, False: False, "auto": None, None: False}
"""`StepPlan.jit` for the ``jit_compile`` of `Model.compile`."""


def trace_step(
    name: str,
    function: Callable[..., Any],
    structure: Any,
    types: Mapping[str, TensorType],
    *,
    training: bool,
    paths: Callable[[], Mapping[int, str]] | None = None,
    wanted: Mapping[str, TensorType] | None = None,
) -> TracedStep:
    """Trace ``function(data)``.

    Args:
        structure: what ``data`` looks like, with numbers of inputs as leaves.
        types: name and type of each input.
        training: whether layers train.
        paths: what to call variables, by their ids.
        wanted: the dtypes in which the function gets inputs that arrive in others (bytes as floats).

    The function's result is logged if it is a dict, its leaves being the results of the step.
    """
    builder = Builder(name)
    inputs = [builder.input(one, type_) for one, type_ in types.items()]
    key = builder.key_input()
    with building(builder):
        step = builder.counter(("runs",), TensorType(int32), lambda ahead, done: done + ahead)
        context = CallContext(training=training, key=ops.fold_in(first_key(key), step))
        given = [
            _as_wanted(tensor, (wanted or {}).get(one)) for one, tensor in zip(types, inputs, strict=True)
        ]
        with call_context(context):
            data = tree.map_leaves(lambda number: None if number is None else given[number], structure)
            result = function(data)
    outputs: list[Traced] = []

    def number(leaf: Any) -> Any:
        if leaf is None or isinstance(leaf, Metric | str):
            return leaf
        outputs.append(lift(leaf, builder))
        return len(outputs) - 1

    numbered = tree.map_leaves(number, result)
    names = tuple(f"result_{i}" for i in range(len(outputs)))
    tracing = finish(builder, outputs, names, None)
    if paths is not None:
        tracing = renamed(tracing, paths())
    graph = tidied(tracing.graph)
    graph, counters = _without_unused(graph, len(inputs), list(builder.counters.values()))
    places = {id(variable): i for i, variable in enumerate(tracing.variables)}
    carry = tuple(places[id(variable)] for variable in tracing.updates)
    plan = StepPlan(graph, carry, len(counters))
    calls = builder.notes.get("optimizer calls", {})
    applied = tuple((one, calls[key]) for key, one in builder.notes.get("optimizers", {}).items())
    on_device = tuple(builder.notes.get("counted on the device", {}).values())
    return TracedStep(plan, tracing.variables, tuple(counters), {}, numbered, applied, on_device)


def _as_wanted(tensor: Traced, type_: TensorType | None) -> Any:
    return tensor if type_ is None or type_.dtype == tensor.dtype else ops.cast(tensor, type_.dtype)


def _without_unused(graph: Graph, batch: int, counters: list[Counter]) -> tuple[Graph, list[Counter]]:
    """``graph`` without the key and the counters that it does not use; the key before the counters."""
    read = {value for node in graph.nodes for value in node.operands} | set(graph.outputs)
    kept = [i for i, value in enumerate(graph.inputs) if i < batch or value in read]
    used = [counter for counter in counters if graph.inputs[counter.position] in read]
    order = sorted(
        kept, key=lambda i: (i >= batch, i >= batch and graph.inputs[i].type.dtype != key_dtype, i)
    )
    used.sort(key=lambda counter: counter.position)
    return (
        replace(
            graph,
            inputs=tuple(graph.inputs[i] for i in order),
            input_names=tuple(graph.input_names[i] for i in order),
        ).renumbered(),
        used,
    )


def build_step(
    model: Model,
    data: Any,
    types: Mapping[str, TensorType],
    *,
    train: bool,
) -> TracedStep:
    """The step of `Model.train_step`, or of `Model.test_step`, traced for data of these types.

    Raises `ArgumentError` for a step that changes none of the trainable weights there are, or that logs no dict.
    """
    kind = "train_step" if train else "test_step"
    method = getattr(model, kind)
    name = f"{model.name} {'training' if train else 'evaluation'} step"
    dtype = state_dtype(model)
    for metric in model.metrics:
        metric.computed_in(dtype)
    step = trace_step(
        name, method, data, types, training=train, paths=model.variable_paths, wanted=model._input_types
    )
    logs = step.structure
    if not isinstance(logs, Mapping) or not logs:
        raise ArgumentError(f"{type(model).__name__}.{kind} gives a dict of logs, not {logs!r}.")
    for one, log in logs.items():
        if not isinstance(log, Metric | int):
            raise ArgumentError(
                f"{type(model).__name__}.{kind}: the log {one!r} is a scalar or a metric, not {log!r}."
            )
        if isinstance(log, int) and step.plan.graph.outputs[log].type.shape:
            shape = step.plan.graph.outputs[log].type.shape
            raise ArgumentError(
                f"{type(model).__name__}.{kind}: the log {one!r} has the shape {shape}; a scalar is due."
            )
    if (
        train and model.trainable_weights and not _trains(step)
    ):  # a model without such weights runs, as in Keras
        raise ArgumentError(f"{name}: it changes no weight, so there is nothing to train.")
    plan, training = step.plan, model._training
    if training is not None:
        remat = training.remat if train else None
        graph = plan.graph if remat is None else _in_blocks(plan.graph, remat)
        plan = replace(plan, graph=graph, jit=_JIT[training.jit_compile])
    return replace(step, plan=plan, logs=dict(logs))


def _in_blocks(graph: Graph, remat: Any) -> Graph:
    """``graph`` with what ``remat`` of `Model.compile` says computed again for the gradient."""
    if isinstance(remat, tuple):
        return verify(rematerialize(graph, lambda body: by_patterns(body, remat), REMAT))
    budget = None if remat == "auto" else remat
    return verify(rematerialize(graph, lambda body: by_budget(body, budget), REMAT))


def _trains(step: TracedStep) -> bool:
    return any(not isinstance(step.variables[position], MetricVariable) for position in step.plan.carry)
