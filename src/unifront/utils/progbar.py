"""A progress bar for loops of one's own."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from unifront.errors import ArgumentError


class Progbar:
    """A progress bar.

    Args:
        target: how many steps there are; None: that is not known.
        width: of the bar, in characters.
        verbose: 0 silence, 1 a bar, 2 a line at the end.
        interval: seconds from one drawing to the next, at least.
        stateful_metrics: names of values that are shown as they are; the others are averaged over steps.
        stateless_metrics: names of values that are averaged; the others are shown as they are. Not beside the former.
        unit_name: what a step is called.

    Source: ``keras.utils.Progbar``.

    Example::

        bar = uf.utils.Progbar(10)
        for step in range(10):
            bar.update(step + 1, [("loss", 0.1)])
    """

    def __init__(
        self,
        target: int | None,
        width: int = 20,
        verbose: int = 1,
        interval: float = 0.05,
        stateful_metrics: Iterable[str] | None = None,
        stateless_metrics: Iterable[str] | None = None,
        unit_name: str = "step",
    ) -> None:
        if stateful_metrics is not None and stateless_metrics is not None:
            raise ArgumentError(
                "Only one of `stateful_metrics` or `stateless_metrics` can be provided: each says that the names that "
                "are not in it are of the other kind."
            )
        self.target, self.width, self.verbose = target, width, verbose
        self.interval, self.unit_name = interval, unit_name
        self._as_is = set(stateful_metrics or ())
        self._averaged = None if stateless_metrics is None else set(stateless_metrics)
        self._values: dict[str, tuple[float, float]] = {}
        self._seen, self._drawn_length = 0, 0
        self._began = time.monotonic()
        self._last = -math.inf

    def update(
        self, current: int, values: Iterable[tuple[str, Any]] | None = None, finalize: bool | None = None
    ) -> None:
        """Draw the bar.

        Args:
            current: how many steps are done.
            values: names and values of the last step.
            finalize: whether it was the last step; by ``target`` unless given.
        """
        if finalize is None:
            finalize = self.target is not None and current >= self.target
        steps = max(current - self._seen, 1)
        for name, value in values or ():
            number = float(np.mean(np.asarray(value, dtype=np.float64)))
            is_averaged = name not in self._as_is if self._averaged is None else name in self._averaged
            total, weight = self._values.get(name, (0.0, 0.0)) if is_averaged and not finalize else (0.0, 0.0)
            self._values[name] = (
                (total + number * steps, weight + steps) if is_averaged and not finalize else (number, 1)
            )
        self._seen = current
        now = time.monotonic()
        if self.verbose == 1 and (finalize or now - self._last >= self.interval):
            self._last = now
            self._draw(current, now, finalize)
        elif self.verbose == 2 and finalize:
            sys.stdout.write(self._text(current, now, finalize) + "\n")
            sys.stdout.flush()

    def add(self, n: int, values: Iterable[tuple[str, Any]] | None = None) -> None:
        """``n`` more steps are done."""
        self.update(self._seen + n, values)

    def _draw(self, current: int, now: float, finalize: bool) -> None:
        share = 1.0 if finalize else 0.0 if not self.target else min(1.0, current / self.target)
        filled = int(self.width * share)
        bar = "" if self.target is None else f" {'━' * filled}{'─' * (self.width - filled)}"
        text = self._count(current) + bar + self._rest(current, now, finalize)
        padding = " " * max(0, self._drawn_length - len(text))
        self._drawn_length = len(text)
        sys.stdout.write(f"\r{text}{padding}" + ("\n" if finalize else ""))
        sys.stdout.flush()

    def _text(self, current: int, now: float, finalize: bool) -> str:
        return self._count(current) + self._rest(current, now, finalize)

    def _count(self, current: int) -> str:
        if self.target is None:
            return f"{current}/Unknown"
        return f"{current:>{len(str(self.target))}}/{self.target}"

    def _rest(self, current: int, now: float, finalize: bool) -> str:
        spent = now - self._began
        each = spent / current if current else 0.0
        left = "" if finalize or not self.target else f" {_time(each * max(0, self.target - current))}"
        rate = f" {_time(spent) if finalize else ''} {_short(each)}/{self.unit_name}".replace("  ", " ")
        logs = "".join(
            f" - {name}: {_shown(total / max(weight, 1))}" for name, (total, weight) in self._values.items()
        )
        return f"{left}{rate}{logs}"


def _time(seconds: float) -> str:
    whole = int(seconds)
    if whole >= 3600:
        return f"{whole // 3600}:{whole % 3600 // 60:02d}:{whole % 60:02d}"
    return f"{whole // 60}:{whole % 60:02d}" if whole >= 60 else f"{whole}s"


def _short(seconds: float) -> str:
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "us")):
        if seconds * factor >= 1 or unit == "us":
            break
    return f"{seconds * factor:.0f}{unit}"


def _shown(value: float) -> str:
    return f"{value:.4f}" if abs(value) > 1e-3 or value == 0 else f"{value:.4e}"
