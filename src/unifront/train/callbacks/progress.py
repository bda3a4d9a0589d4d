"""The progress bar as a callback."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unifront.train.callbacks.base import Callback, Logs
from unifront.train.progress import EpochProgress


class ProgbarLogger(Callback):
    """Draws the progress bar, for loops of yours with a `CallbackList`; `Model.fit` draws one of its own."""

    def __init__(self) -> None:
        self.seen = 0
        self.target: int | None = None
        self.verbose, self.epochs = 1, 1
        self._bar: EpochProgress | None = None
        self._in_fit = False

    def set_params(self, params: Mapping[str, Any]) -> None:
        super().set_params(params)
        verbose = params.get("verbose", 1)
        self.verbose = 1 if verbose == "auto" else verbose
        self.epochs, self.target = params.get("epochs") or 1, params.get("steps")

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._in_fit = True

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._begin(epoch)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._advance(batch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._end(epoch, logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        if not self._in_fit:
            self._begin(0)

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if not self._in_fit:
            self._advance(batch, logs)

    def on_test_end(self, logs: Logs | None = None) -> None:
        if not self._in_fit:
            self._end(0, logs)

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        self._begin(0)

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._advance(batch, None)

    def on_predict_end(self, logs: Logs | None = None) -> None:
        self._end(0, None)

    def _begin(self, epoch: int) -> None:
        self.seen = 0
        self._bar = EpochProgress(self.verbose, self.epochs, "")
        self._bar.__enter__()
        self._bar.begin(epoch, self.target)

    def _advance(self, batch: int, logs: Logs | None) -> None:
        if self._bar is None:
            self._begin(0)
        assert self._bar is not None
        self._bar.advance(batch + 1 - self.seen, logs)
        self.seen = batch + 1

    def _end(self, epoch: int, logs: Logs | None) -> None:
        if self._bar is not None:
            self._bar.end(epoch, logs or {})
            self._bar.__exit__()
            self._bar = None
