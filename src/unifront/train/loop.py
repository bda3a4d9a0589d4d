"""`fit`, `evaluate` and `predict`: one loop for every backend.

The loop gives the device its work in blocks and reads the running sums a few times a second; it never waits
for a number to print it. Arrays are moved to the device once.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from unifront import tree
from unifront.backend import Placement, placement
from unifront.errors import ArgumentError, DataError
from unifront.trace import current_seed
from unifront.train import data, metrics
from unifront.train.callbacks import Callback, CallbackList, History, watches_batches
from unifront.train.data import Arrays
from unifront.train.epochs import Run
from unifront.train.plan import Step, Training, build_step
from unifront.train.progress import EpochProgress
from unifront.train.session import Session, natives

if TYPE_CHECKING:
    from unifront.model import Model

Logs = dict[str, float]


def configure(
    model: Model, optimizer: Any, loss: Any, metrics: Any, loss_weights: Any, weighted_metrics: Any,
    backend: str | None,
) -> Training:  # fmt: skip
    """Check the arguments of `Model.compile` and keep them."""
    from unifront.train import losses, optimizers

    for one in tree.leaves(loss):
        if one is not None:
            losses.get(one)
    if backend is not None:
        placement(backend)
    model.programs.clear()
    return Training(optimizers.get(optimizer), loss, metrics, loss_weights, weighted_metrics, backend)


def fit(
    model: Model,
    x: Any,
    y: Any = None,
    *,
    batch_size: int | None = None,
    epochs: int = 1,
    verbose: int | str = "auto",
    callbacks: Sequence[Callback] = (),
    validation_split: float = 0.0,
    validation_data: Any = None,
    shuffle: bool = True,
    class_weight: Mapping[int, float] | None = None,
    sample_weight: Any = None,
    initial_epoch: int = 0,
    steps_per_epoch: int | None = None,
    validation_batch_size: int | None = None,
    validation_freq: int = 1,
    backend: str | None = None,
) -> History:
    """Train ``model``; arguments as in Keras, and ``backend``.

    Args:
        x: an array, a list or a dict of arrays (of any framework); or an iterable of ``(x, y[, weight])``.
        y: targets likewise: integer labels, or floats.
        batch_size: examples a step, 32 by default. The last batch of an epoch may be smaller.
        verbose: 1 (or "auto") a progress bar, 2 a line an epoch, 0 silence.
        backend: ``"torch"``, ``"jax"``, ``"tensorflow:gpu:0"`` …; else that of compile, else the default one.

    Raises `DataError` for data that does not fit the model, `NonFiniteLoss` when the loss is not finite.
    """
    training = _compiled(model)
    place = placement(backend or training.backend)
    size = _positive("batch_size", 32 if batch_size is None else batch_size)
    if not isinstance(epochs, int | np.integer) or epochs < 0:
        raise ArgumentError(f"epochs is an int >= 0, not {epochs!r}.")
    if steps_per_epoch is not None:
        _positive("steps_per_epoch", steps_per_epoch)
    source = _source(model, training, x, y, sample_weight, class_weight)
    if validation_split:
        if not isinstance(source, Arrays) or validation_data is not None:
            raise ArgumentError("validation_split needs arrays, and no validation_data beside it.")
        source, held_out = data.split(source, validation_split)
        validation_data = held_out
    history = History()
    listeners = CallbackList([*callbacks, history], model)
    model.stop_training = False
    first, batches = (source, iter(())) if isinstance(source, Arrays) else _peek(source)
    step = _step(model, training, first, train=True)
    session = Session(step, training.optimizer, place, current_seed())
    level = 1 if verbose == "auto" else int(verbose)
    watchers = [callback for callback in listeners.callbacks if watches_batches(callback)]
    run = Run(session, step, model, size, shuffle, watchers, batches)
    try:
        session.reset_totals()  # a backend that cannot train says so before a bar is drawn
        with EpochProgress(level, epochs, place.name) as progress:
            listeners.each("on_train_begin", {})
            for epoch in range(initial_epoch, epochs):
                listeners.each("on_epoch_begin", epoch, {})
                if isinstance(source, Arrays):
                    logs = run.arrays_epoch(source, epoch, progress, steps_per_epoch)
                else:
                    again = partial(_stream, model, training, x, class_weight)
                    logs = run.stream_epoch(again, epoch, progress, steps_per_epoch)
                if validation_data is not None and (epoch + 1) % validation_freq == 0:
                    found = _validate(model, validation_data, validation_batch_size or size, place)
                    logs |= {f"val_{name}": value for name, value in found.items()}
                progress.end(epoch, logs)
                listeners.each("on_epoch_end", epoch, logs)
                if model.stop_training:
                    break
            listeners.each("on_train_end", {})
    finally:
        session.give_back()
    return history


def evaluate(
    model: Model,
    x: Any,
    y: Any = None,
    *,
    batch_size: int | None = None,
    verbose: int | str = 0,
    sample_weight: Any = None,
    steps: int | None = None,
    return_dict: bool = False,
    backend: str | None = None,
) -> Any:
    """Loss and metrics of ``model`` on data; arguments as in Keras, and ``backend``.

    Returns:
        The loss if there are no metrics; else ``[loss, *metrics]``, or a dict with ``return_dict=True``.
    """
    training = _compiled(model)
    place = placement(backend or training.backend)
    logs = _evaluate(
        model, training, x, y, sample_weight, _positive("batch_size", batch_size or 32), place, steps
    )
    if return_dict:
        return logs
    return list(logs.values()) if len(logs) > 1 else logs["loss"]


def _evaluate(
    model: Model,
    training: Training,
    x: Any,
    y: Any,
    weight: Any,
    size: int,
    place: Placement,
    limit: int | None,
) -> Logs:
    source = x if isinstance(x, Arrays) else _source(model, training, x, y, weight, None)
    if isinstance(source, Arrays):
        batches: Iterator[Arrays] = (source.take(slice(i, i + size)) for i in range(0, len(source), size))
        first = source
    else:
        first, batches = _peek(source)
    step = _step(model, training, first, train=False)
    program = _program(model, ("evaluate", id(step)), step.tracing.graph, place)
    variables = natives(step.tracing.variables, program.storage, place)
    put, device = place.backend.array, place.device
    totals = put(step.no_totals(), device)
    for number, batch in enumerate(batches):
        if limit is not None and number >= limit:
            break
        (totals,) = program([*(put(array, device) for array in batch.all), totals], variables)
    return metrics.results(step.metrics, place.backend.numpy(totals))


def _validate(model: Model, given: Any, size: int, place: Placement) -> Logs:
    training = _compiled(model)
    if isinstance(given, Arrays) or data.is_stream(given):
        return _evaluate(model, training, given, None, None, size, place, None)
    if not isinstance(given, tuple | list) or len(given) not in (2, 3):
        raise ArgumentError("validation_data is (x, y) or (x, y, sample_weight), or an iterable of batches.")
    x, y, weight = (*given, None)[:3]
    return _evaluate(model, training, x, y, weight, size, place, None)


def predict(
    model: Model,
    x: Any,
    *,
    batch_size: int | None = None,
    verbose: int | str = 0,
    steps: int | None = None,
    backend: str | None = None,
) -> Any:
    """The outputs of ``model`` for ``x`` as NumPy arrays, in the structure of the model's outputs.

    Args:
        x: as for `fit`; an iterable gives batches of inputs.
        backend: where to run; NumPy serves too.
    """
    place = placement(backend or (model._training.backend if model._training else None))
    size = _positive("batch_size", batch_size or 32)
    if data.is_stream(x):
        given: Iterator[tuple[np.ndarray, ...]] = (data.check_inputs(model, b[0]) for b in data.batches_of(x))
    else:
        arrays = data.check_inputs(model, x)
        starts = range(0, max(len(arrays[0]), 1), size)
        given = (tuple(array[i : i + size] for array in arrays) for i in starts)
    found: list[list[np.ndarray]] = []
    program = variables = None
    for number, batch in enumerate(given):
        if steps is not None and number >= steps:
            break
        traced = model.trace(False)
        if program is None:
            program = _program(model, ("predict", id(traced)), traced.graph, place)
            variables = natives(traced.variables, program.storage, place)
        outputs = program([place.backend.array(part, place.device) for part in batch], variables)
        found.append([place.backend.numpy(output) for output in outputs])
    if not found:
        raise DataError("The data gave no batch, so there is nothing to predict.")
    joined = [np.concatenate(parts) for parts in zip(*found, strict=True)]
    return tree.map_leaves(lambda number: joined[number], model.trace(False).structure)


# ---------------------------------------------------------------- what they share


def _compiled(model: Model) -> Training:
    training = model._training
    if training is None:
        raise ArgumentError(
            f"The model {model.name!r} is not compiled; call model.compile(optimizer, loss) first."
        )
    assert isinstance(training, Training)
    return training


def _positive(name: str, value: int) -> int:
    if not isinstance(value, int | np.integer) or value < 1:
        raise ArgumentError(f"{name} is a positive int, not {value!r}.")
    return int(value)


def _source(model: Model, training: Training, x: Any, y: Any, weight: Any, class_weight: Any) -> Any:
    """Checked arrays, or an iterator of checked batches."""
    if not data.is_stream(x):
        return _checked(model, training, x, y, weight, class_weight)
    if y is not None or weight is not None:
        raise ArgumentError(
            "An iterable x gives (x, y) or (x, y, sample_weight) itself; pass neither y nor weights."
        )
    return _stream(model, training, x, class_weight)


def _stream(model: Model, training: Training, x: Any, class_weight: Any) -> Iterator[Arrays]:
    return (_checked(model, training, bx, by, bw, class_weight) for bx, by, bw in data.batches_of(x))


def _checked(model: Model, training: Training, x: Any, y: Any, weight: Any, class_weight: Any) -> Arrays:
    inputs = data.check_inputs(model, x)
    if not len(inputs[0]):
        raise DataError("The data is empty: the input has 0 examples.")
    targets = data.check_targets(model, y, training.loss, len(inputs[0]), data.sizes_of(model, inputs))
    output = model.trace().graph.outputs[0].type
    classes = output.shape[-1] if output.rank else None
    weights = data.check_weights(weight, class_weight, targets, output.dtype, len(inputs[0]), classes)
    return Arrays(inputs, targets, weights)


def _peek(batches: Iterator[Arrays]) -> tuple[Arrays, Iterator[Arrays]]:
    """The first batch, and all of them."""
    first = next(batches, None)
    if first is None:
        raise DataError("The data gave no batch, so there is nothing to train on.")

    def everything() -> Iterator[Arrays]:
        yield first
        yield from batches

    return first, everything()


def _step(model: Model, training: Training, example: Arrays, *, train: bool) -> Step:
    """The traced step for data like ``example``; made once and kept."""
    traced = model.trace(False)
    pairs = zip(traced.graph.output_names, traced.graph.outputs, strict=True)
    outputs = {name: value.type for name, value in itertools.islice(pairs, traced.output_count)}
    batch = next(iter(model.input_types.values())).shape[0]
    targets = data.target_types(example.targets, outputs, batch)
    rule, attributes = training.optimizer.rule()
    key = (
        "step", train, tuple(targets.items()), example.weights is not None, model.trainable_state(),
        rule.name, tuple(sorted(attributes.items())), training.optimizer.clipping,
    )  # fmt: skip
    if key not in model.programs:
        model.programs[key] = build_step(model, training, targets, example.weights is not None, train=train)
    step: Step = model.programs[key]
    return step


def _program(model: Model, key: tuple[Any, ...], graph: Any, place: Placement) -> Any:
    """The compiled graph at ``place``; made once and kept."""
    full = (*key, str(place))
    if full not in model.programs:
        model.programs[full] = place.backend.compile(graph, place.device)
    return model.programs[full]
