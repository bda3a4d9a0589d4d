"""`fit` and `evaluate`: one loop for every backend.

The loop gives the device its work in blocks and reads the running sums a few times a second; it never waits
for a number to print it. Arrays are moved to the device once.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from unifront import tree
from unifront.backends import Placement, placement
from unifront.config import is_interactive_logging_enabled
from unifront.errors import ArgumentError
from unifront.trace import current_seed
from unifront.train import data, limits, losses, optimizers
from unifront.train.arguments import number, optional, whole
from unifront.train.callbacks import BackupAndRestore, CallbackList, History, TerminateOnNaN
from unifront.train.compiled import Compiled
from unifront.train.data import Arrays, Stream
from unifront.train.epochs import Run
from unifront.train.interrupts import Interrupts
from unifront.train.making import call_seed, listeners_of, open_session, step_for
from unifront.train.metrics.registry import for_output
from unifront.train.order import Order
from unifront.train.outputs import CROSSENTROPIES
from unifront.train.progress import EpochProgress
from unifront.train.resume import Place, Resume
from unifront.train.sources import Source, close, count_of, each, first_of, held_out_of, source_of

if TYPE_CHECKING:
    from unifront.model import Model

Logs = dict[str, float]
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
    size = data.size_of_batches(model, optional("batch_size", batch_size))
    validation_size = optional("validation_batch_size", validation_batch_size) or size
    limit = optional("steps_per_epoch", steps_per_epoch)
    validation_limit = optional("validation_steps", validation_steps)
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
    source = source_of(model, training, x, y, sample_weight, class_weight, size, shuffle)
    held_out = held_out_of(model, training, validation_data, validation_size)
    if validation_split:
        if not isinstance(source, Arrays) or held_out is not None:
            raise ArgumentError("validation_split needs arrays, and no validation_data beside it.")
        source, held_out = data.split(source, validation_split)
        data.check_whole_batches(model, len(source))
    few = limits.batches("overfit_batches", overfit_batches, count_of(source, size))
    if few is not None:
        if not isinstance(source, Arrays):
            raise ArgumentError("overfit_batches needs arrays; of other data take limit_train_batches.")
        source = source.take(slice(0, few * size))
        held_out = None if held_out is None else source
    total = count_of(source, size)
    most = limits.least(trial, limits.batches("limit_train_batches", limit_train_batches, total))
    if limit is not None:
        limit, most = limits.least(limit, most), None
    if held_out is not None:
        of_all = limits.batches("limit_val_batches", limit_val_batches, count_of(held_out, validation_size))
        validation_limit = limits.least(validation_limit, trial, of_all)
    if limit is None and most is None and isinstance(source, Stream) and source.is_endless:
        raise ArgumentError(f"x is {source.kind.name} without an end: give steps_per_epoch.")
    if limit is not None and isinstance(source, Stream):
        source.left = 0  # until an epoch begins
    if keeper is not None:
        keeper.start(source)
    first, batches = first_of(source, "train on")
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
            close(source)
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
    size = data.size_of_batches(model, optional("batch_size", batch_size))
    limit = optional("steps", steps)
    source = source_of(model, training, x, y, sample_weight, None, size)
    with Interrupts() as interrupts:
        listeners = listeners_of(model, callbacks, interrupts)
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
        first, batches = first_of(source, "evaluate")
    if isinstance(source, Arrays):
        batches = (source.take(slice(i, i + size)) for i in range(0, len(source), size))
    runs = [0]
    step = step_for(model, training, first, train=False)
    session = open_session(model, training, step, place, call_seed(step), runs, train=False)
    if isinstance(source, Stream):
        source.put = session.put
    try:
        session.reset_metrics()
        for number, batch in enumerate(each(itertools.islice(batches, limit), interrupts)):
            data.like_the_first(step, batch, number)
            watchers.on_test_batch_begin(number)
            session.run_on(batch.placed or [session.put(array) for array in batch.all])
            if len(watchers):
                watchers.on_test_batch_end(number, session.logs())
            if model.stop_evaluating:
                break
        logs = session.logs()
    finally:
        close(source)
        session.close()
    listeners.on_test_end(logs)
    return logs
