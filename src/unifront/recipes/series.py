"""Time series: from what was seen, what comes next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import unifront as uf
from unifront import layers
from unifront.errors import ArgumentError, DataError, UnknownName
from unifront.recipes import bundled
from unifront.recipes.bundled import Columns
from unifront.recipes.data import Prepared, Read
from unifront.recipes.schema import Series
from unifront.recipes.tables import columns_named, gap_error, gaps_in, known_or_read
from unifront.recipes.text import Text


def prepare(text: Text, given: Series, seed: int) -> Prepared:
    """The series that a recipe names: its last share is held out, with windows that may begin before it."""
    table = columns_named(text, "series", given.series, bundled.SERIES)
    seen = _names(text, "columns", given.columns, table)
    if not seen:
        seen = [name for name, column in table.items() if column.dtype != object]
    if not seen:
        raise text.error(
            ("data", "series"), f"{given.series} has no column of numbers; it has {', '.join(table)}."
        )
    wanted = [given.target] if isinstance(given.target, str) else given.target
    targets = _names(text, "target", wanted, table) or seen
    notes: dict[str, Any] = {
        "kind": "series", "columns": seen, "targets": targets, "length": given.length, "horizon": given.horizon,
        "stride": given.stride,
    }  # fmt: skip
    values, answers = _values(table, seen, given.series), _values(table, targets, given.series)
    rows = len(values)
    cut = rows - round(given.validation * rows)
    train = windows(values[:cut], answers[:cut], given.length, given.horizon, given.stride)
    if not len(train[1]):
        raise text.error(
            ("data", "length"),
            f"{given.length} steps and {given.horizon} after them do not fit into the {cut} rows to train on.",
        )
    first = max(cut - given.length, 0)
    held = windows(values[first:], answers[first:], given.length, given.horizon, given.stride)
    mean, variance = values[:cut].mean(axis=0), values[:cut].var(axis=0)
    goal, spread = answers[:cut].mean(axis=0), answers[:cut].std(axis=0)
    series = uf.Input((given.length, len(seen)), name="series")
    norm = layers.Normalization(mean=mean.tolist(), variance=np.where(variance == 0, 1, variance).tolist())

    def back(x: Any) -> Any:
        shape = (given.horizon, len(targets))
        if tuple(x.shape[1:]) != shape:
            x = layers.Reshape(shape, name="by_step")(x)
        return layers.Rescaling(np.where(spread == 0, 1, spread).tolist(), goal.tolist(), name="in_its_unit")(
            x
        )

    return Prepared(
        train, held if len(held[1]) and cut < rows else None, len(train[1]), series, norm,
        given.horizon * len(targets), "numbers", notes, back,
    )  # fmt: skip


def _names(text: Text, key: str, wanted: list[str] | None, table: Columns) -> list[str]:
    for name in wanted or ():
        if name not in table:
            raise text.error(("data", key), str(UnknownName("column", name, table)))
    return list(wanted or ())


def _values(table: Columns, names: Sequence[str], where: str) -> np.ndarray:
    for name in names:
        if name not in table:
            raise DataError(f"{where} has no column {name!r}; it has {', '.join(table)}.")
        if table[name].dtype == object:
            raise DataError(f"{where}: the column {name!r} holds texts, not numbers.")
        if (gaps := gaps_in(table[name])).any():
            raise DataError(
                f"{str(gap_error(where, name, gaps)).partition(' data.missing')[0]} Fill it in first."
            )
    return np.stack([table[name] for name in names], axis=1).astype(np.float32)


def windows(
    values: np.ndarray, answers: np.ndarray, length: int, horizon: int, stride: int
) -> tuple[np.ndarray, np.ndarray]:
    """``[windows, length, columns]`` and the ``[windows, horizon, targets]`` after each: views, no copies."""
    count = max(0, len(values) - length - horizon + 1)
    if not count:
        return np.empty((0, length, values.shape[1]), np.float32), np.empty(
            (0, horizon, answers.shape[1]), np.float32
        )
    x = np.lib.stride_tricks.sliding_window_view(values, length, axis=0)[:count:stride]
    y = np.lib.stride_tricks.sliding_window_view(answers[length:], horizon, axis=0)[:count:stride]
    return x.swapaxes(1, 2), y.swapaxes(1, 2)


def again(notes: dict[str, Any], paths: Sequence[str], targets: bool) -> Read:
    """A series to forecast from its end, or to evaluate on."""
    if len(paths) != 1:
        raise ArgumentError(f"One series is read at a time; {len(paths)} were given.")
    table = known_or_read(paths[0], bundled.SERIES)
    values, length = _values(table, notes["columns"], paths[0]), notes["length"]
    if not targets:
        if len(values) < length:
            raise DataError(f"{paths[0]} has {len(values)} rows; the model looks at {length}.")
        steps = [f"step {i + 1}" for i in range(notes["horizon"])]
        return Read(values[None, -length:], None, steps)
    answers = _values(table, notes["targets"], paths[0])
    x, y = windows(values, answers, length, notes["horizon"], notes["stride"])
    if not len(y):
        raise DataError(
            f"{paths[0]} has {len(values)} rows; the model looks at {length} and forecasts {notes['horizon']}."
        )
    return Read(x, y, [f"row {i * notes['stride'] + 1}" for i in range(len(y))])
