"""A dataset as two."""

from __future__ import annotations

import importlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unifront import tree
from unifront.errors import ArgumentError, DTypeError
from unifront.train.data.tables import is_of


@dataclass(frozen=True)
class Rows:
    """Some rows of a dataset that gives them by number."""

    source: Any
    numbers: Sequence[int]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Any:
        return self.source[self.numbers[index]]

    def __iter__(self) -> Iterator[Any]:
        return (self.source[number] for number in self.numbers)


@dataclass(frozen=True)
class _Columns:
    """Arrays of one length, by row: a tuple of one of each."""

    arrays: tuple[Any, ...]

    def __getitem__(self, index: int) -> Any:
        return tuple(array[index] for array in self.arrays)


def split_dataset(
    dataset: Any,
    left_size: float | None = None,
    right_size: float | None = None,
    shuffle: bool = False,
    seed: int | None = None,
    preferred_backend: str | None = None,
) -> tuple[Any, Any]:
    """The first examples of a dataset and the last ones.

    Args:
        dataset: an array; a list or tuple of arrays of one length; a ``tf.data.Dataset``; a dataset of PyTorch, or
            anything else with ``len`` that gives examples by number.
        left_size, right_size: how many there are in each: a share (float) or a number (int). What is not given is what
            the other leaves.
        shuffle: whether they are shuffled before; ``seed`` is for that.
        preferred_backend: what two datasets are given: ``"tensorflow"``: of ``tf.data``; ``"torch"``: of PyTorch.
            Unless given, of ``tf.data`` for one of these, else objects with ``len`` that give examples by number.

    Raises `ArgumentError` for sizes that do not fit, `DTypeError` for what is no dataset. A ``tf.data.Dataset`` is read
    once. Source: ``keras.utils.split_dataset``.

    Example::

        left, right = uf.utils.split_dataset(np.arange(10), left_size=0.8)  # 8 and 2 examples
    """
    is_tf = is_of(dataset, "tensorflow", "DatasetV2")
    if preferred_backend not in (None, "tensorflow", "torch", "jax", "numpy"):
        raise ArgumentError(f"preferred_backend is 'tensorflow', 'torch' or None, not {preferred_backend!r}.")
    batch = int(dataset._batch_size) if is_tf and hasattr(dataset, "_batch_size") else None
    source, count = _source(dataset, is_tf)
    if left_size is None and right_size is None:
        raise ArgumentError(
            "At least one of the `left_size` or `right_size` must be specified. Received: left_size=None and "
            "right_size=None"
        )
    left, right = _sizes(left_size, right_size, count)
    numbers = list(range(count))
    if shuffle:
        random.Random(seed).shuffle(numbers)
    parts = Rows(source, numbers[:left]), Rows(source, numbers[count - right :])
    if preferred_backend == "torch":
        return _of_torch(parts[0]), _of_torch(parts[1])
    if preferred_backend == "tensorflow" or (is_tf and preferred_backend is None):
        return _of_tensorflow(parts[0], batch), _of_tensorflow(parts[1], batch)
    return parts


def _source(dataset: Any, is_tf: bool) -> tuple[Any, int]:
    """What gives examples by number, and how many there are."""
    if is_tf:
        flat = dataset.unbatch() if hasattr(dataset, "_batch_size") else dataset
        rows = [tree.map_leaves(lambda leaf: leaf.numpy(), row) for row in flat]
        return rows, len(rows)
    if isinstance(dataset, list | tuple):
        if not dataset:
            raise ArgumentError(
                f"Received an empty {type(dataset).__name__} dataset. Please provide a non-empty one of arrays."
            )
        for i, array in enumerate(dataset):
            if not hasattr(array, "shape"):
                raise ArgumentError(
                    f"Expected a {type(dataset).__name__} of `numpy.ndarray` objects, Received: {type(array)} at "
                    f"index {i}."
                )
            if len(array) != len(dataset[0]):
                raise ArgumentError(
                    f"Received a {type(dataset).__name__} of NumPy arrays with different lengths. Mismatch found at "
                    f"index {i}, Expected shape={tuple(dataset[0].shape)} Received shape={tuple(array.shape)}. Please "
                    f"provide a {type(dataset).__name__} of NumPy arrays of the same length."
                )
        return _Columns(tuple(dataset)), len(dataset[0])
    if (
        hasattr(dataset, "__getitem__")
        and hasattr(dataset, "__len__")
        and not isinstance(dataset, str | dict)
    ):
        return dataset, len(dataset)
    raise DTypeError(
        "The `dataset` argument must be an array, a list/tuple of arrays, a `tf.data.Dataset`, or give examples by "
        f"number and have a length. Received: {type(dataset)}"
    )


def _sizes(left: Any, right: Any, count: int) -> tuple[int, int]:
    for name, size in (("left_size", left), ("right_size", right)):
        if size is not None and (isinstance(size, bool) or not isinstance(size, int | float)):
            raise DTypeError(
                f"Invalid `{name}` Type. Expected: int or float or None, Received: type({name})={type(size)}."
            )
        if size is not None and not 0 < size < (count if isinstance(size, int) else 1):
            raise ArgumentError(
                f"`{name}` should be either a positive integer smaller than {count}, or a float within the range "
                f"`[0, 1]`. Received: {name}={size}"
            )
    if isinstance(left, float) and isinstance(right, float) and left + right > 1:
        raise ArgumentError(
            "The sum of `left_size` and `right_size` is greater than 1. It must be less than or equal to 1."
        )
    counts = [round(size * count) if isinstance(size, float) else size for size in (left, right)]
    left_count = counts[0] if counts[0] is not None else count - counts[1]
    right_count = counts[1] if counts[1] is not None else count - counts[0]
    if left_count + right_count > count:
        raise ArgumentError(
            f"The sum of `left_size` and `right_size` should be smaller than the {count}. Received: left_size + "
            f"right_size = {left_count + right_count} and total_length = {count}"
        )
    for side, part in (("left", left_count), ("right", right_count)):
        if part == 0:
            raise ArgumentError(
                f"With `dataset` of length={count}, `left_size`={left} and `right_size`={right}, the {side} side "
                "will be empty. Adjust any of the aforementioned parameters."
            )
    return left_count, right_count


def _of_torch(rows: Rows) -> Any:
    data = importlib.import_module("torch.utils.data")
    if is_of(rows.source, "torch.utils.data", "Dataset"):
        return data.Subset(rows.source, list(rows.numbers))
    torch = importlib.import_module("torch")
    examples = [_as_tuple(row) for row in rows]
    return data.TensorDataset(*(torch.from_numpy(np.stack(part)) for part in zip(*examples, strict=True)))


def _as_tuple(row: Any) -> tuple[np.ndarray, ...]:
    return tuple(np.asarray(leaf) for leaf in tree.leaves(row))


def _of_tensorflow(rows: Rows, batch: int | None) -> Any:
    tf = importlib.import_module("tensorflow")
    examples = list(rows)
    flat = [tree.leaves(row) for row in examples]
    columns = [np.stack([np.asarray(leaf) for leaf in part]) for part in zip(*flat, strict=True)]
    place = iter(columns)
    structure = tree.map_leaves(lambda _: next(place), _tuples(examples[0]))
    made = tf.data.Dataset.from_tensor_slices(structure)
    return (made if batch is None else made.batch(batch)).prefetch(tf.data.AUTOTUNE)


def _tuples(row: Any) -> Any:
    """``row`` with tuples for its lists, which would be taken for arrays."""
    if isinstance(row, list | tuple):
        return tuple(_tuples(part) for part in row)
    return {name: _tuples(part) for name, part in row.items()} if isinstance(row, dict) else row
