"""Callbacks: what happens at the ends of epochs and batches. Names as in Keras."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from unifront.errors import ArgumentError, UnknownName

if TYPE_CHECKING:
    from unifront.model import Model

Logs = dict[str, float]


class Callback:
    """Override what you need. ``self.model`` is the model; its ``stop_training = True`` ends training."""

    model: Model

    def set_model(self, model: Model) -> None:
        """Called once before training."""
        self.model = model

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """After the last epoch."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Before each epoch, counted from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """After each epoch, with the losses and metrics of training and validation."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before each batch. Overriding this makes training wait for the device at every batch."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After each batch. Overriding this makes training wait for the device at every batch."""


def watches_batches(callback: Callback) -> bool:
    """Whether ``callback`` overrides what happens at the ends of batches."""
    own = type(callback)
    return (own.on_train_batch_begin, own.on_train_batch_end) != (
        Callback.on_train_batch_begin,
        Callback.on_train_batch_end,
    )


class History(Callback):
    """What `Model.fit` returns: ``history`` maps each loss and metric to its values, epoch by epoch."""

    def __init__(self) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[float]] = {}

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)


class LambdaCallback(Callback):
    """A callback made of functions."""

    def __init__(
        self, on_epoch_begin: Callable[..., Any] | None = None, on_epoch_end: Callable[..., Any] | None = None
    ) -> None:
        self._begin, self._end = on_epoch_begin, on_epoch_end

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        if self._begin:
            self._begin(epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self._end:
            self._end(epoch, logs)


class EarlyStopping(Callback):
    """Stop when ``monitor`` has not got better by ``min_delta`` for ``patience`` epochs.

    Args:
        monitor: a name in the logs, such as ``val_loss``.
        mode: ``"min"``, ``"max"`` or ``"auto"`` (max for names that contain ``acc``).
        restore_best_weights: put the weights of the best epoch back at the end.
    """

    def __init__(
        self, monitor: str = "val_loss", min_delta: float = 0.0, patience: int = 0, mode: str = "auto",
        restore_best_weights: bool = False,
    ) -> None:  # fmt: skip
        if mode not in ("auto", "min", "max"):
            raise UnknownName("mode", mode, ("auto", "min", "max"))
        if patience < 0:
            raise ArgumentError(f"EarlyStopping: patience is >= 0, not {patience}.")
        self.monitor, self.min_delta, self.patience = monitor, abs(min_delta), patience
        self.sign = 1.0 if mode == "max" or (mode == "auto" and "acc" in monitor) else -1.0
        self.restore_best_weights = restore_best_weights
        self.best, self.best_epoch, self.stopped_epoch = -np.inf, 0, 0
        self._weights: list[np.ndarray] | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.best, self.best_epoch, self.stopped_epoch, self._weights = -np.inf, 0, 0, None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        value = _monitored(self.monitor, logs or {})
        if self.sign * value > self.best + self.min_delta:
            self.best, self.best_epoch = self.sign * value, epoch
            if self.restore_best_weights:
                self._weights = self.model.get_weights()
        elif epoch - self.best_epoch >= self.patience:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self._weights is not None:
            self.model.set_weights(self._weights)


class ReduceLROnPlateau(Callback):
    """Multiply the learning rate by ``factor`` after ``patience`` epochs without a better ``monitor``."""

    def __init__(
        self, monitor: str = "val_loss", factor: float = 0.1, patience: int = 10, min_delta: float = 1e-4,
        min_lr: float = 0.0,
    ) -> None:  # fmt: skip
        self.monitor, self.factor, self.patience = monitor, factor, patience
        self.min_delta, self.min_lr = min_delta, min_lr
        self.sign = 1.0 if "acc" in monitor else -1.0
        self.best, self.waited = -np.inf, 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        value = self.sign * _monitored(self.monitor, logs or {})
        if value > self.best + self.min_delta:
            self.best, self.waited = value, 0
            return
        self.waited += 1
        if self.waited >= self.patience:
            optimizer = self.model.optimizer
            if callable(optimizer.learning_rate):
                raise ArgumentError(
                    "ReduceLROnPlateau needs a constant learning rate; the optimizer has a schedule."
                )
            optimizer.learning_rate = max(optimizer.learning_rate * self.factor, self.min_lr)
            self.waited = 0


def _monitored(name: str, logs: Mapping[str, float]) -> float:
    if name not in logs:
        raise UnknownName("log to monitor", name, logs)
    return logs[name]


class CallbackList(Callback):
    """Several callbacks as one."""

    def __init__(self, callbacks: Sequence[Callback], model: Model) -> None:
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                raise ArgumentError(f"A callback is a uf.callbacks.Callback, not {callback!r}.")
            callback.set_model(model)

    def each(self, event: str, *args: Any) -> None:
        """Call ``event`` of every callback."""
        for callback in self.callbacks:
            getattr(callback, event)(*args)
