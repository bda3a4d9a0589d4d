"""Checked arrays, and how arrays of any framework become NumPy's."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from unifront.backends import Array, backend_of
from unifront.dtypes import DType
from unifront.errors import DataError
from unifront.functional import warn_of_extra
from unifront.train.data.tables import as_matrix, column, columns_of


@dataclass(frozen=True)
class Arrays:
    """Checked arrays of one length: the inputs, the targets, and sample weights if there are any.

    Targets are one for each output, None where nothing judges it; sample weights are none, one array for all
    outputs, or one or None for each. ``structures`` says what inputs, targets and weights look like to a
    `Model.train_step` of the user's, with numbers as leaves; None: as the model's inputs and outputs. ``placed``:
    ``all`` as native arrays, where they have been brought to the device already. ``absent``: the numbers of the
    optional inputs that are None.
    """

    inputs: tuple[np.ndarray, ...]
    targets: tuple[np.ndarray | None, ...] = ()
    weights: tuple[np.ndarray | None, ...] = ()
    structures: tuple[Any, Any, Any] | None = None
    placed: tuple[Array, ...] | None = None
    absent: tuple[int, ...] = ()

    @property
    def all(self) -> tuple[np.ndarray, ...]:
        """Everything that a step takes, in its order."""
        return (*self.inputs, *(one for one in (*self.targets, *self.weights) if one is not None))

    def __len__(self) -> int:
        return len(self.inputs[0])

    def at(self, put: Callable[[np.ndarray], Array]) -> Arrays:
        """These, brought to a device by ``put``."""
        return replace(self, placed=tuple(map(put, self.all)))

    def take(self, selection: Any) -> Arrays:
        """The examples that ``selection`` (a slice or indices) names."""
        return replace(
            self,
            inputs=tuple(array[selection] for array in self.inputs),
            targets=tuple(None if array is None else array[selection] for array in self.targets),
            weights=tuple(None if array is None else array[selection] for array in self.weights),
            placed=None,
        )


def mapped_by(array: np.ndarray) -> np.memmap | None:
    """The file in memory that ``array`` is a part of."""
    base: Any = array
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    return base if isinstance(base, np.memmap) else None


def forget_pages(array: np.ndarray) -> None:
    """Let the process's memory go that what was read of a file takes; the file stays in the system's cache."""
    file = mapped_by(array)
    mapping: Any = getattr(file, "_mmap", None)
    if (
        file is not None
        and file.mode != "c"
        and hasattr(mapping, "madvise")
        and hasattr(mmap, "MADV_DONTNEED")
    ):
        mapping.madvise(mmap.MADV_DONTNEED)


def gathered(array: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The rows ``[batches, size]`` of ``array``, one after the other. What a file in memory takes is let go after each
    batch: the system reads more of it around each row."""
    if mapped_by(array) is None:
        return array[rows.ravel()]
    found = []
    for batch in rows:
        found.append(array[batch])
        forget_pages(array)
    return np.concatenate(found) if len(found) > 1 else found[0]


def to_numpy(value: Any, what: str) -> np.ndarray:
    """``value`` (array of any framework, list, number) as NumPy; `DataError` if ragged or not numeric."""
    backend = backend_of(value)
    try:
        table = as_matrix(value)
        if table is not None:
            array = table
        elif type(value).__module__.partition(".")[0] in ("pandas", "polars", "pyarrow"):
            array = column(value)
        else:
            array = np.asarray(value if backend is None else backend.numpy(value))
    except DataError as error:
        raise DataError(f"{what}: {error}") from None
    except (ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise DataError(f"{what} cannot be made into an array: {error}.") from error
    if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        raise DataError(f"{what} has the dtype {array.dtype}; numbers are needed.")
    return array


def named_leaves(given: Any, names: Sequence[str], what: str) -> list[Any]:
    """The parts of ``given`` (one, a list or a dict) in the order of ``names``."""
    table = columns_of(given) if len(names) > 1 else None
    given = given if table is None else table
    if isinstance(given, Mapping):
        missing, extra = [n for n in names if n not in given], [n for n in given if n not in names]
        if missing:
            raise DataError(f"{what} has the keys {sorted(given)}; the model needs {list(names)}.")
        if extra and what == "The input":
            warn_of_extra(names, extra)
        elif extra:
            raise DataError(f"{what} has the keys {sorted(given)}; the model needs {list(names)}.")
        return [given[name] for name in names]
    parts = list(given) if isinstance(given, list | tuple) and len(names) > 1 else [given]
    if len(parts) != len(names):
        raise DataError(f"{what} has {len(parts)} parts; the model needs {len(names)}: {', '.join(names)}.")
    return parts


def holds_arrays(x: list[Any]) -> bool:
    """Whether a list is one of arrays, also inside of dicts and lists in it, rather than of numbers."""
    return bool(x) and all(
        hasattr(one, "shape") or isinstance(one, dict) or (isinstance(one, list) and holds_arrays(one))
        for one in x
    )


def cast(array: np.ndarray, dtype: DType, what: str) -> np.ndarray:
    """``array`` as ``dtype``, contiguous; `DataError` if its numbers are none of that dtype."""
    if array.dtype.kind not in "biu" and dtype.is_integer:
        raise DataError(f"{what} is {array.dtype}; {dtype} is needed. Convert it first: x.astype('{dtype}').")
    if array.dtype.kind in "iu" and dtype.is_integer and array.size:
        low, high = int(array.min()), int(array.max())
        info = np.iinfo(dtype.numpy)
        if low < info.min or high > info.max:
            raise DataError(
                f"{what} holds {low} … {high}, which {dtype} cannot. Amounts, other than labels, are floats: "
                "astype('float32')."
            )
    return np.ascontiguousarray(array, dtype.numpy)


def same_length(arrays: Sequence[np.ndarray], names: Sequence[str]) -> int:
    """The one length that all have; `DataError` if they differ."""
    lengths = {name: len(array) for name, array in zip(names, arrays, strict=True)}
    if len(set(lengths.values())) > 1:
        raise DataError(
            f"The arrays have different lengths: {', '.join(f'{k} {v}' for k, v in lengths.items())}."
        )
    return next(iter(lengths.values()))


def split(arrays: Arrays, share: float) -> tuple[Arrays, Arrays]:
    """The first part for training and the last ``share`` for validation, as Keras splits."""
    cut = int(len(arrays) * (1 - share))
    if cut in (0, len(arrays)):
        raise DataError(f"validation_split={share} of {len(arrays)} examples leaves one part empty.")
    return arrays.take(slice(0, cut)), arrays.take(slice(cut, None))
