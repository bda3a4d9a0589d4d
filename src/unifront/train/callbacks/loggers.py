"""Callbacks that write the logs somewhere: a table, a server; and those that look after time and broken numbers."""

from __future__ import annotations

import csv
import importlib
import json
import os
import time
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from unifront.arguments import checked
from unifront.errors import ArgumentError, BackendMissing, FileWriteError, NonFiniteLoss
from unifront.paths import path_of
from unifront.train.callbacks.base import Callback, Logs, say


class CSVLogger(Callback):
    """Write the logs of each epoch as a row of a table.

    Args:
        filename: the file.
        separator: between the columns.
        append: whether rows are added to a file that is there; else it is replaced. Training that is resumed goes
            on in the same file in any case, where its checkpoint was.

    A number that an epoch does not have is ``NA``.
    """

    sends = True

    @checked
    def __init__(self, filename: Any, separator: str = ",", append: bool = False) -> None:
        self.filename, self.sep, self.append = os.fspath(path_of(filename)), separator, append
        self.keys: list[str] | None = None
        self._at: int | None = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._at = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        logs = logs or {}
        if self.keys is None:
            self.keys = sorted(logs)
            if not any(key.startswith("val_") for key in self.keys):  # a validation may come in a later epoch
                self.keys += [f"val_{key}" for key in self.keys]
        again = self._at is not None and os.path.exists(self.filename)
        mode = "r+" if again else "a" if self.append else "w"
        try:
            with open(self.filename, mode, newline="", encoding="utf-8") as file:
                if again:
                    file.truncate(self._at)  # epochs after a checkpoint come again
                file.seek(0, os.SEEK_END)
                writer = csv.DictWriter(file, ["epoch", *self.keys], delimiter=self.sep)
                if not file.tell():
                    writer.writeheader()
                writer.writerow({"epoch": epoch, **{key: _cell(logs.get(key, "NA")) for key in self.keys}})
                self._at = file.tell()
        except OSError as error:
            raise FileWriteError(f"Cannot write {self.filename}: {error.strerror or error}.") from error


def _cell(value: Any) -> Any:
    if isinstance(value, str) or not isinstance(value, Iterable) or getattr(value, "ndim", 1) == 0:
        return value
    return f'"[{", ".join(map(str, value))}]"'


def plain_logs(logs: Mapping[str, Any] | None) -> dict[str, Any]:
    """The logs with Python's numbers for NumPy's."""
    return {
        name: value.item() if isinstance(value, np.ndarray | np.generic) and value.size == 1 else value
        for name, value in (logs or {}).items()
    }


def library(name: str, wanted_by: str) -> Any:
    """The module ``name``. Raises `BackendMissing` (an ImportError) with what to type."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise BackendMissing(f"{wanted_by} needs the library {name}: pip install {name}") from error


class RemoteMonitor(Callback):
    """Send the logs of each epoch to a server, by HTTP POST (with the library requests).

    Args:
        root, path: the address.
        field: of the form, that holds the JSON text.
        headers: of HTTP.
        send_as_json: whether JSON is the body itself.

    A server that cannot be reached is a warning.
    """

    sends = True

    @checked
    def __init__(
        self, root: str = "http://localhost:9000", path: str = "/publish/epoch/end/", field: str = "data",
        headers: Any = None, send_as_json: bool = False,
    ) -> None:  # fmt: skip
        self.root, self.path, self.field = root, path, field
        self.headers, self.send_as_json = headers, send_as_json

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        requests = library("requests", "RemoteMonitor")
        send = {"epoch": epoch, **plain_logs(logs)}
        given = {"json": send} if self.send_as_json else {"data": {self.field: json.dumps(send)}}
        try:
            requests.post(self.root + self.path, headers=self.headers, **given)
        except requests.exceptions.RequestException:
            warnings.warn(f"Could not reach RemoteMonitor root server at {self.root}", stacklevel=2)


class TerminateOnNaN(Callback):
    """Stop training when the loss is no number any more.

    Without it `Model.fit` raises `NonFiniteLoss`, which says where the first such number came from.

    Args:
        raise_error: raise `NonFiniteLoss` at the batch instead; then ``on_train_end`` is not called.
    """

    @checked
    def __init__(self, raise_error: bool = False) -> None:
        self.raise_error = raise_error

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        loss = (logs or {}).get("loss")
        if loss is None or np.isfinite(loss):
            return
        if self.raise_error:
            raise NonFiniteRun(
                f"NaN or Inf loss encountered at batch {batch}: the loss is {loss}. Try a smaller learning rate or "
                "clipnorm=1.0, and look for NaN in the data."
            )
        say(f"Batch {batch}: the loss is {loss}; training ends.")
        self.model.stop_training = True


class NonFiniteRun(NonFiniteLoss, RuntimeError):
    """`NonFiniteLoss` by `TerminateOnNaN`; a RuntimeError too, as in Keras."""


class Throughput(Callback):
    """Put the speed of each epoch into its logs: ``steps_per_second``, ``seconds`` and ``examples_per_second``.

    Args:
        batch_size: examples a step; without it examples are not counted.
    """

    @checked
    def __init__(self, batch_size: int | None = None) -> None:
        if batch_size is not None and batch_size < 1:
            raise ArgumentError(f"Throughput: batch_size is a positive int, not {batch_size!r}.")
        self.batch_size = batch_size
        self._began = time.perf_counter()
        self._steps = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.on_epoch_begin(0)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._began, self._steps = time.perf_counter(), int(self.model.optimizer.iterations)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        seconds = time.perf_counter() - self._began
        rate = (self.model.optimizer.iterations - self._steps) / max(seconds, 1e-9)
        if logs is not None:
            logs["steps_per_second"], logs["seconds"] = rate, seconds
            if self.batch_size is not None:
                logs["examples_per_second"] = rate * self.batch_size

    def state_dict(self) -> dict[str, Any]:
        return {}
