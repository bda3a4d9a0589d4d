"""Tables: data frames of pandas and polars, tables of Arrow, rows of Hugging Face's datasets.

They are known by the modules of their classes: none of these libraries is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from unifront.errors import DataError

LABELS = ("label", "labels", "target", "targets")
"""What the column of the targets is called, if nobody says."""


def is_of(x: Any, module: str, *names: str) -> bool:
    """Whether the class of ``x``, or one that it derives from, is one of ``names`` in a module ``module…``."""
    return any(
        one.__name__ in names and f"{one.__module__}.".startswith(f"{module}.") for one in type(x).__mro__
    )


def _of_pandas(x: Any) -> dict[str, Any]:
    return {str(name): x[name] for name in x.columns}


def _of_polars(x: Any) -> dict[str, Any]:
    return {name: x.get_column(name) for name in x.columns}


def _of_arrow(x: Any) -> dict[str, Any]:
    return {name: x.column(name) for name in x.column_names}


TABLES: tuple[tuple[str, str, Callable[[Any], dict[str, Any]]], ...] = (
    ("pandas", "DataFrame", _of_pandas),
    ("polars", "DataFrame", _of_polars),
    ("pyarrow", "Table", _of_arrow),
)
"""Module, class, and what makes columns of it."""


@dataclass(frozen=True)
class Columns:
    """What is left of a table of which columns were taken: a table too."""

    columns: dict[str, Any]


def columns_of(x: Any) -> dict[str, Any] | None:
    """The columns of a table by name; None for what is no table."""
    if isinstance(x, Columns):
        return x.columns
    for module, name, split in TABLES:
        if is_of(x, module, name):
            return split(x)
    return None


def column(value: Any) -> np.ndarray:
    """A column as an array. What a library keeps as objects becomes numbers if it can: numbers with gaps become
    floats with NaN, lists of one length a further axis."""
    if hasattr(value, "to_numpy"):
        value = value.to_numpy()
    array = np.asarray(value)
    if array.dtype != object or not array.size:
        return array
    if isinstance(array.flat[0], list | tuple | np.ndarray):
        return np.stack([np.asarray(row) for row in array])
    gaps = np.array([one is None or type(one).__name__ == "NAType" for one in array])
    if gaps.any():
        array = np.where(gaps, np.nan, array)
    kept = array[~gaps]
    if kept.size and all(isinstance(one, int | float | bool | np.number | np.bool_) for one in kept):
        return array.astype(np.float64 if gaps.any() else np.result_type(*{type(one) for one in kept}))
    return array


def as_matrix(x: Any) -> np.ndarray | None:
    """A table as ``[rows, columns]``; None for what is no table. Raises `DataError` naming a column of no numbers."""
    columns = columns_of(x)
    if columns is None:
        return None
    arrays = {name: column(value) for name, value in columns.items()}
    for name, array in arrays.items():
        if array.dtype.kind not in "biuf" or array.ndim != 1:
            raise DataError(
                f"The column {name!r} of the table is {array.dtype}{list(array.shape[1:]) or ''}; a model takes "
                "numbers. Leave it out, or encode it first: uf.layers.StringLookup, CategoryEncoding."
            )
    if not arrays:
        raise DataError("The table has no columns.")
    return np.stack(list(arrays.values()), axis=1)


def named_columns(x: Any, y: Any, weight: Any) -> tuple[Any, Any, Any]:
    """``x, y, weight`` where ``y`` and ``weight`` may name columns of the table ``x``, which has the others then."""
    wanted = [one for one in (y, weight) if _names(one)]
    columns = columns_of(x) if wanted else None
    if columns is None:
        return x, y, weight
    taken = [name for one in wanted for name in _names(one)]
    missing = [name for name in taken if name not in columns]
    if missing:
        raise DataError(f"The table has no column {missing[0]!r}; it has {', '.join(columns)}.")
    rest = {name: value for name, value in columns.items() if name not in taken}
    picked = [_picked(columns, one) if _names(one) else one for one in (y, weight)]
    return Columns(rest), picked[0], picked[1]


def _names(given: Any) -> list[str]:
    if isinstance(given, str):
        return [given]
    is_names = isinstance(given, list | tuple) and bool(given) and all(isinstance(one, str) for one in given)
    return list(given) if is_names else []


def _picked(columns: Mapping[str, Any], names: Any) -> Any:
    if isinstance(names, str):
        return column(columns[names])
    return {name: column(columns[name]) for name in names}


def batch_of_columns(
    batch: Mapping[str, Any], inputs: tuple[str, ...], outputs: tuple[str, ...], y: Any, weight: Any
) -> tuple[Any, Any, Any]:
    """``x, y, sample_weight`` of a batch of columns: inputs and outputs by the names of the model's, else one of
    `LABELS` is the target, and the one column that is left is the input.

    Raises `DataError` where that does not say which column is which.
    """
    columns = {name: column(value) for name, value in batch.items()}
    if y is None:
        known = [name for name in outputs if name in columns] or [one for one in LABELS if one in columns]
        y = known if len(known) > 1 and len(outputs) > 1 else next(iter(known), None)
    for name in [*_names(y), *_names(weight)]:
        if name not in columns:
            raise DataError(f"The data has no column {name!r}; it has {', '.join(columns)}.")
    rest = {name: value for name, value in columns.items() if name not in [*_names(y), *_names(weight)]}
    if all(name in rest for name in inputs) and inputs:
        x: Any = {name: rest[name] for name in inputs}
    elif len(rest) == 1 and len(inputs) <= 1:
        x = next(iter(rest.values()))
    else:
        raise DataError(
            f"The data has the columns {', '.join(columns)}; the model takes {', '.join(inputs) or 'one input'}. "
            "Rename the columns, or remove those that are no inputs."
        )
    return x, _picked(columns, y) if _names(y) else None, _picked(columns, weight) if _names(weight) else None
