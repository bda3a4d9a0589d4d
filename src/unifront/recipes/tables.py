"""Tables: columns of amounts and of kinds, from which one column is predicted."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import unifront as uf
from unifront import layers
from unifront.errors import ArgumentError, DataError, UnknownName
from unifront.recipes import bundled
from unifront.recipes.bundled import Columns
from unifront.recipes.data import Prepared, Read, Task, count_classes, held_out
from unifront.recipes.schema import Table
from unifront.recipes.text import Text

MOST_CLASSES = 20
"""Whole numbers of more different values than these are amounts."""
SUFFIXES = (".csv", ".parquet")


def read(path: str) -> Columns:
    """The columns of a file: texts as objects (None: a gap), all else as float64 (NaN: a gap).

    Raises `DataError` for what is no table, for columns of other things, and for none at all.
    """
    if Path(path).suffix.lower() not in SUFFIXES:
        raise DataError(f"{path} is no table: {' and '.join(SUFFIXES)} files are read.")
    if not Path(path).is_file():
        raise DataError(f"{path}: there is no such file.")
    table = _arrow_table(path)
    types = importlib.import_module("pyarrow.types")
    found: Columns = {}
    for number, name in enumerate(table.column_names):
        column = table.column(number)
        kind = column.type
        if types.is_dictionary(kind):
            column, kind = column.cast(kind.value_type), kind.value_type
        if name in found:
            raise DataError(f"{path} has two columns called {name!r}.")
        if types.is_binary(kind) or types.is_large_binary(kind):
            raise DataError(f"{path}: the column {name!r} holds bytes that are no text in UTF-8.")
        if types.is_string(kind) or types.is_large_string(kind) or types.is_null(kind):
            found[name] = np.array(column.to_pylist(), object)
        elif (
            types.is_boolean(kind)
            or types.is_integer(kind)
            or types.is_floating(kind)
            or types.is_decimal(kind)
        ):
            found[name] = column.cast("float64").to_numpy().astype(np.float64)
        else:
            found[name] = np.array([None if one is None else str(one) for one in column.to_pylist()], object)
    if not found or not table.num_rows:
        raise DataError(f"{path} has no {'rows' if found else 'columns'}.")
    return found


def _arrow_table(path: str) -> Any:
    try:
        arrow = importlib.import_module("pyarrow")
        form = importlib.import_module("pyarrow.csv" if path.lower().endswith(".csv") else "pyarrow.parquet")
    except ModuleNotFoundError:
        raise ArgumentError('Tables are read by Apache Arrow: pip install "unifront[data]"') from None
    try:
        if path.lower().endswith(".csv"):
            options = form.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=True)
            table = form.read_csv(path, convert_options=options)
        else:
            table = form.read_table(path)
        table.column_names  # noqa: B018  # which are decoded here
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text in UTF-8: {error.reason} in the name of a column.") from error
    except (ValueError, OSError, arrow.ArrowException) as error:
        hint = _other_separator(path)
        why = str(error).rstrip(".") + (f"; {hint}" if hint else "")
        raise DataError(f"{path} cannot be read as a table: {why}.") from error
    if table.num_columns == 1 and (hint := _other_separator(path)):
        raise DataError(f"{path} cannot be read as a table: {hint}.")
    return table


def _other_separator(path: str) -> str:
    """What to say of a table whose first line has no comma, but what separates columns elsewhere; else nothing."""
    if not path.lower().endswith(".csv") or not os.access(path, os.R_OK):
        return ""
    with open(path, encoding="utf-8", errors="replace") as file:
        line = re.sub('"[^"]*"', "", file.readline())
    found = next((one for one in ";\t|" if one in line and "," not in line), None)
    return "" if found is None else f"commas separate columns here, and its first line has {found!r} instead"


def columns_named(text: Text, key: str, given: str, known: Mapping[str, Callable[[], Columns]]) -> Columns:
    """The columns of a file, or of a bundled table of this name."""
    if given not in known and not Path(given).is_file() and Path(given).suffix.lower() not in SUFFIXES:
        raise text.error(("data", key), f"there is no file {given!r}. Bundled: {', '.join(known)}.")
    return known_or_read(given, known)


def known_or_read(given: str, known: Mapping[str, Callable[[], Columns]]) -> Columns:
    """The columns of the bundled table of this name, else those of a file."""
    return known[given]() if given in known else read(given)


# ---------------------------------------------------------------- what the columns mean


@dataclass(frozen=True)
class Column:
    """An input.

    Args:
        name: of the column.
        input: of the model's input.
        kinds: of a column of kinds, all that there are; None: it holds amounts.
        mean, deviation: of amounts.
    """

    name: str
    input: str
    kinds: list[str] | None = None
    mean: float = 0.0
    deviation: float = 1.0

    def values(self, table: Columns, fill: bool, where: str) -> np.ndarray:
        """What the model's input gets: int32 (0: a kind that is not known) or float32, ``[rows, 1]``."""
        if self.name not in table:
            raise DataError(f"{where} has no column {self.name!r}; it has {', '.join(table)}.")
        column = table[self.name]
        gaps = gaps_in(column)
        if gaps.any() and not fill:
            raise gap_error(where, self.name, gaps)
        if self.kinds is not None:
            numbers = {kind: i + 1 for i, kind in enumerate(self.kinds)}
            codes = [0 if gap else numbers.get(_kind(one), 0) for one, gap in zip(column, gaps, strict=True)]
            return np.asarray(codes, np.int32)[:, None]
        if column.dtype == object:
            raise DataError(
                f"{where}: the column {self.name!r} holds texts, such as {_some_text(column)!r}, not numbers."
            )
        return np.where(gaps, self.mean, column).astype(np.float32)[:, None]


def gaps_in(column: np.ndarray) -> np.ndarray:
    """Which rows hold nothing."""
    if column.dtype == object:
        return np.array([one is None for one in column], bool)
    return np.isnan(column)


def gap_error(where: str, name: str, gaps: np.ndarray) -> DataError:
    """The error for gaps that nobody asked to fill."""
    count, first = int(gaps.sum()), int(np.argmax(gaps)) + 1
    return DataError(
        f"{where}: the column {name!r} has {count} gap{'s' * (count > 1)} (empty, or NaN), the first in row {first}. "
        "data.missing=mean fills them in."
    )


def _kind(one: Any) -> str:
    if isinstance(one, float) and one.is_integer():
        return str(int(one))
    return str(one)


def _some_text(column: np.ndarray) -> str:
    return next((str(one)[:40] for one in column if one is not None), "")


def _inputs(text: Text, given: Table, table: Columns, rows: np.ndarray) -> list[Column]:
    names = [name for name in table if name != given.target] if given.columns is None else given.columns
    for key, wanted in (("columns", given.columns or []), ("categorical", given.categorical or [])):
        for i, name in enumerate(wanted):
            if name not in table:
                raise text.error(("data", key, i), str(UnknownName(f"column of {given.table}", name, table)))
            if name == given.target:
                raise text.error(("data", key, i), f"{name!r} is the target.")
    if not names:
        raise text.error(("data", "columns"), "there is no column to predict the target from.")
    found: list[Column] = []
    for name in names:
        column = table[name][rows]
        called = _apart(re.sub(r"\W|^(?=\d)", "_", name, flags=re.ASCII), [one.input for one in found])
        is_kind = column.dtype == object if given.categorical is None else name in given.categorical
        kept = column[~gaps_in(column)]
        if is_kind:
            found.append(Column(name, called, sorted({_kind(one) for one in kept})))
        elif column.dtype == object:
            raise text.error(
                ("data", "categorical"), f"the column {name!r} holds texts, so it is one of these: add it."
            )
        else:
            mean = float(kept.mean()) if kept.size else 0.0
            deviation = float(kept.std()) if kept.size else 0.0
            found.append(Column(name, called, None, mean, deviation or 1.0))
    return found


def _apart(name: str, taken: list[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _task(given: Table, target: np.ndarray) -> Task:
    if given.task is not None:
        return given.task
    if target.dtype == object:
        return "classes"
    whole = bool(np.all(target == np.round(target)))
    return "classes" if whole and len(np.unique(target)) <= MOST_CLASSES else "numbers"


def prepare(text: Text, given: Table, seed: int) -> Prepared:
    """The table that a recipe names."""
    table = columns_named(text, "table", given.table, bundled.TABLES)
    if given.target not in table:
        raise text.error(
            ("data", "target"), str(UnknownName(f"column of {given.table}", given.target, table))
        )
    target = table[given.target]
    if (gaps := gaps_in(target)).any():
        if given.missing == "error":
            raise gap_error(given.table, given.target, gaps)
        table = {name: column[~gaps] for name, column in table.items()}
        target = table[given.target]
    task = _task(given, target)
    if task == "numbers" and target.dtype == object:
        raise text.error(("data", "task"), f"the column {given.target!r} holds texts, not numbers.")
    classes = sorted({_kind(one) for one in target}, key=_order) if task == "classes" else []
    if task == "classes":
        count_classes(classes, f"The column {given.target!r} of {given.table}")
    strata = (
        np.array([classes.index(_kind(one)) for one in target]) if classes else np.zeros(len(target), int)
    )
    share = 0.0 if isinstance(given.validation, str) else given.validation
    train, validation = held_out(strata, share, seed)
    columns = _inputs(text, given, table, train)
    notes: dict[str, Any] = {
        "kind": "table", "target": given.target, "classes": classes or None, "missing": given.missing,
        "columns": [vars(one) for one in columns],
    }  # fmt: skip
    every = again_of(notes, table, given.table, True)
    train_set, held = _rows(every, train), _rows(every, validation)
    if isinstance(given.validation, str):
        other = again_of(notes, read(given.validation), given.validation, True)
        held = other.x, other.y
    inputs = {one.input: uf.Input((1,), name=one.input, dtype=_dtype(one)) for one in columns}
    numbers = train_set[1] if task == "numbers" else None
    return Prepared(
        train_set, held if len(held[1]) else None, len(train), inputs,
        lambda tensors: _features(columns, tensors), len(classes) or 1, task, notes,
        (lambda x: x) if numbers is None else _amounts(numbers),
    )  # fmt: skip


def _order(name: str) -> tuple[int, float, str]:
    """Numbers by their size, then texts."""
    try:
        return 0, float(name), name
    except ValueError:
        return 1, 0.0, name


def _dtype(column: Column) -> str:
    return "float32" if column.kinds is None else "int32"


def _rows(given: Read, rows: np.ndarray) -> tuple[Any, Any]:
    return {name: values[rows] for name, values in given.x.items()}, given.y[rows]


def _features(columns: list[Column], tensors: Mapping[str, Any]) -> Any:
    """Amounts around zero, kinds as zeros and a one, beside each other."""
    parts = []
    amounts = [one for one in columns if one.kinds is None]
    if amounts:
        found = [tensors[one.input] for one in amounts]
        joined = layers.Concatenate(name="amounts")(found) if len(found) > 1 else found[0]
        mean = [one.mean for one in amounts]
        variance = [one.deviation**2 for one in amounts]
        parts.append(layers.Normalization(mean=mean, variance=variance)(joined))
    for one in columns:
        if one.kinds is not None:
            encoded = layers.CategoryEncoding(len(one.kinds) + 1, "one_hot", name=f"{one.input}_kinds")
            parts.append(encoded(tensors[one.input]))
    return layers.Concatenate(name="features")(parts) if len(parts) > 1 else parts[0]


def _amounts(targets: np.ndarray) -> Any:
    """What gives amounts in their own unit, of numbers around zero."""
    mean, deviation = float(targets.mean()), float(targets.std()) or 1.0
    return layers.Rescaling(deviation, mean, name="in_its_unit")


# ---------------------------------------------------------------- later


def again_of(notes: Mapping[str, Any], table: Columns, where: str, targets: bool) -> Read:
    """The inputs, and the targets if wanted, of a table like that which was trained on."""
    columns = [Column(**one) for one in notes["columns"]]
    fill = notes["missing"] == "mean"
    x = {one.input: one.values(table, fill, where) for one in columns}
    names = [f"row {i + 1}" for i in range(len(next(iter(x.values()))))]
    if not targets:
        return Read(x, None, names)
    name = notes["target"]
    if name not in table:
        raise DataError(f"{where} has no column {name!r}, the target; it has {', '.join(table)}.")
    column = table[name]
    if (gaps := gaps_in(column)).any():
        raise gap_error(where, name, gaps)
    if notes["classes"] is None:
        if column.dtype == object:
            raise DataError(
                f"{where}: the column {name!r} holds texts, such as {_some_text(column)!r}, not numbers."
            )
        return Read(x, column.astype(np.float32)[:, None], names)
    numbers = {one: i for i, one in enumerate(notes["classes"])}
    odd = sorted({_kind(one) for one in column} - set(numbers))
    if odd:
        raise DataError(
            f"{where}: {name} has a class {odd[0]!r} that is not known; known: {', '.join(numbers)}."
        )
    return Read(x, np.asarray([numbers[_kind(one)] for one in column], np.int32), names)


def again(notes: dict[str, Any], paths: Sequence[str], targets: bool) -> Read:
    """A table to predict, or to evaluate on."""
    if len(paths) != 1:
        raise ArgumentError(f"One table is read at a time; {len(paths)} were given.")
    return again_of(notes, known_or_read(paths[0], bundled.TABLES), paths[0], targets)
