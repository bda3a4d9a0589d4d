"""Checkpoints of Orbax, by its own package, on every backend."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np

from unifront import tree
from unifront.arguments import Count, Real, Size, checked
from unifront.errors import BackendMissing
from unifront.layers.kept import refuse
from unifront.paths import path_of
from unifront.train.callbacks.base import Logs
from unifront.train.callbacks.checkpoints import check_frequency
from unifront.train.callbacks.monitors import Mode, Monitor


def orbax() -> Any:
    """The module ``orbax.checkpoint.v1``; `BackendMissing` with what to type where it is not installed."""
    try:
        from orbax.checkpoint import v1
    except ImportError as error:
        raise BackendMissing(
            "Orbax's checkpoints need the package orbax-checkpoint. Install it: pip install 'unifront[orbax]'"
        ) from error
    return v1


class OrbaxCheckpoint(Monitor):
    """Save the weights, the optimizer's values and the description of the model as a checkpoint of Orbax, now and then.

    The folder is Orbax's own, with a numbered folder for each checkpoint; `uf.load` and `uf.models.load_model` read
    the latest, and `Model.load_weights` its values alone. Values are kept under the paths of the variables, which
    differ from Keras's, so neither reads the other's checkpoints. For going on exactly where training was, in the
    middle of an epoch too and without Orbax, there is ``fit(resume=folder)``.

    Args:
        directory: the folder; it is made.
        monitor, mode, verbose: see `Monitor`.
        save_best_only: save only when ``monitor`` is better than ever.
        save_freq: ``"epoch"``, where the number of a checkpoint is that of the epoch, counted from 0; or a number of
            batches, where it is that of the batches so far.
        initial_value_threshold: what is not better than this is not saved either, with ``save_best_only``.
        max_to_keep: so many of the latest checkpoints are kept; all of them for None.
        save_on_background: let files be written while training goes on. It ends when they are all there.
        save_weights_only: leave the optimizer and the description out.

    Raises `BackendMissing` without the package ``orbax-checkpoint``. Source: ``keras.callbacks.OrbaxCheckpoint``.

    Example::

        uf.callbacks.OrbaxCheckpoint("checkpoints", "val_accuracy", save_best_only=True, max_to_keep=3)
    """

    sends = True

    @checked
    def __init__(
        self, directory: Any, monitor: str = "val_loss", verbose: Count = 0, save_best_only: bool = False,
        mode: Mode = "auto", save_freq: Any = "epoch", initial_value_threshold: Real | None = None,
        max_to_keep: Size | None = 1, save_on_background: bool = True, save_weights_only: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(monitor, mode, 0.0, 0, verbose)
        check_frequency(save_freq, "Unrecognized save_freq")
        orbax()
        self.directory, self.save_freq = os.path.abspath(path_of(directory)), save_freq
        self.save_best_only, self.save_weights_only = save_best_only, save_weights_only
        self.best, self.max_to_keep = initial_value_threshold, max_to_keep
        self.save_on_background = save_on_background
        self._batches, self._since, self._last = 0, 0, -1
        self._open: Any = None
        self._written: list[Any] = []

    @property
    def checkpointer(self) -> Any:
        """Orbax's ``training.Checkpointer`` of the folder; training closes it at its end."""
        if self._open is None:
            policies = orbax().training
            keep = policies.preservation_policies.LatestN(self.max_to_keep) if self.max_to_keep else None
            every = policies.save_decision_policies.FixedIntervalPolicy(1)
            self._open = policies.Checkpointer(
                directory=self.directory, preservation_policy=keep, save_decision_policy=every
            )
        return self._open

    def wants(self, event: str) -> bool:
        return super().wants(event) and not ("batch" in event and self.save_freq == "epoch")

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """The best of an earlier training counts on, and so do the batches of a model that was loaded."""
        assert self.checkpointer is not None  # the folder is there even if nothing is saved
        self._batches = int(self.model.optimizer.iterations)
        self._since = 0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._last = -1

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        done, self._last = batch - self._last, batch
        self._batches += done
        self._since += done
        if self.save_freq != "epoch" and self._since >= self.save_freq:
            self._since = 0
            self._save(self._batches, logs or {})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            self._save(epoch, logs or {})

    def on_train_end(self, logs: Logs | None = None) -> None:
        self.wait_until_finished()
        if self._open is not None:
            self._open.close()
            self._open = None

    def wait_until_finished(self) -> None:
        """Return when every checkpoint is in its folder. Raises what went wrong while one was written."""
        while self._written:
            self._written.pop(0).result()

    def _save(self, step: int, logs: Logs) -> None:
        refuse(self.model, "a checkpoint of Orbax")
        if self.save_best_only:
            value = self.current(logs)
            if value is None:
                warnings.warn(
                    f"OrbaxCheckpoint saves the best only, and there is no {self.monitor} at step {step}.",
                    stacklevel=2,
                )
                return
            if not self.better(value, self.best):
                self.say(f"Step {step}: {self.monitor} is {value:.5g}, no better than {self.best:.5g}.")
                return
            self.best = value
        parts = self._parts()
        if self.save_on_background:
            self._written.append(self.checkpointer.save_checkpointables_async(step, parts))
        else:
            self.checkpointer.save_checkpointables(step, parts)
        self.say(f"Step {step}: saved in {self.directory}.")

    def _parts(self) -> dict[str, Any]:
        """What a checkpoint holds; arrays are copied, as training goes on while they are written."""
        values = self.model.get_state_tree("numpy_array")
        kept = ["trainable_variables", "non_trainable_variables"]
        if self.save_weights_only:
            return {"pytree": {name: tree.map_leaves(np.array, values[name]) for name in kept}}
        kept.append("optimizer_variables")
        pytree = {name: tree.map_leaves(np.array, values[name]) for name in kept}
        return {"pytree": pytree, "model_config": {"config": self.model.to_json()}}
