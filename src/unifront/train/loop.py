"""`fit`: one loop for every backend.

The loop gives the device its work in blocks and reads the running sums a few times a second; it never waits
for a number to print it. Arrays are moved to the device once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from unifront import tree
from unifront.backends import Placement, placement
from unifront.config import is_interactive_logging_enabled
from unifront.errors import ArgumentError
from unifront.trace import current_seed
from unifront.train import limits, losses, optimizers
from unifront.train.arguments import number, whole
from unifront.train.callbacks import BackupAndRestore, CallbackList, History, TerminateOnNaN
from unifront.train.compiled import Compiled
from unifront.train.data import Arrays, Stream, warn_of_end
from unifront.train.epochs import Run
from unifront.train.evaluating import evaluated
from unifront.train.given import Asked, Given
from unifront.train.interrupts import Interrupts
from unifront.train.making import grown, open_session, step_for
from unifront.train.metrics.registry import for_output
from unifront.train.order import Order
from unifront.train.outputs import CROSSENTROPIES
from unifront.train.progress import EpochProgress
from unifront.train.resume import Place, Resume
from unifront.train.session import Session
from unifront.train.sources import close, first_of
from unifront.train.step import TracedStep

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
    validation_freq: int | Sequence[int] = 1,
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
    trial = limits.trial_batches(fast_dev_run)
    asked = Asked(
        batch_size, validation_split, validation_batch_size, steps_per_epoch, validation_steps, trial, overfit_batches,
        limit_train_batches, limit_val_batches,
    )  # fmt: skip
    epochs, initial_epoch = whole("epochs", epochs, 0), whole("initial_epoch", initial_epoch, 0)
    if verbose not in VERBOSE:
        raise ArgumentError(f"verbose is 'auto', 0, 1 or 2, not {verbose!r}.")
    if shuffle not in (True, False):
        raise ArgumentError(f"shuffle is True or False, not {shuffle!r}.")
    allowed = limits.seconds(max_time)
    listeners = CallbackList(callbacks, add_history=True)
    if trial is not None:
        listeners.callbacks = [one for one in listeners.callbacks if not one.sends]
        resume, epochs = None, min(epochs, initial_epoch + 1)
    shuffle = bool(shuffle) and overfit_batches is None
    keeper, backup = _keeper(listeners, resume, save_every)
    given = asked.of(model, training, x, y, sample_weight, class_weight, validation_data, shuffle)
    if keeper is not None:
        keeper.start(given.source)
    first, batches = first_of(given.source, "train on")
    if training.optimizer is None:
        raise ArgumentError("The model was compiled without an optimizer; call compile(optimizer=...).")
    if keeper is not None:
        keeper.freeze(model)
    step = step_for(model, training, first, place, train=True)
    resumed = None if keeper is None else keeper.take_up(model, step)
    span = range(initial_epoch, epochs)
    fitting = _Fit(
        model, training, place, given, first, step, listeners, keeper, resumed, span, validation_freq,
        _loudness(verbose), allowed,
    )  # fmt: skip
    listeners.set_model(model)
    listeners.set_params(fitting.told())
    model.stop_training = False
    with Interrupts() as interrupts, alone(model):
        listeners.around = interrupts.users
        fitting.train(batches, interrupts, shuffle, detect_anomaly)
        if keeper is not None:
            keeper.check()
            if backup is not None and backup.delete_checkpoint:
                keeper.remove()
    model.history = next(one for one in listeners.callbacks if isinstance(one, History))
    return model.history


@dataclass(frozen=True)
class _Fit:
    """One call of `fit`: all is checked, the step is traced, nothing has begun.

    Args:
        example: what the step was traced for.
        keeper, resumed: what keeps checkpoints, and the place found in one.
        frequency: epochs from one validation to the next, or the numbers of those with one, counted from 1.
        allowed: seconds it may take.
    """

    model: Model
    training: Compiled
    place: Placement
    given: Given
    example: Arrays
    step: TracedStep
    listeners: CallbackList
    keeper: Resume | None
    resumed: Place | None
    epochs: range
    frequency: int | Sequence[int]
    verbose: int
    allowed: float | None

    def told(self) -> dict[str, Any]:
        """What callbacks are told of it."""
        goals = {name: getattr(log, "goal", None) for name, log in self.step.logs.items()}
        if self.given.held_out is not None:
            goals |= {f"val_{name}": goal for name, goal in goals.items()}
        counts = {"epochs": self.epochs.stop, "steps": self.given.batches}
        return {**counts, "verbose": self.verbose, "metrics": goals, "backend": self.place.name}

    def train(self, batches: Iterator[Arrays], interrupts: Interrupts, shuffle: bool, detects: bool) -> None:
        """Train; ``batches`` are those of the first pass over data that give batches."""
        keeper, resumed, given = self.keeper, self.resumed, self.given
        optimizer = self.training.optimizer
        assert optimizer is not None
        runs = [optimizer.calls if keeper is None or resumed is None else keeper.runs]
        begun = runs[0]
        session = self._opened(self.step, runs)
        if isinstance(given.source, Stream):
            given.source.put = session.put
        length = len(given.source) if isinstance(given.source, Arrays) else 0
        order = Order(length, given.size, shuffle, current_seed(), given.steps, given.most)
        watchers = self.listeners.those_that_want("on_train_batch_begin", "on_train_batch_end")
        run = Run(
            session, self.model, given.source, batches, order, watchers, interrupts,
            lambda batch: self._grow(run, batch), keeper,
        )  # fmt: skip
        run.bears_nan = any(isinstance(one, TerminateOnNaN) for one in self.listeners.callbacks)
        run.detects = detects
        try:
            session.reset_metrics()  # a backend that cannot train says so before a bar is drawn
            with EpochProgress(self.verbose, self.epochs.stop, self.place.name) as progress:
                self.listeners.on_train_begin()
                if keeper is not None:
                    keeper.tell(self.listeners.callbacks)
                    keeper.begin(session, self.listeners.callbacks)
                if resumed is not None:
                    run.go_to(resumed)
                if self.allowed is not None:
                    run.until = time.monotonic() + self.allowed - (0.0 if keeper is None else keeper.seconds)
                logs = self._epochs(run, progress)
                if self.epochs:  # before callbacks put other weights back
                    optimizer.finalize_variable_values(self.model.trainable_weights)
                self.listeners.on_train_end(logs)
        finally:
            close(given.source)
            run.session.close()
            self.model._steps += runs[0] - begun
            if keeper is not None:
                keeper.close()

    def _opened(self, step: TracedStep, runs: list[int]) -> Session:
        return open_session(self.model, self.training, step, self.place, current_seed(), runs, train=True)

    def _follow(self, run: Run) -> None:
        """Go on with another step: a callback has frozen layers, or thawed them."""
        run.session.close()
        step = step_for(self.model, self.training, self.example, self.place, train=True)
        run.session = self._opened(step, run.session.runs)
        if self.keeper is not None:
            self.keeper.follow(step, run.session)

    def _grow(self, run: Run, batch: Arrays) -> None:
        """Go on with a step for ``batch``, where the model's sizes have become free."""
        session = grown(self.model, self.training, run.session, batch, current_seed(), train=True)
        if session is not run.session:
            run.session = session
            if self.keeper is not None:
                self.keeper.follow(session.step, session)

    def _epochs(self, run: Run, progress: EpochProgress) -> Logs:
        """The epochs, from the place that was resumed on; the logs of the last one."""
        model, keeper, resumed, listeners = self.model, self.keeper, self.resumed, self.listeners
        logs: Logs = {}
        trained = model.trainable_state()
        first = self.epochs.start if resumed is None else max(self.epochs.start, resumed.epoch)
        for epoch in range(first, self.epochs.stop):
            under_way = resumed if resumed is not None and resumed.done else None
            if run.is_over() or (under_way is None and resumed is not None and model.stop_training):
                break
            resumed = None
            if under_way is None:
                listeners.on_epoch_begin(epoch)
            if trained != (trained := model.trainable_state()):
                self._follow(run)
            found = run.epoch(epoch, progress, under_way)
            if run.ran_out:
                warn_of_end(epoch, self.given.steps)
                if not found:
                    break
            logs = found
            if self._validates(epoch + 1):
                logs |= self._validated(run.interrupts)
            progress.end(epoch, logs)
            listeners.on_epoch_end(epoch, logs)
            last = model.stop_training or run.ran_out or epoch + 1 == self.epochs.stop
            if keeper is not None and not keeper.out_of_time and (keeper.every.epoch or last):
                keeper.save(run.place(epoch + 1, 0))
            if last:
                break
        return logs

    def _validates(self, number: int) -> bool:
        every = self.frequency
        return number % every == 0 if isinstance(every, int) else number in every

    def _validated(self, interrupts: Interrupts) -> Logs:
        given = self.given
        if given.held_out is None:
            return {}
        found = evaluated(
            self.model, self.training, given.held_out, given.held_out_size, self.place, given.held_out_steps,
            interrupts, self.listeners,
        )  # fmt: skip
        return {f"val_{name}": value for name, value in found.items()}


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
