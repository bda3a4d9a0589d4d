"""`predict`: one loop over batches, and the three ways to the outputs of one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from unifront import tree
from unifront.backends import HostKey, Placement, is_installed, placement
from unifront.dtypes import dtype_of
from unifront.errors import ShapeError, UnsupportedOp
from unifront.ir.graph import Graph
from unifront.opset.replay import taking
from unifront.trace import eager_seed
from unifront.train import data, limits
from unifront.train.arguments import optional
from unifront.train.data import Arrays
from unifront.train.eager import EagerSession, eager_step
from unifront.train.hooks import defines
from unifront.train.interrupts import Interrupts
from unifront.train.making import build_weights, call_seed, listeners_of, program_of
from unifront.train.progress import CallProgress
from unifront.train.session import Session, natives
from unifront.train.sources import each, inputs_of
from unifront.train.step import TracedStep, trace_step

if TYPE_CHECKING:
    from unifront.model import Model

Predict = Callable[[Arrays, int], Any]
"""A batch and its number → its outputs as NumPy arrays, in the structure of the outputs."""


def predict(
    model: Model,
    x: Any,
    *,
    batch_size: int | None = None,
    verbose: int | str = "auto",
    steps: int | None = None,
    callbacks: Any = None,
    backend: str | None = None,
) -> Any:
    """The outputs of ``model`` for ``x`` as NumPy arrays, in the structure of the model's outputs.

    Args:
        x: as for `fit`; an iterable gives batches of inputs, or ``(x, y[, weight])``, of which x counts.
        steps: batches to predict; None for all.
        verbose: 1 a progress bar, 0 silence; "auto" a bar where somebody looks at it.
        backend: where to run; NumPy serves too; ``"auto"``: see `_by_the_first`.
    """
    place, way, check = _chosen(model, backend)
    size = data.size_of_batches(model, optional("batch_size", batch_size))
    limit = optional("steps", steps)
    stream = inputs_of(model, x, size, limit, check)
    total = None if stream is None else stream.length
    if stream is not None:
        given: Iterator[Arrays] = stream()
    else:
        arrays = check(x, several=True)
        if arrays.structures is None and not len(arrays):
            return data.no_outputs(model.without(arrays.absent), arrays.inputs)
        given = (arrays.take(slice(i, i + size)) for i in range(0, len(arrays), size))
        total = -(-len(arrays) // size)
    ways: dict[tuple[int, ...], Predict] = {}  # by which optional inputs are None
    found: list[Any] = []
    shown = CallProgress(verbose, f"{place.name} predict")
    with Interrupts() as interrupts, stream or nullcontext(), shown as progress:
        listeners = listeners_of(model, callbacks, interrupts)
        watchers = listeners.those_that_want("on_predict_batch_begin", "on_predict_batch_end")
        listeners.on_predict_begin()
        progress.begin(limits.least(limit, total))
        for number, batch in enumerate(each(itertools.islice(given, limit), interrupts)):
            watchers.on_predict_batch_begin(number)
            if batch.absent not in ways:
                ways[batch.absent] = way(model.without(batch.absent), place)
            found.append(ways[batch.absent](batch, number))
            if len(watchers):
                watchers.on_predict_batch_end(number, {"outputs": found[-1]})
            progress.advance()
            if model.stop_predicting:
                break
        progress.end({})
        listeners.on_predict_end()
    if not found:
        raise data.no_batch("predict")
    columns = zip(*map(tree.leaves, found), strict=True)
    joined = iter([_joined(column) if isinstance(column[0], np.ndarray) else column[0] for column in columns])
    return tree.map_leaves(lambda _: next(joined), found[0])


def predict_on_batch(model: Model, x: Any, backend: str | None) -> Any:
    """The outputs for one batch, as `predict` gives them; nobody is told of it."""
    place, way, check = _chosen(model, backend)
    batch = check(x)
    if batch.structures is None and not len(batch):
        return data.no_outputs(model.without(batch.absent), batch.inputs)
    with Interrupts():
        found = way(model.without(batch.absent), place)(batch, 0)
    return tree.map_leaves(lambda part: _joined([part]) if isinstance(part, np.ndarray) else part, found)


def _chosen(
    model: Model, backend: str | None
) -> tuple[Placement, Callable[[Model, Placement], Predict], Callable[..., Arrays]]:
    """Where and how batches are predicted, and what checks them first."""
    auto = backend == AUTO
    place = placement((None if auto else backend) or (model._training.backend if model._training else None))
    eagerly = model._training is not None and model._training.run_eagerly
    by_graph = not eagerly and not defines(model, "predict_step")

    def check(x: Any, y: Any = None, weight: Any = None, several: bool = False) -> Arrays:
        return data.inputs_in(model, x, several) if by_graph else data.own_arrays(model, x, None, None)

    auto = auto and by_graph and place.device == "cpu" and is_installed(QUICK)
    way = _by_the_first if auto else _by_graph if by_graph else _eagerly if eagerly else _by_own_step
    return place, way, check


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    """One output of all batches; `ShapeError` where it has no row for each example."""
    if len(parts) == 1:
        return np.array(parts[0])  # no view of memory that the backend writes over
    first, odd = parts[0].shape, [part.shape for part in parts if part.shape[1:] != parts[0].shape[1:]]
    if odd or not first:
        raise ShapeError(
            f"predict: an output has the shape {first} for one batch and {(odd or [first])[0]} for another: it is no "
            "row for each example. Give all examples in one batch, by batch_size."
        )
    return np.concatenate(parts)


AUTO, QUICK = "auto", "onnxruntime"
"""The backend that stands for one that is chosen, and which that is where it can be."""


def _by_the_first(model: Model, place: Placement) -> Predict:
    """By ONNX Runtime where it runs the model, else at ``place``, which is on a CPU.

    It does not run what ONNX has no form for, what draws random numbers in inference, and what keeps states from
    batch to batch: with new values it would load the model anew.
    """
    chosen: Predict | None = None

    def outputs_of(arrays: Arrays, number: int) -> Any:
        nonlocal chosen
        if chosen is None:
            traced = model.trace(False)
            refused = (AUTO, id(traced))
            if not (traced.updates or traced.graph.takes_key or refused in model.programs):
                quick = _by_graph(model, placement(QUICK))
                try:
                    found = quick(arrays, number)
                except UnsupportedOp as error:
                    model.programs[refused] = str(error)
                else:
                    chosen = quick
                    return found
            chosen = _by_graph(model, place)
        return chosen(arrays, number)

    return outputs_of


def _by_graph(model: Model, place: Placement) -> Predict:
    """By the model's inference graph: the usual way."""
    program: Any = None
    variables: tuple[Any, ...] = ()
    made_for: tuple[Any, ...] | None = None
    keys: Iterator[tuple[Any, ...]] = iter(())

    def outputs_of(arrays: Arrays, number: int) -> Any:
        nonlocal program, variables, made_for, keys
        traced, batch = model.tracing(), arrays.inputs
        if program is None:
            keys = _keys(traced.graph, place)
        kinds = tuple(dtype_of(part.dtype) for part in batch)
        if made_for != (made_for := (id(traced), *kinds)):
            program = program_of(model, ("predict", id(traced), kinds), taking(traced.graph, kinds), place)
            variables = natives(traced.variables, program.storage, place)
        outputs = program([*(place.batch(part) for part in batch), *next(keys)], variables)
        found = [place.backend.numpy(output) for output in outputs]
        if traced.updates:  # states that stay from batch to batch
            for variable, value in zip(traced.updates, found[traced.output_count :], strict=True):
                variable.assign(value)
            variables = natives(traced.variables, program.storage, place)
        return tree.map_leaves(found.__getitem__, traced.structure)

    return outputs_of


def _keys(graph: Graph, place: Placement) -> Iterator[tuple[Any, ...]]:
    """What each batch of a call passes to a graph that draws random numbers: a key of its own."""
    if not graph.takes_key:
        return itertools.repeat(())
    call = HostKey(eager_seed())
    return ((place.backend.key(call.fold_in(number), place.device),) for number in itertools.count())


def _by_own_step(model: Model, place: Placement) -> Predict:
    """By a `Model.predict_step` of the user's."""
    seed: int | None = None

    def outputs_of(batch: Arrays, number: int) -> Any:
        nonlocal seed
        state = model.trainable_state()
        types, structure = data.types_of(model, batch, state)
        key = ("predict_step", str(structure), tuple(types.items()), state)
        if key not in model.programs:
            build_weights(model, structure, types)
            model.programs[key] = trace_step(
                f"{model.name} prediction step", model.predict_step, structure, types, training=False,
                paths=model.variable_paths, wanted=model._input_types,
            )  # fmt: skip
        step: TracedStep = model.programs[key]
        seed = call_seed(step) if seed is None else seed
        session = Session(step, place, seed, [number])
        try:
            results = session.run_on(session.batch(batch.all))
            arrays = [place.backend.numpy(result) for result in results]
        finally:
            session.close()
        return tree.map_leaves(lambda leaf: arrays[leaf] if type(leaf) is int else leaf, step.structure)

    return outputs_of


def _eagerly(model: Model, place: Placement) -> Predict:
    """By calling `Model.predict_step` on native arrays."""

    def outputs_of(batch: Arrays, number: int) -> Any:
        types, structure = data.types_of(model, batch)
        step = eager_step(model, structure, types)
        session = EagerSession(step, place, eager_seed(), [0], model, False, model.predict_step)
        session.run_on(session.batch(batch.all))
        return tree.map_leaves(place.backend.numpy, session.result)

    return outputs_of
