"""Times the contenders of one row on one backend, alternating, in this process."""

from __future__ import annotations

import gc
import importlib
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from contender import COLUMNS, INFERENCE_ONLY, Column, Contender, reason_of_absence
from rows import Row

MODES: dict[str, Callable[[Contender], None]] = {
    "train": lambda c: c.train_step(),
    "infer": lambda c: c.infer(),
}
MOST_STEPS = 2000


@dataclass(frozen=True)
class Plan:
    """How long to measure: `repeats` blocks of about `seconds` each, for every column in turn, in each of `modes`."""

    repeats: int = 9
    seconds: float = 0.4
    warm_up: int = 3
    trials: int = 3
    modes: Sequence[str] = tuple(MODES)


@dataclass
class Entry:
    """A column of one row: its variants that could be built, or why there is none."""

    column: Column
    contenders: dict[str, Contender] = field(default_factory=dict)
    absent: str | None = None
    failed: str | None = None


def build(column: Column, row: Row, backend: str, modes: Sequence[str]) -> Entry:
    entry = Entry(column)
    for variant in column.variants:
        try:
            contender = column.build(row, backend, variant)
            for mode in modes:
                MODES[mode](contender)
            contender.synchronize()
        except Exception as error:  # noqa: BLE001  # one that breaks shall not take the others' figures along
            entry.absent = reason_of_absence(error)
            if entry.absent is None:
                entry.failed = f"{type(error).__name__}: {error}"
        else:
            entry.contenders[variant] = contender
    return entry


def block(contender: Contender, mode: str, steps: int) -> float:
    """Milliseconds per step of `steps` steps, waited for at the end only."""
    step = MODES[mode]
    begin = time.perf_counter()
    for _ in range(steps):
        step(contender)
    contender.synchronize()
    return (time.perf_counter() - begin) / steps * 1e3


def trial(contenders: dict[str, Contender], mode: str, plan: Plan) -> dict[str, float]:
    """The shortest of a few short blocks of each, which take turns, after warming up."""
    steps = {
        name: steps_for(block(contender, mode, plan.warm_up), plan.seconds / 4)
        for name, contender in contenders.items()
    }
    rounds = [
        {name: block(contender, mode, steps[name]) for name, contender in contenders.items()}
        for _ in range(plan.trials)
    ]
    return {name: min(times[name] for times in rounds) for name in contenders}


def steps_for(milliseconds: float, seconds: float) -> int:
    return max(2, min(MOST_STEPS, round(seconds * 1e3 / milliseconds)))


def compare(entries: list[Entry], mode: str, plan: Plan) -> dict[str, Any]:
    """The times of every column, block by block in turn."""
    chosen: dict[str, tuple[str, Contender, float]] = {}
    for entry in entries:
        times = trial(entry.contenders, mode, plan)
        if times:
            best = min(times, key=times.__getitem__)
            chosen[entry.column.name] = best, entry.contenders[best], times[best]
    columns = {entry.column.name: _problem(entry) for entry in entries}
    if not chosen:
        return {"mode": mode, "steps": 0, "columns": columns}

    steps = steps_for(min(expected for _, _, expected in chosen.values()), plan.seconds)
    tried = {entry.column.name: list(entry.contenders) for entry in entries}
    measured: dict[str, list[float]] = {name: [] for name in chosen}
    gc.collect()
    for _ in range(plan.repeats):
        for name, (_, contender, _) in chosen.items():
            measured[name].append(block(contender, mode, steps))
    for name, (variant, _, _) in chosen.items():
        columns[name] |= {"variant": variant, "tried": tried[name], "ms": measured[name]}
        columns[name] |= summary(measured[name])
    return {"mode": mode, "steps": steps, "columns": columns, "ratios": ratios(measured)}


def _problem(entry: Entry) -> dict[str, Any]:
    """Empty if there is none; a variant that fails is told even where another one runs."""
    if entry.failed:
        return {"failed": entry.failed}
    return {} if entry.contenders else {"absent": entry.absent}


def summary(values: list[float]) -> dict[str, float]:
    """The median, and half the distance between the quartiles."""
    if len(values) < 2:
        return {"median": values[0], "spread": 0.0}
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": statistics.median(values), "spread": (high - low) / 2}


RATIOS = (("unifront", "native"), ("unifront", "keras"), ("keras", "native"))


def ratios(measured: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Medians of the ratios of blocks that ran next to each other."""
    return {
        f"{ours}/{theirs}": summary([a / b for a, b in zip(measured[ours], measured[theirs], strict=True)])
        for ours, theirs in RATIOS
        if ours in measured and theirs in measured
    }


def device_of(backend: str) -> str:
    return importlib.import_module(f"native_{backend}").device_name()


def measure(row: Row, backend: str, columns: list[Column], plan: Plan) -> list[dict[str, Any]]:
    """One result for training and one for inference, as far as they are wanted and there are such."""
    device = device_of(backend)
    modes = [mode for mode in plan.modes if mode == "infer" or backend not in INFERENCE_ONLY]
    entries = [build(column, row, backend, modes) for column in columns]
    return [
        {"row": row.name, "backend": backend, "device": device, **compare(entries, mode, plan)}
        for mode in modes
    ]


def columns_for(backend: str, *, extra: bool) -> list[Column]:
    return [column for column in COLUMNS[backend] if extra or not column.optional]
