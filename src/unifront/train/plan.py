"""From a compiled model to the graphs that a backend runs: the training step and the evaluation step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from unifront import ops, tree
from unifront.backends import TrainPlan, UpdateGroup
from unifront.dtypes import DType, float32, promote
from unifront.dtypes import key as key_dtype
from unifront.errors import ArgumentError, GraphError, UnifrontError, UnknownName
from unifront.ir.graph import Graph
from unifront.ir.types import TensorType
from unifront.opset.tensor import Builder, Traced, building, lift, type_of
from unifront.reference import simplified
from unifront.trace import CallContext, Tracing, call_context, finish, is_trainable, renamed
from unifront.train import losses, metrics, optimizers
from unifront.train.metrics import Metric
from unifront.weights import Variable

if TYPE_CHECKING:
    from unifront.model import Model


@dataclass
class Training:
    """What `Model.compile` was given, in full."""

    optimizer: optimizers.Optimizer
    loss: Any
    metrics: Any
    loss_weights: Any
    weighted_metrics: Any
    backend: str | None


@dataclass(frozen=True)
class Step:
    """One traced step: a graph and what its totals mean.

    Args:
        tracing: graph with inputs ``*inputs, *targets[, sample_weight][, key], totals``, and live variables.
        metrics: the metrics whose sums are in the totals, two each; the first is the loss.
        totals: the type of the running sums.
        plan: for the backend to train; None for evaluation.
    """

    tracing: Tracing
    metrics: tuple[Metric, ...]
    totals: TensorType
    plan: TrainPlan | None

    def no_totals(self) -> np.ndarray:
        """The running sums before the first batch."""
        return np.zeros(2 * len(self.metrics), self.totals.dtype.numpy)


def per_output(given: Any, names: Sequence[str], what: str) -> list[Any]:
    """``given`` (one for all, a list or a dict by output name) spread over the outputs."""
    if isinstance(given, dict):
        unknown = [key for key in given if key not in names]
        if unknown:
            raise UnknownName(f"output in {what}", unknown[0], names)
        return [given.get(name) for name in names]
    if isinstance(given, list | tuple):
        if len(given) != len(names):
            raise ArgumentError(
                f"{what} has {len(given)} entries; the model has {len(names)} outputs: {list(names)}."
            )
        return list(given)
    return [given] * len(names)


def build_step(
    model: Model, training: Training, targets: Mapping[str, TensorType], weighted: bool, *, train: bool
) -> Step:
    """Trace forward, loss and metrics into one graph.

    Args:
        targets: the type of each target, in the order of the outputs.
        weighted: whether the batches carry sample weights (a float vector).
        train: whether to train, or to evaluate.
    """
    builder = Builder(f"{model.name} {'training' if train else 'evaluation'} step")
    inputs = [builder.input(name, type_) for name, type_ in model.input_types.items()]
    wanted = [builder.input(f"target {name}", type_) for name, type_ in targets.items()]
    dtype = _totals_dtype(model)
    batch = inputs[0].shape[0]
    weight = builder.input("sample_weight", TensorType(dtype, (batch,))) if weighted else None
    key = builder.input("key", TensorType(key_dtype)) if train else None
    context = CallContext(training=train, key=key)
    with building(builder), call_context(context):
        structure = tree.map_leaves(lambda number: inputs[number], model.input_structure)
        outputs = [lift(leaf, builder) for leaf in tree.leaves(model(structure))]
        count = ops.full((), batch, dtype, like=inputs[0])
        loss, sums, found = _loss_and_metrics(
            training, context, outputs, wanted, list(targets), weight, count
        )
        for penalty in [*context.losses, *penalties(builder)]:
            loss = ops.add(loss, ops.cast(penalty, type_of(loss).dtype))
        scalars = [*_mean_sums(loss, count), *(ops.cast(one, dtype) for one in sums)]
        totals = builder.input("totals", TensorType(dtype, (len(scalars),)))
        new_totals = ops.add(totals, ops.stack(scalars))
    names = ("loss", "totals") if train else ("totals",)
    results = [loss, new_totals] if train else [new_totals]
    tracing = renamed(
        finish(builder, [lift(r, builder) for r in results], names, None), model.variable_paths()
    )
    tracing = replace(tracing, graph=simplified(tracing.graph))
    every = (Metric(name="loss"), *found)
    return Step(tracing, every, totals.type, _plan(tracing, training.optimizer) if train else None)


def _totals_dtype(model: Model) -> DType:
    floats = [type_.dtype for type_ in model.input_types.values() if type_.dtype.is_float]
    floats += [weight.dtype for weight in model.weights if weight.dtype.is_float]
    return promote(float32, *floats)


def _loss_and_metrics(
    training: Training, context: CallContext, outputs: list[Traced], wanted: list[Traced], names: list[str],
    weight: Traced | None, count: Any,
) -> tuple[Any, list[Any], list[Metric]]:  # fmt: skip
    """The total loss, the sums of the metrics, and the metrics; of several outputs, each loss first."""
    chosen = per_output(training.loss, names, "loss")
    factors = per_output(training.loss_weights, names, "loss_weights")
    several = len(outputs) > 1
    total: Any = None
    sums: list[Any] = []
    found: list[Metric] = []
    losses_of: list[Any] = []
    loss_metrics: list[Metric] = []
    by_output = {"metrics": None, "weighted_metrics": weight}
    for i, (output, true, name) in enumerate(zip(outputs, wanted, names, strict=True)):
        mask = context.mask_of(output)
        if chosen[i] is not None:
            function = losses.get(chosen[i])
            with _naming(f"Loss {function.name or type(function).__name__} of output {name!r}"):
                value = _scalar(function(true, output, weight, mask))
            if (
                sum(one is not None for one in chosen) > 1
            ):  # of one loss alone, the total says it (as in Keras)
                losses_of += _mean_sums(value, count)
                loss_metrics.append(Metric(name=f"{name}_loss"))
            if factors[i] is not None:
                value = ops.multiply(value, factors[i])
            total = value if total is None else ops.add(total, value)
        detached = ops.stop_gradient(output)
        for attribute, factor in by_output.items():
            for metric in _listed(getattr(training, attribute), names, i, attribute):
                made = metrics.get(metric, true.shape, output.shape)
                with _naming(f"Metric {made.name!r} of output {name!r}"):
                    own = made.sums(true, detached, factor, mask)
                    if len(own) != 2:
                        raise ArgumentError(f"sums() gives two scalars, not {len(own)}.")
                    sums += own
                title = f"{name}_{made.name}" if several else made.name
                found.append(replace(made, name=_free_name(title, attribute, [m.name for m in found])))
    if total is None:
        raise ArgumentError("The model was compiled without a loss; call compile(loss=...).")
    return total, [*losses_of, *sums], [*loss_metrics, *found]


def _mean_sums(loss: Any, count: Any) -> list[Any]:
    """A batch's share in the mean of ``loss`` over examples."""
    return [ops.multiply(ops.stop_gradient(ops.cast(loss, type_of(count).dtype)), count), count]


def _free_name(name: str, attribute: str, taken: Sequence[str]) -> str:
    """``name``, or as Keras calls a second metric of that name: ``weighted_NAME``, ``NAME_1`` …"""
    if name in taken and attribute == "weighted_metrics":
        name = f"weighted_{name}"
    number = 0
    while (candidate := f"{name}_{number}" if number else name) in taken:
        number += 1
    return candidate


@contextmanager
def _naming(what: str) -> Iterator[None]:
    """A block whose errors begin with ``what``."""
    try:
        yield
    except UnifrontError as error:
        error.args = (f"{what}: {error.args[0]}", *error.args[1:])
        raise


def _scalar(value: Any) -> Any:
    return ops.mean(value) if type_of(value).rank else value


def _listed(given: Any, names: list[str], i: int, what: str) -> list[Any]:
    """The metrics of output ``i``: a list for one output, or a list of lists, or a dict of lists."""
    if given is None:
        return []
    if len(names) == 1 and isinstance(given, list | tuple):
        return list(given)
    one = per_output(given, names, what)[i]
    return [] if one is None else list(one) if isinstance(one, list | tuple) else [one]


def penalties(builder: Builder) -> list[Any]:
    """What the regularizers of the weights met so far add to the loss."""
    return [
        variable.regularizer(Traced(value, builder))
        for variable, value in builder.variables.values()
        if variable.regularizer is not None and is_trainable(variable)  # Keras too leaves out frozen weights
    ]


def _plan(tracing: Tracing, optimizer: optimizers.Optimizer) -> TrainPlan:
    graph = tracing.graph
    places = {id(variable): i for i, variable in enumerate(tracing.variables)}
    trained = tuple(i for i, seen in enumerate(graph.variables) if seen.trainable)
    if not trained:
        raise ArgumentError(
            f"{graph.name}: no weight of the model is trainable, so there is nothing to train."
        )
    for i in trained:
        if not graph.variables[i].value.type.dtype.is_float:
            raise GraphError(f"The trainable weight {graph.variables[i].name!r} is not a float.")
    rule, attributes = optimizer.rule()
    group = UpdateGroup(rule, attributes, trained, len(optimizer.slot_names))
    updates = tuple(places[id(variable)] for variable in tracing.updates)
    types = [graph.variables[i].value.type for i in trained]
    transform = _clipping(types, optimizer.clipping) if optimizer.clipping else None
    return TrainPlan(graph, updates, (group,), transform)


def _clipping(types: Sequence[TensorType], clipping: tuple[str, float]) -> Graph:
    builder = Builder("clip gradients")
    gradients = [builder.input(f"gradient_{i}", type_) for i, type_ in enumerate(types)]
    clipped = optimizers.clip(gradients, clipping)
    return builder.graph([lift(one, builder) for one in clipped])


def slot_variables(step: Step, optimizer: optimizers.Optimizer) -> list[tuple[Variable, ...]]:
    """The optimizer's slots of each trained variable, in the order of the plan."""
    assert step.plan is not None
    return [optimizer.slots(step.tracing.variables[i]) for i in step.plan.trainable]
