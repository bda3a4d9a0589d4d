"""The progress bar of `fit`: one line an epoch, drawn a few times a second."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

Logs = dict[str, float]


def show_logs(logs: Logs) -> str:
    """``loss 0.1234  accuracy 0.9876``; several numbers in brackets."""
    return "  ".join(f"{name} {_shown(value)}" for name, value in logs.items())


def _shown(value: Any) -> str:
    if np.ndim(value):
        return f"[{' '.join(map(_shown, value))}]"
    return f"{value:.2e}" if 0 < abs(value) < 1e-3 else f"{value:.4f}"


class EpochProgress:
    """A bar (``verbose=1``), a line an epoch (2), or silence (0)."""

    def __init__(self, verbose: int, epochs: int, title: str) -> None:
        self.verbose, self.epochs, self.title = verbose, epochs, title
        self.console = Console()
        self._bar: Progress | None = None
        self._task: Any = None

    def __enter__(self) -> EpochProgress:
        if self.verbose == 1:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[logs]}"),
                console=self.console,
                refresh_per_second=5,
            )
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begin(self, epoch: int, steps: int | None) -> None:
        """A new epoch of ``steps`` steps (None: not known)."""
        if self._bar is not None:
            name = f"{self.title} epoch {epoch + 1}/{self.epochs}"
            self._task = self._bar.add_task(name, total=steps, logs="")

    def advance(self, steps: int, logs: Logs | None) -> None:
        """``steps`` more steps are given to the device; ``logs`` are the newest numbers, if read."""
        if self._bar is not None:
            fields: dict[str, Any] = {"logs": show_logs(logs)} if logs else {}
            self._bar.update(self._task, advance=steps, **fields)

    def end(self, epoch: int, logs: Logs) -> None:
        """The epoch is over."""
        if self._bar is not None:
            (task,) = self._bar.tasks
            self._bar.update(task.id, total=task.completed, logs=show_logs(logs))
            self._bar.print(self._bar.make_tasks_table([task]))  # stays above; what is redrawn is one line
            self._bar.remove_task(task.id)
        elif self.verbose == 2:
            self.console.print(f"{self.title} epoch {epoch + 1}/{self.epochs}: {show_logs(logs)}")
