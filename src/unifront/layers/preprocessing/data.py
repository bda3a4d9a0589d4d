"""Data that preprocessing layers are given, to be adapted to or called on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from unifront import tree
from unifront.backends import backend_of
from unifront.errors import ArgumentError, DTypeError
from unifront.layers.layer import Layer
from unifront.opset.tensor import Tensor, to_numpy


class DataLayer(Layer):
    """A layer on numbers that is called on Python's too: numbers, and lists of them."""

    autocast = False
    reads_values = True

    def __call__(self, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        return super().__call__(*map(numbers, args), training=training, **kwargs)


def numbers(value: Any) -> Any:
    """Python's numbers and lists of them as an array; everything else as it is."""
    if isinstance(value, list | tuple | bool | int | float):
        if any(is_array(leaf) for leaf in tree.leaves(value)):
            return value
        return array_of(value)
    return value


def array_of(value: Any) -> np.ndarray:
    """``value`` as a NumPy array: native arrays of any backend, lists and numbers; floats of lists in float32.

    Raises `DTypeError` for ragged and sparse tensors and for lists of unequal lengths, `ArgumentError` for tensors
    without a value.
    """
    if isinstance(value, Tensor):
        raise ArgumentError("Values are needed, and a tensor of uf.Input(...) or of a graph has none yet.")
    if type(value).__name__ in ("RaggedTensor", "SparseTensor"):
        raise DTypeError(
            f"A {type(value).__name__} is no array, and unifront has dense tensors only. Give "
            f"{'x.to_tensor()' if 'Ragged' in type(value).__name__ else 'tf.sparse.to_dense(x)'}."
        )
    if _is_native(value):
        return np.asarray(to_numpy(value))
    try:
        array = np.asarray(value)
    except ValueError:
        raise DTypeError("Lists of unequal lengths are no array; pad them to one length.") from None
    if array.dtype != np.float64 or hasattr(value, "dtype"):
        return array
    try:
        with np.errstate(over="raise"):
            return array.astype(np.float32)
    except FloatingPointError:
        raise DTypeError(
            "Lists of numbers are float32, which does not hold all of these; give an array of float64."
        ) from None


def is_array(data: Any) -> bool:
    """Whether ``data`` is one array, not several batches."""
    return isinstance(data, np.ndarray | np.generic | Tensor) or _is_native(data)


def _is_native(value: Any) -> bool:
    """Whether it is a native array; a framework's other classes, such as its datasets, have no dtype and shape."""
    return backend_of(value) is not None and hasattr(value, "dtype") and hasattr(value, "shape")


def batches(data: Any, steps: int | None = None) -> Iterator[Any]:
    """The batches of an iterable (a generator, a ``tf.data.Dataset``, a torch ``DataLoader``, a ``PyDataset``), of a
    tuple or a list of arrays its first. ``steps`` ends it."""
    if not hasattr(data, "__iter__") and not hasattr(data, "__getitem__"):
        raise DTypeError(
            f"Unsupported data type: {type(data)}. `adapt` supports arrays of NumPy and of backends, "
            "`tf.data.Dataset`, `PyDataset`, and iterables of batches (e.g. list, generator)."
        )
    by_index = (
        hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, list | tuple)
    )
    for batch in islice((data[i] for i in range(len(data))) if by_index else iter(data), steps):
        yield batch[0] if isinstance(batch, tuple) and batch else batch
