"""The progress bars of `fit`, one line an epoch, of `evaluate` and of `predict`; drawn a few times a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column
from rich.text import Text

from unifront.config import is_interactive_logging_enabled

Logs = dict[str, float]
READ_EVERY = 0.25
"""Seconds between two looks at the running sums."""


def show_logs(logs: Logs) -> str:
    """``loss 0.1234  accuracy 0.9876``; several numbers in brackets."""
    return "  ".join(f"{name} {_shown(value)}" for name, value in logs.items())


def _shown(value: Any) -> str:
    if np.ndim(value):
        return f"[{' '.join(map(_shown, value))}]"
    return f"{value:.2e}" if 0 < abs(value) < 1e-3 else f"{value:.4f}"


class _Speed(ProgressColumn):
    """Steps a second: ``123/s``."""

    def render(self, task: Task) -> Text:
        return Text(_speed(task), style="progress.data.speed")


def _speed(task: Task) -> str:
    speed = task.completed / task.elapsed if task.elapsed and task.completed else 0.0
    return f"{speed:,.0f}/s" if speed >= 10 else f"{speed:.2g}/s" if speed else ""


def packed(parts: Iterable[str], width: int | None) -> list[str]:
    """``parts`` in lines of ``width``, of which none is broken; those after the first are set in. None: one line."""
    lines = [""]
    for part in parts:
        longer = f"{lines[-1]}  {part}" if lines[-1].strip() else lines[-1] + part
        if width is not None and len(longer) > width and lines[-1].strip():
            lines.append(f"  {part}")
        else:
            lines[-1] = longer
    return lines


class EpochProgress:
    """A bar (``verbose=1``), a line an epoch (2), or silence (0).

    The bar is one line, however narrow the window: numbers for which there is no room end in an ellipsis. What stays
    when an epoch is over has them all: one line, or several in a narrow window, of which none ends within a number.
    """

    def __init__(self, verbose: int, epochs: int, title: str) -> None:
        self.verbose, self.epochs, self.title = verbose, epochs, title
        self.name: str | None = None
        self.console = Console()
        self._bar: Progress | None = None
        self._task: Any = None

    def __enter__(self) -> EpochProgress:
        if self.verbose == 1:
            self._bar = Progress(
                TextColumn("{task.description}", table_column=Column(no_wrap=True)),
                BarColumn(bar_width=10),
                MofNCompleteColumn(table_column=Column(no_wrap=True)),
                TimeElapsedColumn(table_column=Column(no_wrap=True)),
                _Speed(table_column=Column(no_wrap=True)),
                TextColumn(
                    "{task.fields[logs]}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)
                ),
                console=self.console,
                refresh_per_second=5,
                expand=True,
            )
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _name(self, epoch: int) -> str:
        return self.name or f"{self.title} epoch {epoch + 1}/{self.epochs}".lstrip()

    def begin(self, epoch: int, steps: int | None) -> None:
        """A new epoch of ``steps`` steps (None: not known)."""
        if self._bar is not None:
            self._task = self._bar.add_task(self._name(epoch), total=steps, logs="")

    def advance(self, steps: int, logs: Logs | None) -> None:
        """``steps`` more steps are given to the device; ``logs`` are the newest numbers, if read."""
        if self._bar is not None:
            fields: dict[str, Any] = {"logs": show_logs(logs)} if logs else {}
            self._bar.update(self._task, advance=steps, **fields)

    def end(self, epoch: int, logs: Logs) -> None:
        """The epoch is over."""
        if self._bar is not None:
            (task,) = self._bar.tasks
            done, seconds = int(task.completed), int(task.elapsed or 0)
            parts = [self._name(epoch), f"{done}/{done}", str(timedelta(seconds=seconds)), _speed(task)]
            parts = [*filter(None, parts), *(show_logs({log: value}) for log, value in logs.items())]
            width = self.console.width if self.console.is_terminal else None
            self._bar.remove_task(task.id)  # what is redrawn is one line; these stay above
            self._bar.print("\n".join(packed(parts, width)), highlight=False, markup=False, soft_wrap=True)
        elif self.verbose == 2:
            self.console.print(f"{self._name(epoch)}: {show_logs(logs)}".rstrip(": "))


class CallProgress:
    """What `evaluate` and `predict` show: a bar (1), a line at the end (2), silence (0).

    "auto" is a bar where somebody looks at it, in a terminal or a notebook, and else silence.
    """

    def __init__(self, verbose: int | str, name: str) -> None:
        self._of_epoch = EpochProgress(0, 1, "")
        self._of_epoch.name = name
        console = self._of_epoch.console
        if verbose == "auto":
            verbose = int(is_interactive_logging_enabled() and (console.is_terminal or console.is_jupyter))
        self._of_epoch.verbose = int(verbose)
        self._read = time.monotonic()

    def __enter__(self) -> CallProgress:
        self._of_epoch.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._of_epoch.__exit__(*error)

    def begin(self, steps: int | None) -> None:
        """A call of ``steps`` batches (None: not known)."""
        self._of_epoch.begin(0, steps)

    def advance(self, logs: Callable[[], Logs] | None = None) -> None:
        """One more batch; ``logs`` gives the newest numbers, which are asked for a few times a second."""
        if self._of_epoch.verbose == 1:
            now = time.monotonic()
            due = logs is not None and now - self._read > READ_EVERY
            self._of_epoch.advance(1, logs() if logs is not None and due else None)
            self._read = now if due else self._read

    def end(self, logs: Logs) -> None:
        """All is done."""
        self._of_epoch.end(0, logs)
