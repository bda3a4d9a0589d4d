"""Callbacks that watch one of the logs: stopping early, and learning rates."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import numpy as np

from unifront import ops
from unifront.arguments import Amount, Count, Real, checked, within
from unifront.errors import ArgumentError, UnknownName
from unifront.train.callbacks.base import Callback, Logs, rated, say

Mode = Literal["auto", "min", "max"]


def _rate_of(callback: Callback, optimizer: Any) -> float:
    """The learning rate of an optimizer of the model; `ScheduledRate` if it has a schedule."""
    schedule = getattr(optimizer, "schedule", None)
    if schedule is not None:
        raise ScheduledRate(
            f"{type(callback).__name__} sets the learning rate, so the optimizer needs a constant one. "
            f"This optimizer was created with a `LearningRateSchedule`: {schedule!r}."
        )
    return float(optimizer.learning_rate)


def _rates(callback: Callback) -> dict[str, float]:
    """The learning rates of the model, by what the logs call them."""
    return {name: _rate_of(callback, one) for name, one in rated(callback.model.optimizer).items()}


class ScheduledRate(ArgumentError, TypeError):
    """A learning rate is to be set that a schedule gives; a TypeError too, as in Keras."""


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

    @property
    def monitor_op(self) -> Any:
        """`uf.ops.greater` or `uf.ops.less`: how a better value compares with the best one."""
        return ops.greater if self._more_is_better() else ops.less

    def say(self, text: str) -> None:
        """Print, if ``verbose``; above the progress bar."""
        if self.verbose:
            say(text)


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
        self.best_weights: list[np.ndarray] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        super().on_train_begin()
        self.best_epoch, self.stopped_epoch, self.best_weights = 0, 0, None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        value = self.current(logs or {})
        if value is None or epoch < self.start_from_epoch:
            return
        better = self.better(value, self.best)
        if self.restore_best_weights and (better or self.best_weights is None):
            self.best_weights, self.best_epoch = self.model.get_weights(), epoch
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
        if self.best_weights is not None:
            self.say(f"The weights are those after epoch {self.best_epoch + 1}, the best.")
            self.model.set_weights(self.best_weights)


class ReduceLROnPlateau(Monitor):
    """Multiply the learning rate by ``factor`` after ``patience`` epochs without a better ``monitor``.

    As in Keras, but that a schedule is refused at the beginning. The rate of each epoch is put into the logs, as
    ``learning_rate``; those of a `MultiOptimizer`, each of which is multiplied, as ``learning_rate_NAME``.

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
        self.cooldown_counter = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        super().on_train_begin()
        self.cooldown_counter = 0
        _rates(self)

    def in_cooldown(self) -> bool:
        """Whether a change is so recent that epochs do not count."""
        return self.cooldown_counter > 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = {} if logs is None else logs
        logs.update(_rates(self))
        value = self.current(logs)
        if value is None:
            return
        self.cooldown_counter = max(0, self.cooldown_counter - 1)
        if self.better(value, self.best):
            self.best, self.wait = value, 0
        elif self.cooldown_counter:
            self.wait = 0
        else:
            self.wait += 1
            if self.wait >= self.patience and self._reduce(epoch):
                self.cooldown_counter, self.wait = self.cooldown, 0

    def _reduce(self, epoch: int) -> bool:
        """Make the rates smaller; whether there was one that could be."""
        high = {
            name: one
            for name, one in rated(self.model.optimizer).items()
            if _rate_of(self, one) > self.min_lr
        }
        for name, one in high.items():
            one.learning_rate = max(_rate_of(self, one) * self.factor, self.min_lr)
            self.say(f"The {name.replace('_', ' ')} is {one.learning_rate:g} after epoch {epoch + 1}.")
        return bool(high)


class LearningRateScheduler(Callback):
    """Set the learning rate at the beginning of each epoch.

    Args:
        schedule: a function ``(epoch, learning rate) -> learning rate``, or of the epoch alone; epochs count from 0.
        verbose: 1 to print the rates, 0 not to.

    The rate of each epoch is put into the logs, as ``learning_rate``. The rates of a `MultiOptimizer` are set one by
    one, each from its own, and are ``learning_rate_NAME`` there.

    Raises `ArgumentError` if the function gives no float, or the optimizer has a schedule of its own.

    Example::

        uf.callbacks.LearningRateScheduler(lambda epoch, rate: rate if epoch < 10 else rate * 0.9)
    """

    @checked
    def __init__(self, schedule: Callable[..., Any], verbose: Count = 0) -> None:
        self.schedule, self.verbose = schedule, verbose
        self._takes_rate = _takes_two(schedule)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        for name, optimizer in rated(self.model.optimizer).items():
            given = (epoch, _rate_of(self, optimizer)) if self._takes_rate else (epoch,)
            rate = self.schedule(*given)
            if not isinstance(rate, float | np.floating):
                raise ArgumentError(
                    "LearningRateScheduler: The output of the `schedule` function should be a float, not "
                    f"{rate!r}."
                )
            optimizer.learning_rate = float(rate)
            if self.verbose:
                say(f"Epoch {epoch + 1}: the {name.replace('_', ' ')} is {float(rate):g}.")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if logs is not None:
            logs.update(_rates(self))


def _takes_two(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind(0, 0.0)
    except TypeError:
        return False
    except ValueError:  # a function without a signature
        return True
    return True
