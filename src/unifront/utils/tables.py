"""Tables in files as datasets: CSV and Parquet, one file or a folder of them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from unifront.errors import ArgumentError, DataError
from unifront.paths import path_of
from unifront.train.data.tables import Columns, as_matrix, column

SUFFIXES = (".csv", ".parquet")
PIECE = 2**16
"""How many rows are read at once, and shuffled."""


class Tables:
    """Rows of files in batches: what `table_dataset_from_directory` gives. Going through it reads the files once, some
    rows at a time, so that they may be larger than memory; `Model.fit` takes it as it is."""

    begins_anew = True

    def __init__(
        self, paths: Sequence[str], label: Any, columns: Any, stacked: bool, batch_size: int, shuffle: bool,
        seed: int | None,
    ) -> None:  # fmt: skip
        self.file_paths = list(paths)
        self.label, self.stacked, self.batch_size, self.shuffle = label, stacked, batch_size, shuffle
        self._random = np.random.default_rng(seed)
        self._arrow = _arrow()
        self._parts = [self._opened(path) for path in paths]
        names = list(self._parts[0].schema.names)
        for path, part in zip(paths, self._parts, strict=True):
            if list(part.schema.names) != names:
                raise DataError(
                    f"{path} has the columns {', '.join(part.schema.names)}; {paths[0]} has {', '.join(names)}."
                )
        self.labels = [] if label is None else [label] if isinstance(label, str) else list(label)
        self.columns = [one for one in names if one not in self.labels] if columns is None else list(columns)
        for name in [*self.labels, *self.columns]:
            if name not in names:
                raise DataError(f"The table has no column {name!r}; it has {', '.join(names)}.")

    def _opened(self, path: str) -> Any:
        form = "parquet" if path.lower().endswith(".parquet") else "csv"
        try:
            return self._arrow.dataset(path, format=form)
        except (ValueError, OSError) as error:  # Arrow's errors are these
            raise DataError(f"{path} cannot be read as a table: {error}.") from error

    def __len__(self) -> int:
        if not all(path.lower().endswith(".parquet") for path in self.file_paths):
            raise TypeError("How many rows a CSV file has is known when it has been read.")
        return -(-sum(part.count_rows() for part in self._parts) // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        order = self._random.permutation(len(self._parts)) if self.shuffle else range(len(self._parts))
        left: dict[str, np.ndarray] = {}
        for number in order:
            for piece in self._pieces(int(number)):
                joined = (
                    {name: np.concatenate([left[name], piece[name]]) for name in piece} if left else piece
                )
                count = len(next(iter(joined.values())))
                whole = count - count % self.batch_size
                for start in range(0, whole, self.batch_size):
                    yield self._batch(joined, slice(start, start + self.batch_size))
                left = {name: values[whole:] for name, values in joined.items()}
        if left and len(next(iter(left.values()))):
            yield self._batch(left, slice(None))

    def _pieces(self, number: int) -> Iterator[dict[str, np.ndarray]]:
        names = [*self.columns, *self.labels]
        batches = self._parts[number].to_batches(columns=names, batch_size=PIECE, batch_readahead=2)
        while True:
            try:
                batch = next(batches, None)
            except (ValueError, OSError) as error:
                raise DataError(f"{self.file_paths[number]} cannot be read as a table: {error}.") from error
            if batch is None:
                return
            if not batch.num_rows:
                continue
            order = self._random.permutation(batch.num_rows) if self.shuffle else slice(None)
            yield {
                name: column(batch.column(i).to_numpy(zero_copy_only=False))[order]
                for i, name in enumerate(names)
            }

    def _batch(self, values: dict[str, np.ndarray], rows: slice) -> Any:
        taken = {name: values[name][rows] for name in self.columns}
        x = as_matrix(Columns(taken)) if self.stacked else taken
        if self.label is None:
            return x
        if isinstance(self.label, str):
            return x, values[self.label][rows]
        return x, {name: values[name][rows] for name in self.labels}


def _arrow() -> Any:
    try:
        return importlib.import_module("pyarrow.dataset")
    except ModuleNotFoundError:
        raise ArgumentError('Tables are read by Apache Arrow: pip install "unifront[data]"') from None


def table_dataset_from_directory(
    directory: Any,
    label: Any = None,
    columns: Any = None,
    stacked: bool = True,
    batch_size: int = 32,
    shuffle: bool = True,
    seed: int | None = None,
) -> Tables:
    """The rows of the ``.csv`` and ``.parquet`` files in a folder as a dataset of batches. Keras has none.

    Args:
        directory: a folder, all of whose files have the same columns; or one file.
        label: the column of the targets, or a list of several, which are then a dict; None: there are no targets.
        columns: those of the inputs; all others unless given.
        stacked: whether the inputs are one matrix ``[batch, columns]``, or a dict of columns by name, for models with
            inputs of these names.
        batch_size: rows in a batch.
        shuffle: whether files come in another order each epoch, and rows within 65,536 of them.
        seed: for that.

    Files are read by Apache Arrow, some rows at a time. Raises `ArgumentError` without it, `DataError` for a folder
    without tables, for a column that is not there, and for a file that is no table, with its name.

    Example::

        data = uf.utils.table_dataset_from_directory("rides", label="price")
        model.fit(data, epochs=3)
    """
    place = path_of(directory)
    paths = [place] if place.is_file() else sorted(place.rglob("*")) if place.is_dir() else []
    found = [str(path) for path in paths if path.suffix.lower() in SUFFIXES and path.is_file()]
    if not found:
        raise DataError(f"No tables found in directory {directory}. Allowed formats: {SUFFIXES}")
    if not isinstance(batch_size, int) or batch_size < 1:
        raise ArgumentError(f"`batch_size` is a positive int. Received: {batch_size!r}")
    return Tables(found, label, columns, stacked, batch_size, shuffle, seed)
