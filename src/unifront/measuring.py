"""`bench`: which backend is the fastest here, for one model."""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from unifront import tree
from unifront.arguments import Name, Positive, checked, shown
from unifront.backends import installed, placement
from unifront.errors import ArgumentError, BackendMissing, UnsupportedOp
from unifront.pages import Page
from unifront.saving import load
from unifront.train import data

WARM_UP = 3
"""Untimed calls after the first, while frameworks choose kernels and grow their memory."""
BLOCK = 0.1
"""Seconds that a backend is measured for until it is the next one's turn."""


@dataclass(frozen=True)
class Timing:
    """How long one call takes on a backend.

    Args:
        backend: with its device.
        first: seconds of the first call, which compiles.
        seconds: of each call that was timed.
        failure: why there are none.
    """

    backend: str
    first: float = float("nan")
    seconds: tuple[float, ...] = ()
    failure: str = ""

    @property
    def median(self) -> float:
        """Of ``seconds``; NaN where there are none."""
        return statistics.median(self.seconds) if self.seconds else float("nan")

    @property
    def least(self) -> float:
        """Of ``seconds``; NaN where there are none."""
        return min(self.seconds, default=float("nan"))


@dataclass(frozen=True, repr=False)
class Bench:
    """What `bench` found: timings by what was timed, ``"predict"`` and ``"train"``, the fastest first."""

    model: str
    batch: int
    parameters: int
    timings: Mapping[str, tuple[Timing, ...]]

    def __repr__(self) -> str:
        best = ", ".join(
            f"{what} {rows[0].median * 1e3:.3g} ms on {rows[0].backend}"
            for what, rows in self.timings.items()
            if rows[0].seconds
        )
        return f"<Bench of {self.model!r}, batch {self.batch}: {best or 'nothing ran'}>"

    def rows(self) -> list[dict[str, Any]]:
        """Everything as plain values: milliseconds, examples a second, and times the fastest's median."""
        return [
            {
                "what": what, "backend": one.backend, "median_ms": one.median * 1e3, "least_ms": one.least * 1e3,
                "first_ms": one.first * 1e3, "calls": len(one.seconds), "examples_per_second": self.batch / one.median,
                "ratio": one.median / rows[0].median, "failure": one.failure,
            }
            for what, rows in self.timings.items()
            for one in rows
        ]  # fmt: skip

    def print(self, console: Console | None = None) -> None:
        """Print the tables."""
        for what in self.timings:
            table = Table(title=escape(f"{self.model}: {what}, batch of {self.batch}"), title_justify="left")
            for column in COLUMNS:
                table.add_column(column, overflow="fold", justify="left" if column == "backend" else "right")
            for row in self.rows():
                if row["what"] == what and not row["failure"]:
                    table.add_row(*map(escape, _texts(row)))
            (console or Console()).print(table)
        for row in self.rows():
            if row["failure"]:
                text = f"{row['what']} on {row['backend']}: {row['failure']}"
                (console or Console()).print(escape(text), highlight=False)

    def html(self, path: Any) -> None:
        """Write the tables, and bars beside them, as one HTML file that needs no other."""
        page = Page(f"{self.model}: which backend is the fastest")
        page.facts({
            "parameters": f"{self.parameters:,}", "batch": self.batch, "machine": _machine(),
        })  # fmt: skip
        for what, timings in self.timings.items():
            page.heading(f"{what}: a batch of {self.batch}")
            timed = {one.backend: one.median * 1e3 for one in timings if one.seconds}
            page.bars(timed, {name: f"{value:.3g} ms" for name, value in timed.items()})
            page.table(
                COLUMNS, [_texts(row) for row in self.rows() if row["what"] == what and not row["failure"]]
            )
            for one in timings:
                if one.failure:
                    page.note(f"{one.backend}: {one.failure}")
        page.note(
            "Medians of single calls on this machine, whose backends took turns. A first call compiles. Predictions "
            "take arrays of NumPy and give such; training is a step of plain SGD on the mean squared output."
        )
        page.write(path)


COLUMNS = ("backend", "median ms", "least ms", "examples/s", "× fastest", "first ms")


def _texts(row: Mapping[str, Any]) -> list[str]:
    keys = ("median_ms", "least_ms", "examples_per_second", "ratio", "first_ms")
    numbers = [f"{row[key]:,.2f}" if row[key] < 100 else f"{row[key]:,.0f}" for key in keys]
    return [row["backend"], *numbers]


def _machine() -> str:
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}"


@checked
def bench(
    model: Any,
    x: Any,
    *,
    backends: Name | Sequence[Name] | None = None,
    train: bool = False,
    seconds: Positive = 2.0,
) -> Bench:
    """Time `Model.predict` of one batch on each backend, and a step of training if asked.

    Args:
        model: a built model. It stays as it is: copies of it are timed.
        x: the batch, as for `Model.predict`.
        backends: which to time (``"torch"``, ``"jax:cuda:0"``, ``"onnxruntime"``); all installed
            ones but NumPy by default, which is not made for speed.
        train: also time a step of plain SGD on the mean squared output (what is not a float counts for nothing).
        seconds: how long each backend is timed for each; they take turns.

    Returns:
        A `Bench`; call its ``print()``, or ``html(path)``. What a backend does not do is there with the reason.

    Raises `DataError` if ``x`` does not fit the model, `UnknownName` for a backend that is none.

    Example::

        uf.bench(model, x_test[:32], train=True).print()
    """
    if not hasattr(model, "has_free_inputs"):
        raise ArgumentError(f"bench: model is a uf.Model, not {shown(model)}.")
    if isinstance(backends, str):
        backends = (backends,)
    inputs = data.check_inputs(model, x)
    given = dict(zip(model.input_types, inputs, strict=True))
    names = [name for name in installed(inference=True) if name != "numpy"] if backends is None else backends
    places = [str(placement(name)) for name in names]
    kinds: dict[str, Callable[[Any, str], Callable[[], object]]] = {
        "predict": lambda m, p: _predicts(m, given, p)
    }
    if train:
        kinds["train"] = lambda m, p: _trains(m, given, p)
    timings = {}
    with _copies(model) as copy:
        for what, make in kinds.items():
            found = _timed({place: _made(make, copy, place) for place in places}, seconds)
            timings[what] = tuple(sorted(found, key=lambda one: (not one.seconds, one.median)))
    batch = len(inputs[0]) if inputs and inputs[0].ndim else 1
    return Bench(model.name, batch, model.count_params(), timings)


@contextmanager
def _copies(model: Any) -> Iterator[Callable[[], Any]]:
    """What makes copies of ``model``, each with weights of its own, that can be where its backend wants them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.uf"
        model.save(path)
        yield lambda: load(path)


def _made(
    make: Callable[[Any, str], Callable[[], object]], copy: Callable[[], Any], place: str
) -> Callable[[], object] | str:
    """What is to be timed, or why it does not run."""
    try:
        return make(copy(), place)
    except (UnsupportedOp, BackendMissing) as error:
        return str(error)


def _predicts(model: Any, given: Mapping[str, np.ndarray], place: str) -> Callable[[], object]:
    size = len(next(iter(given.values())))
    return lambda: model.predict(given, batch_size=size, verbose=0, backend=place)


def _trains(model: Any, given: Mapping[str, np.ndarray], place: str) -> Callable[[], object]:
    outputs = model.predict(given, batch_size=len(next(iter(given.values()))), verbose=0, backend=place)
    targets = tree.map_leaves(np.zeros_like, outputs)
    model.compile("sgd", loss=tree.map_leaves(lambda y: "mse" if y.dtype.kind == "f" else None, outputs))
    return lambda: model.train_on_batch(given, targets, backend=place)


def _timed(calls: Mapping[str, Callable[[], object] | str], seconds: float) -> list[Timing]:
    """Each call timed again and again, in turns, so that what else the machine does meets them all."""
    found = {name: _first(name, call) for name, call in calls.items()}
    runs = {
        name: call for name, call in calls.items() if not isinstance(call, str) and not found[name].failure
    }
    spent = dict.fromkeys(runs, 0.0)
    while turns := [name for name in runs if spent[name] < seconds]:
        for name in turns:
            runs[name]()  # another backend was here: caches are its own
            times = list[float]()
            while not times or sum(times) < min(BLOCK, seconds):
                began = time.perf_counter()
                runs[name]()
                times.append(time.perf_counter() - began)
            spent[name] += sum(times)
            found[name] = replace(found[name], seconds=(*found[name].seconds, *times))
    return list(found.values())


def _first(name: str, call: Callable[[], object] | str) -> Timing:
    if isinstance(call, str):
        return Timing(name, failure=call)
    began = time.perf_counter()
    try:
        call()
        first = time.perf_counter() - began
        for _ in range(WARM_UP):
            call()
    except UnsupportedOp as error:
        return Timing(name, failure=str(error))
    return Timing(name, first)
