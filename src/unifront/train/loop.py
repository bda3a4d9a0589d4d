"""`fit`, `evaluate` and `predict`: one loop for every backend.

The loop gives the device its work in blocks and reads the running sums a few times a second; it never waits
for a number to print it. Arrays are moved to the device once.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from unifront import tree
from unifront.backends import HostKey, Placement, placement
from unifront.config import is_interactive_logging_enabled
from unifront.dtypes import dtype_of, floatx
from unifront.errors import ArgumentError, DataError
from unifront.ir.graph import Graph
from unifront.opset.replay import taking
from unifront.trace import MAKING, current_seed, eager_seed
from unifront.train import data, limits, losses, optimizers
from unifront.train.arguments import number, whole
from unifront.train.callbacks import BackupAndRestore, CallbackList, History, TerminateOnNaN
from unifront.train.compiled import Compiled
from unifront.train.data import Arrays, Stream
from unifront.train.eager import EagerSession, eager_step
from unifront.train.epochs import Run
from unifront.train.hooks import metrics_of, unpack
from unifront.train.interrupts import Interrupts
from unifront.train.metrics.registry import for_output
from unifront.train.order import Order
from unifront.train.outputs import CROSSENTROPIES
from unifront.train.progress import EpochProgress
from unifront.train.resume import Place, Resume
from unifront.train.session import Session, natives
from unifront.train.step import TracedStep, build_step, trace_step

if TYPE_CHECKING:
    from unifront.model import Model

Logs = dict[str, float]
Source = Arrays | Stream
"""Checked arrays; or what begins a pass over a source, and gives checked batches."""
VERBOSE: dict[Any, int] = {"auto": 1, 0: 0, 1: 1, 2: 2}


def _loudness(verbose: Any) -> int:
    """0 silence, 1 a bar, 2 a line an epoch."""
    return 2 if verbose == "auto" and not is_interactive_logging_enabled() else VERBOSE[verbose]


def configure(
    model: Model, optimizer: Any, loss: Any, wanted: Any, loss_weights: Any, weighted_metrics: Any,
    backend: str | None, remat: Any = None, auto_scale_loss: bool = True,
) -> Compiled:  # fmt: skip
    """Check the arguments of `Model.compile` (``wanted`` is its ``metrics``) and keep them."""
    checks: list[tuple[Any, Callable[[Any], Any]]] = [
        (loss, lambda one: None if str(one).lower() in CROSSENTROPIES else losses.as_loss(one)),
        ([wanted, weighted_metrics], lambda metric: for_output(metric, (), ())),
        (loss_weights, lambda factor: number("Each of loss_weights", factor, "(-inf, inf)")),
    ]
    for given, check in checks:
        for leaf in tree.leaves(given):
            if leaf is not None:
                check(leaf)
    if backend is not None:
        placement(backend)
    model.programs.clear()
    own = optimizers.get(optimizer)
    if own is not None and auto_scale_loss and not isinstance(own, optimizers.LossScaleOptimizer):
        policies = {layer.dtype_policy.name for layer in model.layers_below()}
        if "mixed_float16" in policies:
            own = optimizers.LossScaleOptimizer(own, name="loss_scale_optimizer")
    return Compiled(own, loss, wanted, loss_weights, weighted_metrics, backend, remat)


def fit(
    model: Model,
    x: Any,
    y: Any = None,
    *,
    batch_size: int | None = None,
    epochs: int = 1,
    verbose: int | str = "auto",
    callbacks: Any = None,
    validation_split: float = 0.0,
    validation_data: Any = None,
    shuffle: bool = True,
    class_weight: Mapping[int, float] | None = None,
    sample_weight: Any = None,
    initial_epoch: int = 0,
    steps_per_epoch: int | None = None,
    validation_steps: int | None = None,
    validation_batch_size: int | None = None,
    validation_freq: int = 1,
    backend: str | None = None,
    resume: Any = None,
    save_every: Any = None,
    max_time: Any = None,
    fast_dev_run: Any = False,
    overfit_batches: Any = None,
    limit_train_batches: Any = None,
    limit_val_batches: Any = None,
    detect_anomaly: bool = False,
) -> History:
    """Train ``model``; arguments as in Keras, and ``backend``.

    Args:
        x: an array, a list or a dict of arrays (of any framework); or an iterable of ``(x, y[, weight])``.
        y: targets likewise: integer labels, or floats.
        batch_size: examples a step, 32 by default. The last batch of an epoch may be smaller.
        verbose: 1 (or "auto") a progress bar, 2 a line an epoch, 0 silence.
        callbacks: a `uf.callbacks.Callback` or several.
        validation_steps: batches of a validation; None for all that ``validation_data`` gives.
        backend: ``"torch"``, ``"jax"``, ``"tensorflow:gpu:0"`` …; else that of compile, else the default one.
        resume and what follows: see `Model.fit`.

    Raises `ArgumentError` for an argument outside what it can be, `DataError` for data that does not fit the
    model, `NonFiniteLoss` when the loss is not finite. After these, after Ctrl-C and after an error of a callback
    or of the data, the model has the weights of the last whole step, and can go on.
    """
    training = model._compiled()
    place = placement(backend or training.backend)
    size = data.size_of_batches(model, _optional("batch_size", batch_size))
    validation_size = _optional("validation_batch_size", validation_batch_size) or size
    limit = _optional("steps_per_epoch", steps_per_epoch)
    validation_limit = _optional("validation_steps", validation_steps)
    epochs, initial_epoch = whole("epochs", epochs, 0), whole("initial_epoch", initial_epoch, 0)
    whole("validation_freq", validation_freq)
    number("validation_split", validation_split, "[0, 1)")
    if verbose not in VERBOSE:
        raise ArgumentError(f"verbose is 'auto', 0, 1 or 2, not {verbose!r}.")
    if shuffle not in (True, False):
        raise ArgumentError(f"shuffle is True or False, not {shuffle!r}.")
    listeners = CallbackList(callbacks, add_history=True)
    trial, allowed = limits.trial_batches(fast_dev_run), limits.seconds(max_time)
    if trial is not None:
        listeners.callbacks = [one for one in listeners.callbacks if not one.sends]
        resume, epochs = None, min(epochs, initial_epoch + 1)
    shuffle = bool(shuffle) and overfit_batches is None
    keeper, backup = _keeper(listeners, resume, save_every)
    source = _source(model, training, x, y, sample_weight, class_weight, size, shuffle)
    held_out = _held_out(model, training, validation_data, validation_size)
    if validation_split:
        if not isinstance(source, Arrays) or held_out is not None:
            raise ArgumentError("validation_split needs arrays, and no validation_data beside it.")
        source, held_out = data.split(source, validation_split)
        data.check_whole_batches(model, len(source))
    few = limits.batches("overfit_batches", overfit_batches, _count(source, size))
    if few is not None:
        if not isinstance(source, Arrays):
            raise ArgumentError("overfit_batches needs arrays; of other data take limit_train_batches.")
        source = source.take(slice(0, few * size))
        held_out = None if held_out is None else source
    total = _count(source, size)
    most = limits.least(trial, limits.batches("limit_train_batches", limit_train_batches, total))
    if limit is not None:
        limit, most = limits.least(limit, most), None
    if held_out is not None:
        of_all = limits.batches("limit_val_batches", limit_val_batches, _count(held_out, validation_size))
        validation_limit = limits.least(validation_limit, trial, of_all)
    if limit is None and most is None and isinstance(source, Stream) and source.is_endless:
        raise ArgumentError(f"x is {source.kind.name} without an end: give steps_per_epoch.")
    if limit is not None and isinstance(source, Stream):
        source.left = 0  # until an epoch begins
    if keeper is not None:
        keeper.start(source)
    first, batches = _first(source, "train on")
    optimizer = training.optimizer
    if optimizer is None:
        raise ArgumentError("The model was compiled without an optimizer; call compile(optimizer=...).")
    runs = [optimizer.calls]
    step = step_for(model, training, first, train=True)
    resumed = None if keeper is None else keeper.take_up(model, step)
    if keeper is not None and resumed is not None:
        runs[0] = keeper.runs
    begun = runs[0]
    history = next(one for one in listeners.callbacks if isinstance(one, History))
    goals = {name: getattr(log, "goal", None) for name, log in step.logs.items()}
    if held_out is not None:
        goals |= {f"val_{name}": goal for name, goal in goals.items()}
    listeners.set_model(model)
    told = {"epochs": epochs, "steps": limit or limits.least(total, most), "verbose": _loudness(verbose)}
    listeners.set_params({**told, "metrics": goals, "backend": place.name})
    model.stop_training = False
    with Interrupts() as interrupts, alone(model):
        listeners.around = interrupts.users
        session = open_session(model, training, step, place, current_seed(), runs, train=True)
        if isinstance(source, Stream):
            source.put = session.put
        length = len(source) if isinstance(source, Arrays) else 0
        order = Order(length, size, shuffle, current_seed(), limit, most)
        watchers = listeners.those_that_want("on_train_batch_begin", "on_train_batch_end")
        run = Run(session, model, source, batches, order, watchers, interrupts, keeper)
        run.bears_nan = any(isinstance(one, TerminateOnNaN) for one in listeners.callbacks)
        run.detects = detect_anomaly

        def validate() -> Logs:
            if held_out is None:
                return {}
            return _evaluate(
                model, training, held_out, validation_size, place, validation_limit, interrupts, listeners
            )

        try:
            session.reset_metrics()  # a backend that cannot train says so before a bar is drawn
            with EpochProgress(_loudness(verbose), epochs, place.name) as progress:
                listeners.on_train_begin()
                if keeper is not None:
                    keeper.tell(listeners.callbacks)
                    keeper.begin(session, listeners.callbacks)
                if resumed is not None:
                    run.go_to(resumed)
                if allowed is not None:
                    run.until = time.monotonic() + allowed - (0.0 if keeper is None else keeper.seconds)
                logs = _epochs(
                    run, range(initial_epoch, epochs), listeners, progress, validate, validation_freq, resumed
                )
                listeners.on_train_end(logs)
        finally:
            _close(source)
            session.close()
            model._steps += runs[0] - begun
            if keeper is not None:
                keeper.close()
        if keeper is not None:
            keeper.check()
            if backup is not None and backup.delete_checkpoint:
                keeper.remove()
        if epochs > initial_epoch:
            optimizer.finalize_variable_values(model.trainable_weights)
    model.history = history
    return history


def _epochs(
    run: Run, span: range, listeners: CallbackList, progress: EpochProgress, validate: Callable[[], Logs],
    frequency: int, resumed: Place | None,
) -> Logs:  # fmt: skip
    """The epochs of one `fit`, from the place ``resumed`` on; the logs of the last one."""
    model, keeper = run.model, run.resume
    logs: Logs = {}
    first = span.start if resumed is None else max(span.start, resumed.epoch)
    for epoch in range(first, span.stop):
        under_way = resumed if resumed is not None and resumed.done else None
        if run.is_over() or (under_way is None and resumed is not None and model.stop_training):
            break
        resumed = None
        if under_way is None:
            listeners.on_epoch_begin(epoch)
        logs = run.epoch(epoch, progress, under_way)
        if (epoch + 1) % frequency == 0:
            logs |= {f"val_{name}": value for name, value in validate().items()}
        progress.end(epoch, logs)
        listeners.on_epoch_end(epoch, logs)
        last = model.stop_training or epoch + 1 == span.stop
        if keeper is not None and not keeper.out_of_time and (keeper.every.epoch or last):
            keeper.save(run.place(epoch + 1, 0))
        if last:
            break
    return logs


def _count(source: Source, size: int) -> int | None:
    """How many batches a pass over ``source`` has; None where that is not known."""
    return -(-len(source) // size) if isinstance(source, Arrays) else source.length


def _keeper(
    listeners: CallbackList, resume: Any, every: Any
) -> tuple[Resume | None, BackupAndRestore | None]:
    """What keeps checkpoints, as asked for by arguments or by a callback, which is given too."""
    backup = next((one for one in listeners.callbacks if isinstance(one, BackupAndRestore)), None)
    if backup is None:
        return (None if resume is None else Resume.at(resume, every)), None
    if resume is not None:
        raise ArgumentError("resume does what BackupAndRestore does; give one of them.")
    return Resume.at(backup.backup_dir, backup.save_freq, backup.double_checkpoint), backup


_fitting: set[int] = set()
_LOCK = threading.Lock()


@contextmanager
def alone(model: Model) -> Iterator[None]:
    """A block in which no other `fit` of this model may begin: each would undo the other's steps."""
    with _LOCK:
        if id(model) in _fitting:
            raise ArgumentError(f"The model {model.name!r} is being trained already, by another call of fit.")
        _fitting.add(id(model))
    try:
        yield
    finally:
        _fitting.discard(id(model))


def evaluate(
    model: Model,
    x: Any,
    y: Any = None,
    *,
    batch_size: int | None = None,
    verbose: int | str = "auto",
    sample_weight: Any = None,
    steps: int | None = None,
    callbacks: Any = None,
    return_dict: bool = False,
    backend: str | None = None,
) -> Any:
    """Loss and metrics of ``model`` on data; arguments as in Keras, and ``backend``.

    Args:
        steps: batches to look at; None for all.
        verbose: taken as Keras takes it; nothing is printed.

    Returns:
        The loss if there are no metrics; else ``[loss, *metrics]``, or a dict with ``return_dict=True``.
    """
    training = model._compiled()
    place = placement(backend or training.backend)
    size = data.size_of_batches(model, _optional("batch_size", batch_size))
    limit = _optional("steps", steps)
    source = _source(model, training, x, y, sample_weight, None, size)
    with Interrupts() as interrupts:
        listeners = _listeners(model, callbacks, interrupts)
        logs = _evaluate(model, training, source, size, place, limit, interrupts, listeners)
    if return_dict:
        return logs
    return list(logs.values()) if len(logs) > 1 else logs["loss"]


def _evaluate(
    model: Model, training: Compiled, source: Source, size: int, place: Placement, limit: int | None,
    interrupts: Interrupts, listeners: CallbackList,
) -> Logs:  # fmt: skip
    if limit is None and isinstance(source, Stream) and source.is_endless:
        raise ArgumentError(f"The data is {source.kind.name} without an end: give a number of steps.")
    watchers = listeners.those_that_want("on_test_batch_begin", "on_test_batch_end")
    listeners.on_test_begin()
    with interrupts.users():
        first, batches = _first(source, "evaluate")
    if isinstance(source, Arrays):
        batches = (source.take(slice(i, i + size)) for i in range(0, len(source), size))
    runs = [0]
    step = step_for(model, training, first, train=False)
    session = open_session(model, training, step, place, call_seed(step), runs, train=False)
    if isinstance(source, Stream):
        source.put = session.put
    try:
        session.reset_metrics()
        for number, batch in enumerate(_each(itertools.islice(batches, limit), interrupts)):
            data.like_the_first(step, batch, number)
            watchers.on_test_batch_begin(number)
            session.run_on(batch.placed or [session.put(array) for array in batch.all])
            if len(watchers):
                watchers.on_test_batch_end(number, session.logs())
            if model.stop_evaluating:
                break
        logs = session.logs()
    finally:
        _close(source)
        session.close()
    listeners.on_test_end(logs)
    return logs


def _listeners(model: Model, callbacks: Any, interrupts: Interrupts) -> CallbackList:
    """The callbacks of an evaluation or a prediction."""
    listeners = CallbackList(callbacks)
    listeners.around = interrupts.users
    listeners.set_model(model)
    listeners.set_params({"verbose": 0, "epochs": 1, "steps": None})
    return listeners


def _close(source: Source) -> None:
    """End the threads of a source; its epoch is over."""
    if isinstance(source, Stream):
        source.__exit__()


def _each(batches: Iterator[Any], interrupts: Interrupts) -> Iterator[Any]:
    """``batches``; an interrupt happens between two of them, or in the code that makes one."""
    while True:
        with interrupts.users():
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def _keys(graph: Graph, place: Placement) -> Iterator[tuple[Any, ...]]:
    """What each batch of a call passes to a graph that draws random numbers: a key of its own."""
    if not graph.takes_key:
        return itertools.repeat(())
    call = HostKey(eager_seed())
    return ((place.backend.key(call.fold_in(number), place.device),) for number in itertools.count())


def _held_out(model: Model, training: Compiled, given: Any, size: int) -> Source | None:
    """``validation_data`` checked, so that what does not fit is said before the first epoch."""
    if given is None:
        return None
    if data.is_stream(given):
        return _source(model, training, given, None, None, None, size)
    if not isinstance(given, tuple | list) or len(given) not in (2, 3):
        raise ArgumentError("validation_data is (x, y) or (x, y, sample_weight), or an iterable of batches.")
    x, y, weight = (*given, None)[:3]
    return _source(model, training, x, y, weight, None, size)


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
        verbose: taken as Keras takes it; nothing is printed.
        backend: where to run; NumPy serves too.
    """
    place = placement(backend or (model._training.backend if model._training else None))
    size = data.size_of_batches(model, _optional("batch_size", batch_size))
    limit = _optional("steps", steps)
    if model._training is not None and model._training.run_eagerly:
        return _predict_eagerly(model, x, size, limit, place, callbacks)
    if defines(model, "predict_step"):
        return _predict_own(model, x, size, limit, place, callbacks)
    stream = _inputs_of(model, x, size, limit, lambda x, y, weight: Arrays(data.check_inputs(model, x)))
    if stream is not None:
        given: Iterator[tuple[np.ndarray, ...]] = (batch.inputs for batch in stream())
    else:
        arrays = data.check_inputs(model, x, several=True)
        if not len(arrays[0]):
            return data.no_outputs(model, arrays)
        starts = range(0, len(arrays[0]), size)
        given = (tuple(array[i : i + size] for array in arrays) for i in starts)
    found: list[list[np.ndarray]] = []
    program: Any = None
    variables: tuple[Any, ...] = ()
    kinds: tuple[Any, ...] | None = None
    keys: Iterator[tuple[Any, ...]] = iter(())
    with Interrupts() as interrupts, stream or nullcontext():
        listeners = _listeners(model, callbacks, interrupts)
        watchers = listeners.those_that_want("on_predict_batch_begin", "on_predict_batch_end")
        listeners.on_predict_begin()
        for number, batch in enumerate(_each(itertools.islice(given, limit), interrupts)):
            watchers.on_predict_batch_begin(number)
            traced = model.trace(False)
            if program is None:
                keys = _keys(traced.graph, place)
            if kinds != (kinds := tuple(dtype_of(part.dtype) for part in batch)):
                program = _program(model, ("predict", id(traced), kinds), taking(traced.graph, kinds), place)
                variables = natives(traced.variables, program.storage, place)
            outputs = program([*(place.batch(part) for part in batch), *next(keys)], variables)
            found.append([place.backend.numpy(output) for output in outputs])
            if traced.updates:  # states that stay from batch to batch
                for variable, value in zip(traced.updates, found[-1][traced.output_count :], strict=True):
                    variable.assign(value)
                variables = natives(traced.variables, program.storage, place)
            if len(watchers):
                own = found[-1][: traced.output_count]
                given_back = tree.map_leaves(own.__getitem__, traced.structure)
                watchers.on_predict_batch_end(number, {"outputs": given_back})
            if model.stop_predicting:
                break
        listeners.on_predict_end()
    if not found:
        raise data.no_batch("predict")
    count = model.trace(False).output_count
    joined = [np.concatenate(parts) for parts in zip(*(one[:count] for one in found), strict=True)]
    return tree.map_leaves(lambda number: joined[number], model.trace(False).structure)


def call_seed(step: TracedStep) -> int:
    """The seed of a call outside of training: another one each time, if the step draws at all."""
    return eager_seed() if step.plan.has_key else current_seed()


def _predict_own(model: Model, x: Any, size: int, limit: int | None, place: Placement, callbacks: Any) -> Any:
    """`predict` by a `Model.predict_step` of the user's."""
    stream = _inputs_of(model, x, size, limit, lambda x, y, weight: data.own_arrays(model, x, None, None))
    if stream is not None:
        given = stream()
    else:
        arrays = data.own_arrays(model, x, None, None)
        given = (arrays.take(slice(i, i + size)) for i in range(0, len(arrays), size))
    found: list[list[np.ndarray]] = []
    seed = None
    with Interrupts() as interrupts, stream or nullcontext():
        listeners = _listeners(model, callbacks, interrupts)
        watchers = listeners.those_that_want("on_predict_batch_begin", "on_predict_batch_end")
        listeners.on_predict_begin()
        for number, batch in enumerate(_each(itertools.islice(given, limit), interrupts)):
            watchers.on_predict_batch_begin(number)
            types, structure = data.types_of(model, batch)
            key = ("predict_step", str(structure), tuple(types.items()), model.trainable_state())
            if key not in model.programs:
                _build(model, structure, types)
                model.programs[key] = trace_step(
                    f"{model.name} prediction step", model.predict_step, structure, types, training=False,
                    paths=model.variable_paths, wanted=model._input_types,
                )  # fmt: skip
            step: TracedStep = model.programs[key]
            seed = call_seed(step) if seed is None else seed
            session = Session(step, place, seed, [len(found)])
            try:
                results = session.run_on([session.put(array) for array in batch.all])
                found.append([place.backend.numpy(result) for result in results])
            finally:
                session.close()
            watchers.on_predict_batch_end(number, {"outputs": found[-1]})
        listeners.on_predict_end()
    if not found:
        raise data.no_batch("predict")
    joined = [np.concatenate(parts) for parts in zip(*found, strict=True)]
    return tree.map_leaves(lambda leaf: joined[leaf] if type(leaf) is int else leaf, step.structure)


def _predict_eagerly(
    model: Model, x: Any, size: int, limit: int | None, place: Placement, callbacks: Any
) -> Any:
    """`predict` by calling `Model.predict_step` on native arrays."""
    stream = _inputs_of(model, x, size, limit, lambda x, y, weight: data.own_arrays(model, x, None, None))
    if stream is not None:
        given = stream()
    else:
        arrays = data.own_arrays(model, x, None, None)
        given = (arrays.take(slice(i, i + size)) for i in range(0, len(arrays), size))
    found: list[Any] = []
    with Interrupts() as interrupts, stream or nullcontext():
        listeners = _listeners(model, callbacks, interrupts)
        listeners.on_predict_begin()
        for number, batch in enumerate(_each(itertools.islice(given, limit), interrupts)):
            listeners.on_predict_batch_begin(number)
            types, structure = data.types_of(model, batch)
            session = EagerSession(
                eager_step(model, structure, types),
                place,
                eager_seed(),
                [0],
                model,
                False,
                model.predict_step,
            )
            session.run_on([session.put(array) for array in batch.all])
            found.append(tree.map_leaves(place.backend.numpy, session.result))
            listeners.on_predict_batch_end(number, {"outputs": found[-1]})
            if model.stop_predicting:
                break
        listeners.on_predict_end()
    if not found:
        raise data.no_batch("predict")
    joined = iter([np.concatenate(parts) for parts in zip(*map(tree.leaves, found), strict=True)])
    return tree.map_leaves(lambda _: next(joined), found[0])


def _inputs_of(
    model: Model, x: Any, size: int, limit: int | None, check: Callable[[Any, Any, Any], Arrays]
) -> Stream | None:
    """The stream of what `predict` is given, of which the inputs count; None for arrays."""
    kind = data.kind_of(x)
    if kind is None:
        return None
    if limit is None and kind.count(x, size) == data.ENDLESS:
        raise ArgumentError(f"x is {kind.name} without an end: give a number of steps.")
    return Stream(x, check, partial(_columns, model, None, None) if kind.columns else None, size)


def _optional(name: str, value: Any) -> int | None:
    return None if value is None else whole(name, value)


def _source(
    model: Model, training: Compiled, x: Any, y: Any, weight: Any, class_weight: Any, size: int,
    shuffle: bool = False,
) -> Source:  # fmt: skip
    """Checked arrays, or a stream of batches (each is checked as it comes)."""
    kind = data.kind_of(x)
    if kind is None:
        return checked(model, training, *data.named_columns(x, y, weight), class_weight, several=True)
    if not kind.columns and (y is not None or weight is not None):
        raise ArgumentError(
            f"When x is {kind.name}, it gives (x, y) or (x, y, sample_weight) itself: pass neither y nor sample_weight."
        )
    split = partial(_columns, model, y, weight) if kind.columns else None
    check = partial(_checked_batch, model, training, class_weight)
    return Stream(x, check, split, size, shuffle)


def _checked_batch(
    model: Model, training: Compiled, class_weight: Any, x: Any, y: Any, weight: Any
) -> Arrays:
    return checked(model, training, x, y, weight, class_weight)


def _columns(model: Model, y: Any, weight: Any, batch: Any) -> tuple[Any, Any, Any]:
    """What is what in a batch that is columns by name."""
    inputs = () if model.has_free_inputs else tuple(model.input_types)
    outputs = () if model.has_free_inputs else tuple(model.trace(False).graph.output_names)
    return data.batch_of_columns(batch, inputs, outputs, y, weight)


def defines(model: Model, *names: str) -> bool:
    """Whether the model's class has one of these methods of its own, rather than `Model`'s."""
    from unifront.model import Model

    return any(getattr(type(model), name) is not getattr(Model, name) for name in names)


def checked(
    model: Model, training: Compiled, x: Any, y: Any, weight: Any, class_weight: Any, several: bool = False
) -> Arrays:
    """Data as arrays that fit the model and its loss; ``several`` batches of it, or one."""
    if defines(model, "train_step", "test_step"):
        if class_weight is not None:
            raise ArgumentError("class_weight is for the train_step of Model, not one of your own.")
        return data.own_arrays(model, x, y, weight)
    if training.run_eagerly and model.has_free_inputs:  # what looks at values cannot be traced for its inputs
        arrays = data.own_arrays(model, x, y, weight)
        weights = data.check_weights(weight, class_weight, arrays.targets, floatx(), len(arrays))
        return replace(arrays, weights=weights)
    inputs = data.check_inputs(model, x, several)
    if not len(inputs[0]):
        raise DataError("The data is empty: the input has 0 examples.")
    untold = y is None and training.loss is None and not (training.metrics or training.weighted_metrics)
    targets = (
        ()
        if untold
        else data.check_targets(model, y, training.loss, len(inputs[0]), data.sizes_of(model, inputs))
    )
    output = model.trace().graph.outputs[0].type
    classes = output.shape[-1] if output.rank else None
    weights = data.check_weights(weight, class_weight, targets, output.dtype, len(inputs[0]), classes)
    return Arrays(inputs, targets, weights)


def _first(source: Source, purpose: str) -> tuple[Arrays, Iterator[Arrays]]:
    """An example of what ``source`` gives; of batches the first, and an iterator over all of them."""
    if isinstance(source, Arrays):
        return source, iter(())
    batches = source()
    first = next(batches, None)
    if first is None:
        raise data.no_batch(purpose)
    return first, itertools.chain([first], batches)


def step_for(model: Model, training: Compiled, example: Arrays, *, train: bool) -> TracedStep:
    """The traced step for data like ``example``; made once and kept."""
    types, structure = data.types_of(model, example)
    if training.run_eagerly:
        return eager_step(model, structure, types)
    how = training.optimizer and training.optimizer.key()
    key = (
        "step", train, str(structure), tuple(types.items()), model.trainable_state(), how,
        tuple(sorted(metrics_of(model))),
    )  # fmt: skip
    with MAKING:
        if key not in model.programs:
            if example.structures is not None:
                _build(model, structure, types)
            model.programs[key] = build_step(model, structure, types, train=train)
    step: TracedStep = model.programs[key]
    return step


def open_session(
    model: Model, training: Compiled, step: TracedStep, place: Placement, seed: int, runs: list[int], *, train: bool
) -> Session:  # fmt: skip
    """What runs ``step``: a compiled program, or Python where the model was compiled with ``run_eagerly``."""
    for one in model.programs.get(BATCH_SESSIONS, {}).values():
        one.pause()
    if training.run_eagerly:
        return EagerSession(step, place, seed, runs, model, train)
    return Session(step, place, seed, runs)


BATCH_SESSIONS = "sessions of single batches"
"""Among a model's programs: those of `unifront.train.batches`."""


def _build(model: Model, structure: Any, types: Mapping[str, Any]) -> None:
    """Make the weights of a model with a step of its own, by a call that is thrown away."""

    def call(given: Any) -> None:
        model(unpack(given)[0], training=False)

    if model.has_free_inputs and defines(model, "call") and _unbuilt(model):
        trace_step("build", call, structure, types, training=False)
        model.place("")


def _unbuilt(model: Model) -> bool:
    return any(not layer.built for layer in model.layers_below())


def _program(model: Model, key: tuple[Any, ...], graph: Any, place: Placement) -> Any:
    """The compiled graph at ``place``; made once and kept."""
    full = (*key, str(place))
    with MAKING:
        if full not in model.programs:
            model.programs[full] = place.backend.compile(graph, place.device)
    return model.programs[full]
