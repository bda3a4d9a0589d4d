"""Callbacks: what happens at the ends of epochs and batches. Names as in Keras."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from rich.console import Console

from unifront.arguments import Amount, Count, Real, checked, shown, within
from unifront.errors import ArgumentError, UnknownName

if TYPE_CHECKING:
    from unifront.model import Model

Logs = dict[str, float]
Mode = Literal["auto", "min", "max"]


class Callback:
    """Override what you need.

    ``self.model`` is the model; its ``stop_training = True`` ends training. ``self.params`` holds ``epochs``,
    ``steps`` (of an epoch; None where that is not known), ``verbose``, and ``metrics``, which maps the names of
    the logs to ``"min"``, ``"max"`` or None: whether less is better, or more, or that is not known.
    """

    model: Model
    params: Mapping[str, Any] = MappingProxyType({})

    def set_model(self, model: Model) -> None:
        """Called once before training."""
        self.model = model

    def set_params(self, params: Mapping[str, Any]) -> None:
        """Called once before training."""
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """After the last epoch; not after an error or an interrupt."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Before each epoch, counted from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """After each epoch, with the losses and metrics of training and validation.

        What is added to ``logs`` reaches the callbacks after this one, and the history.
        """

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before each batch. Overriding this makes training wait for the device at every batch."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After each batch. Overriding this makes training wait for the device at every batch."""

    def __repr__(self) -> str:
        own = {name: value for name, value in vars(self).items() if name not in ("model", "params")}
        text = ", ".join(f"{name}={shown(value)}" for name, value in own.items() if name[0] != "_")
        return f"<{type(self).__name__}({text})>"


def watches_batches(callback: Callback) -> bool:
    """Whether ``callback`` overrides what happens at the ends of batches."""
    events = ("on_train_batch_begin", "on_train_batch_end")
    return any(
        getattr(getattr(callback, event), "__func__", None) is not getattr(Callback, event)
        for event in events
    )


class History(Callback):
    """What `Model.fit` returns: ``history`` maps each loss and metric to its values, epoch by epoch."""

    def __init__(self) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[float]] = {}

    def __repr__(self) -> str:
        last = ", ".join(f"{name} {values[-1]:.4g}" for name, values in self.history.items() if values)
        return f"<History of {len(self.epoch)} epochs{f': at last {last}' if last else ''}>"

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)


class LambdaCallback(Callback):
    """A callback made of functions, which take what the methods of `Callback` of these names take.

    Example::

        uf.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs["loss"]))
    """

    @checked
    def __init__(
        self,
        on_epoch_begin: Callable[..., Any] | None = None,
        on_epoch_end: Callable[..., Any] | None = None,
        on_train_begin: Callable[..., Any] | None = None,
        on_train_end: Callable[..., Any] | None = None,
        on_train_batch_begin: Callable[..., Any] | None = None,
        on_train_batch_end: Callable[..., Any] | None = None,
    ) -> None:
        given = {event: function for event, function in locals().items() if event.startswith("on_")}
        for event, function in given.items():
            if function is not None:
                setattr(self, event, function)


class Monitor(Callback):
    """Watches one of the logs get better.

    Args:
        monitor: a name in the logs, such as ``val_loss``.
        mode: whether less is better (``"min"``) or more (``"max"``); ``"auto"``: as the metric says, else
            by its name: less of a loss, more of an accuracy.
        min_delta: what a change must exceed to be one; NaN is never better than anything.
        patience: epochs without a better value after which something happens.
        verbose: 1 to print what happens, 0 not to.

    Raises `UnknownName` for a mode that is none, and for a log that does not come; `ArgumentError` where
    ``"auto"`` cannot know.
    """

    @checked
    def __init__(self, monitor: str, mode: Mode, min_delta: Real, patience: Count, verbose: Count) -> None:
        self.monitor, self.mode, self.verbose = monitor, mode, verbose
        self.min_delta, self.patience = abs(min_delta), patience
        self.best: float | None = None
        self.wait = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.best, self.wait = None, 0

    def current(self, logs: Mapping[str, float]) -> float | None:
        """The value to judge; None in an epoch without validation."""
        if self.monitor not in logs and self.monitor not in self.params.get("metrics", {}):
            raise UnknownName(f"log for {type(self).__name__} to monitor", self.monitor, logs)
        return logs.get(self.monitor)

    def better(self, value: float, reference: float | None) -> bool:
        """Whether ``value`` is better than ``reference``; than None, every number is."""
        more = self._more_is_better()
        if reference is None:
            return not np.isnan(value)
        return value - self.min_delta > reference if more else value + self.min_delta < reference

    def _more_is_better(self) -> bool:
        mode = self.params.get("metrics", {}).get(self.monitor) if self.mode == "auto" else self.mode
        if mode is None and ("loss" in self.monitor or "acc" in self.monitor):
            mode = "min" if "loss" in self.monitor else "max"
        if mode is None:
            raise ArgumentError(
                f"{type(self).__name__}: whether less or more of {self.monitor!r} is better is not known; say "
                "mode='min' or mode='max'."
            )
        return bool(mode == "max")

    def say(self, text: str) -> None:
        """Print, if ``verbose``; above the progress bar."""
        if self.verbose:
            Console().print(text, highlight=False)


class EarlyStopping(Monitor):
    """Stop when ``monitor`` has not got better by ``min_delta`` for ``patience`` epochs; as in Keras.

    Args:
        monitor, min_delta, patience, verbose, mode: see `Monitor`.
        baseline: only values better than this one end the wait.
        restore_best_weights: put the weights of the best epoch back at the end, whether training was stopped
            or not.
        start_from_epoch: epochs before this one are not looked at.

    Afterwards ``stopped_epoch`` is the epoch that was the last (0 if training was not stopped), and ``best``
    and ``best_epoch`` are those of the best one.
    """

    @checked
    def __init__(
        self, monitor: str = "val_loss", min_delta: Real = 0.0, patience: Count = 0, verbose: Count = 0,
        mode: Mode = "auto", baseline: Real | None = None, restore_best_weights: bool = False,
        start_from_epoch: Count = 0,
    ) -> None:  # fmt: skip
        super().__init__(monitor, mode, min_delta, patience, verbose)
        self.baseline, self.restore_best_weights = baseline, restore_best_weights
        self.start_from_epoch = start_from_epoch
        self.best_epoch, self.stopped_epoch = 0, 0
        self._weights: list[np.ndarray] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        super().on_train_begin()
        self.best_epoch, self.stopped_epoch, self._weights = 0, 0, None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        value = self.current(logs or {})
        if value is None or epoch < self.start_from_epoch:
            return
        better = self.better(value, self.best)
        if self.restore_best_weights and (better or self._weights is None):
            self._weights, self.best_epoch = self.model.get_weights(), epoch
        self.wait += 1
        if better:
            self.best, self.best_epoch = value, epoch
            if self.baseline is None or self.better(value, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.stopped_epoch:
            self.say(f"Stopped after epoch {self.stopped_epoch + 1}.")
        if self._weights is not None:
            self.say(f"The weights are those after epoch {self.best_epoch + 1}, the best.")
            self.model.set_weights(self._weights)


class ReduceLROnPlateau(Monitor):
    """Multiply the learning rate by ``factor`` after ``patience`` epochs without a better ``monitor``.

    As in Keras, but that a schedule is refused at the beginning. The rate of each epoch is put into the logs,
    as ``learning_rate``.

    Args:
        factor: in (0, 1).
        monitor, patience, verbose, mode, min_delta: see `Monitor`.
        cooldown: epochs after a change that do not count.
        min_lr: the rate is never made smaller than this.
    """

    @checked
    def __init__(
        self, monitor: str = "val_loss", factor: Annotated[float, within("(0, 1)")] = 0.1,
        patience: Count = 10, verbose: Count = 0, mode: Mode = "auto", min_delta: Real = 1e-4,
        cooldown: Count = 0, min_lr: Amount = 0.0,
    ) -> None:  # fmt: skip
        super().__init__(monitor, mode, min_delta, patience, verbose)
        self.factor, self.cooldown, self.min_lr = factor, cooldown, min_lr
        self._cooling = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        super().on_train_begin()
        self._cooling = 0
        if callable(self.model.optimizer.learning_rate):
            raise ArgumentError(
                "ReduceLROnPlateau needs a constant learning rate; the optimizer has a schedule."
            )

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = {} if logs is None else logs
        optimizer = self.model.optimizer
        logs["learning_rate"] = rate = float(optimizer.learning_rate)
        value = self.current(logs)
        if value is None:
            return
        self._cooling = max(0, self._cooling - 1)
        if self.better(value, self.best):
            self.best, self.wait = value, 0
        elif self._cooling:
            self.wait = 0
        else:
            self.wait += 1
            if self.wait >= self.patience and rate > self.min_lr:
                optimizer.learning_rate = max(rate * self.factor, self.min_lr)
                self.say(f"The learning rate is {optimizer.learning_rate:g} after epoch {epoch + 1}.")
                self._cooling, self.wait = self.cooldown, 0


class CallbackList:
    """The callbacks of one `fit`: ``given`` is one, several or None; ``more`` come after."""

    def __init__(self, given: Any, *more: Callback) -> None:
        listed = given if isinstance(given, list | tuple) else [] if given is None else [given]
        self.callbacks: list[Callback] = [*listed, *more]
        self.around: Callable[[], AbstractContextManager[None]] = nullcontext
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                raise ArgumentError(f"A callback is a uf.callbacks.Callback, not {callback!r}.")

    def attach(self, model: Model, params: Mapping[str, Any]) -> None:
        """Tell every callback what it belongs to."""
        for callback in self.callbacks:
            callback.set_model(model)
            callback.set_params(params)

    @property
    def watchers(self) -> list[Callback]:
        """The callbacks that watch every batch."""
        return [callback for callback in self.callbacks if watches_batches(callback)]

    def each(self, event: str, *args: Any) -> None:
        """Call ``event`` of every callback, within what is ``around`` the user's code."""
        with self.around():
            for callback in self.callbacks:
                getattr(callback, event)(*args)
