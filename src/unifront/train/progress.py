"""The progress bar of `fit`: one line an epoch, drawn a few times a second."""

from __future__ import annotations

from collections.abc import Iterable
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

Logs = dict[str, float]


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
        return f"{self.title} epoch {epoch + 1}/{self.epochs}".lstrip()

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
            self.console.print(f"{self._name(epoch)}: {show_logs(logs)}")
