"""Callbacks that keep the model, or all of training, in files."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any, Literal

from unifront.arguments import Count, Real, Size, checked
from unifront.errors import ArgumentError, FileWriteError
from unifront.paths import model_destination, path_of, weights_destination
from unifront.train.callbacks.base import Callback, Logs
from unifront.train.callbacks.monitors import Mode, Monitor


class ModelCheckpoint(Monitor):
    """Save the model, or its weights alone, now and then.

    Args:
        filepath: the file, ``.uf`` or ``.keras``; ``.safetensors`` or ``.weights.h5`` for weights alone. It may hold
            ``{epoch}``, counted from 1, ``{batch}`` and names of logs, with formats:
            ``"{epoch:02d}-{val_loss:.2f}.uf"``. Folders are made.
        monitor, mode, verbose: see `Monitor`.
        save_best_only: save only when ``monitor`` is better than ever; epochs without it are passed over.
        save_weights_only: save the weights alone.
        save_freq: ``"epoch"``, or a number of batches.
        initial_value_threshold: what is not better than this is not saved either, with ``save_best_only``.
        save_top_k: keep the files of so many best epochs, and remove those of the others.

    Raises `ArgumentError` for a name that promises another format, or whose parts are no logs.

    Example::

        uf.callbacks.ModelCheckpoint("models/{epoch:03d}.uf", "val_accuracy", save_top_k=3)
    """

    sends = True

    @checked
    def __init__(
        self, filepath: Any, monitor: str = "val_loss", verbose: Count = 0, save_best_only: bool = False,
        save_weights_only: bool = False, mode: Mode = "auto", save_freq: Any = "epoch",
        initial_value_threshold: Real | None = None, *, save_top_k: Size | None = None,
    ) -> None:  # fmt: skip
        super().__init__(monitor, mode, 0.0, 0, verbose)
        path = (weights_destination if save_weights_only else model_destination)(filepath)
        self.filepath, self.save_freq = os.fspath(path), save_freq
        self.save_best_only, self.save_weights_only = save_best_only, save_weights_only
        self.best, self.save_top_k = initial_value_threshold, save_top_k
        check_frequency(save_freq, "Unrecognized save_freq")
        if save_top_k is not None and save_top_k > 1 and "{" not in self.filepath:
            raise ArgumentError(
                f"ModelCheckpoint: save_top_k={save_top_k} files need different names, such as "
                f"'{{epoch:03d}}{path.suffix}', not {self.filepath!r}."
            )
        self._kept: list[tuple[float, str]] = []
        self._epoch, self._batches = 0, 0

    def wants(self, event: str) -> bool:
        return super().wants(event) and not ("batch" in event and self.save_freq == "epoch")

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """The best of an earlier training counts on, as in Keras."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._batches += 1
        if self.save_freq != "epoch" and self._batches >= self.save_freq:
            self._batches = 0
            self._save(self._epoch, batch, logs or {})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            self._save(epoch, None, logs or {})

    def _save(self, epoch: int, batch: int | None, logs: Logs) -> None:
        path = self._path(epoch, batch, logs)
        judged = bool(self.save_best_only or self.save_top_k) and self._has_log(logs)
        value = self.current(logs) if judged else None
        if judged and value is None:
            return
        if self.save_best_only and value is not None and not self.better(value, self.best):
            self.say(f"Epoch {epoch + 1}: {self.monitor} is {value:.5g}, no better than {self.best:.5g}.")
            return
        if self.save_top_k and value is not None and not self._is_among_best(value):
            return
        if value is not None and self.better(value, self.best):
            self.best = value
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileWriteError(
                f"Cannot make the folder {path.parent}: {error.strerror or error}."
            ) from error
        (self.model.save_weights if self.save_weights_only else self.model.save)(path)
        self.say(f"Epoch {epoch + 1}: saved {path}.")
        if self.save_top_k and value is not None:
            self._keep(value, os.fspath(path))

    def _has_log(self, logs: Logs) -> bool:
        """Whether what is watched comes at all; if not, a warning, and every model is saved, as in Keras."""
        known = self.monitor in logs or self.monitor in self.params.get("metrics", {})
        if not known:
            warnings.warn(
                f"{type(self).__name__} cannot tell which model is the best: there is no log {self.monitor!r} among "
                f"{', '.join(logs)}. Each is saved.",
                stacklevel=2,
            )
        return known

    def _path(self, epoch: int, batch: int | None, logs: Logs) -> Path:
        known = {**logs, "epoch": epoch + 1, **({} if batch is None else {"batch": batch + 1})}
        try:
            return path_of(self.filepath.format(**known))
        except (KeyError, ValueError, IndexError) as error:
            raise ArgumentError(
                f"Failed to format this callback filepath: {self.filepath!r}. Reason: {error}. "
                f"Known: {', '.join(known)}."
            ) from error

    def _is_among_best(self, value: float) -> bool:
        assert self.save_top_k is not None
        if value != value or len(self._kept) < self.save_top_k:
            return value == value
        return self.better(value, self._kept[-1][0])

    def _keep(self, value: float, path: str) -> None:
        assert self.save_top_k is not None
        kept = [one for one in self._kept if one[1] != path]
        more = self._more_is_better()
        self._kept = sorted([*kept, (value, path)], key=lambda one: -one[0] if more else one[0])
        for _, old in self._kept[self.save_top_k :]:
            Path(old).unlink(missing_ok=True)
        self._kept = self._kept[: self.save_top_k]

    @property
    def kept(self) -> list[tuple[float, str]]:
        """With ``save_top_k``: the values and paths of what is kept, the best first."""
        return list(self._kept)


class BackupAndRestore(Callback):
    """`Model.fit`'s ``resume`` as a callback, under Keras's name.

    Training that was interrupted goes on exactly where its last backup was, within an epoch too.

    Args:
        backup_dir: the folder.
        save_freq: ``"epoch"``, or a number of batches.
        double_checkpoint: keep the backup before the last one too, in case that is damaged.
        delete_checkpoint: remove the backup when training has ended.
    """

    sends = True

    @checked
    def __init__(
        self, backup_dir: Any, save_freq: Any = "epoch", double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ) -> None:  # fmt: skip
        if not backup_dir:
            raise ArgumentError("BackupAndRestore: Empty `backup_dir` argument passed; a folder is needed.")
        check_frequency(save_freq, "Invalid value for argument `save_freq`")
        self.backup_dir = os.fspath(path_of(backup_dir))
        self.save_freq: int | Literal["epoch"] = save_freq
        self.double_checkpoint, self.delete_checkpoint = double_checkpoint, delete_checkpoint


def check_frequency(given: Any, what: str) -> None:
    """Refuse a ``save_freq`` that is none."""
    if given != "epoch" and (not isinstance(given, int) or isinstance(given, bool) or given < 1):
        raise ArgumentError(f"{what}: {given!r}. It is 'epoch' or a number of batches.")


class SwapEMAWeights(Callback):
    """Let the averages of an optimizer with ``use_ema=True`` stand for the weights while the model is evaluated.

    Args:
        swap_on_epoch: put them in at the end of each epoch, for callbacks after this one such as `ModelCheckpoint`; the
            weights come back at the beginning of the next.
    """

    @checked
    def __init__(self, swap_on_epoch: bool = False) -> None:
        self.swap_on_epoch = swap_on_epoch
        self._swapped = False

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        if self.swap_on_epoch:
            self._show_averages(False)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.swap_on_epoch and not self._swapped:
            self._show_averages(True)
            if epoch == self.params.get("epochs", 0) - 1:  # what fit does at its end leaves them in
                for variable, average in self._pairs():
                    average.assign(variable.numpy())

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self._show_averages(True)

    def on_test_end(self, logs: Logs | None = None) -> None:
        self._show_averages(False)

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        self._show_averages(True)

    def on_predict_end(self, logs: Logs | None = None) -> None:
        self._show_averages(False)

    def _show_averages(self, shown: bool) -> None:
        if self._swapped != shown:
            for variable, average in self._pairs():
                value = variable.numpy()
                variable.assign(average.numpy())
                average.assign(value)
            self._swapped = shown

    def _pairs(self) -> list[tuple[Any, Any]]:
        optimizer = self.model.optimizer
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        if optimizer is None or not optimizer.use_ema:
            raise ArgumentError(
                "SwapEMAWeights must be used when `use_ema=True` is set on the optimizer, which has use_ema=False."
            )
        return [
            (v, optimizer.slot(v, "average")) for v in self.model.trainable_weights if optimizer.has_slots(v)
        ]
