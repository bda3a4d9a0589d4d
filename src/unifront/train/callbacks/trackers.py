"""Callbacks that tell services which track experiments, where their libraries are installed."""

from __future__ import annotations

from typing import Any

from unifront.arguments import checked
from unifront.train.callbacks.base import Callback, Logs, constant_rate, rated
from unifront.train.callbacks.loggers import library, plain_logs


def _numbers(logs: Logs | None) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in plain_logs(logs).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _about(callback: Callback) -> dict[str, Any]:
    """What is said of the model and its training, once."""
    model, optimizer = callback.model, callback.model.optimizer
    return {
        "model": model.name,
        "parameters": sum(int(weight.type.size) for weight in model.weights),
        "optimizer": type(optimizer).__name__,
        **{name: constant_rate(one) for name, one in rated(optimizer).items()},
        "epochs": callback.params.get("epochs"),
    }


class MLflowLogger(Callback):
    """Log parameters once and the logs of each epoch to MLflow's active run, or to a run of its own.

    Args:
        run_name: of a run of its own, which ends with training; without an active run there is one in any case.
    """

    sends = True

    @checked
    def __init__(self, run_name: str | None = None) -> None:
        self.run_name = run_name
        self._own = False

    def on_train_begin(self, logs: Logs | None = None) -> None:
        mlflow = library("mlflow", "MLflowLogger")
        self._own = self.run_name is not None or mlflow.active_run() is None
        if self._own:
            mlflow.start_run(run_name=self.run_name, nested=mlflow.active_run() is not None)
        mlflow.log_params({name: value for name, value in _about(self).items() if value is not None})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        library("mlflow", "MLflowLogger").log_metrics(_numbers(logs), step=epoch)

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self._own:
            library("mlflow", "MLflowLogger").end_run()


class WandbLogger(Callback):
    """Log the logs of each epoch to Weights & Biases: to the active run, or one of its own.

    Args:
        init: arguments of ``wandb.init``, such as ``project``; without an active run there is one in any case.
    """

    sends = True

    @checked
    def __init__(self, **init: Any) -> None:
        self.init = init
        self._own: Any = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        wandb = library("wandb", "WandbLogger")
        if self.init or wandb.run is None:
            self._own = wandb.init(**self.init)
        wandb.config.update(_about(self), allow_val_change=True)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        library("wandb", "WandbLogger").log({"epoch": epoch, **_numbers(logs)})

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self._own is not None:
            self._own.finish()
            self._own = None
