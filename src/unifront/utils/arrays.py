"""Labels, sequences and data as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np

from unifront import ops
from unifront.arguments import Count, anything, checked
from unifront.backends import backend_of
from unifront.errors import ArgumentError, DTypeError, ShapeError
from unifront.opset.tensor import Tensor, type_of


@checked
def to_categorical(x: Any, num_classes: Count | None = None) -> Any:
    """Class numbers as rows with a one at the class: ``[...]`` → ``[..., num_classes]``; a last axis of one goes.

    Args:
        x: ints from 0 to ``num_classes - 1``: lists, NumPy (which give NumPy, float64) or a framework's tensor.
        num_classes: how many; the largest of ``x`` plus one unless given.

    Raises `ArgumentError` for a number that is no class. Source: ``keras.utils.to_categorical``.

    Example::

        uf.utils.to_categorical([0, 2], num_classes=3)  # [[1, 0, 0], [0, 0, 1]]
    """
    backend = backend_of(x)
    if isinstance(x, Tensor) or (backend is not None and backend.name != "numpy"):
        shape = type_of(x).shape
        if len(shape) > 1 and shape[-1] == 1:
            x = ops.squeeze(x, -1)
        if num_classes is None:
            raise ArgumentError("to_categorical: the number of classes of a tensor is given as num_classes.")
        return ops.one_hot(x, num_classes)
    labels = np.array(x, np.int64)
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    count = num_classes or (int(labels.max()) + 1 if labels.size else 0)
    if labels.size and not (labels.min() >= 0 and labels.max() < count):
        raise ArgumentError(
            f"to_categorical: classes are counted from 0 to {count - 1}; there are some from {labels.min()} to "
            f"{labels.max()}."
        )
    return np.eye(count)[labels]


@checked
def normalize(x: Any, axis: Annotated[int, anything] = -1, order: Annotated[Any, anything] = 2) -> Any:
    """``x`` divided by its norm of ``order`` along ``axis``; what is all zero stays (``keras.utils.normalize``)."""
    backend = backend_of(x)
    if isinstance(x, Tensor) or (backend is not None and backend.name != "numpy"):
        return ops.normalize(x, axis=axis, order=order)
    array = np.asarray(x)
    norm = np.linalg.norm(array, order, axis, keepdims=True)
    return array / np.where(norm == 0, 1, norm)


@checked
def pad_sequences(
    sequences: Any,
    maxlen: Count | None = None,
    dtype: Annotated[Any, anything] = "int32",
    padding: Literal["pre", "post"] = "pre",
    truncating: Literal["pre", "post"] = "pre",
    value: Any = 0.0,
) -> np.ndarray:
    """Sequences of different lengths as one array ``[sequences, maxlen, ...]``.

    Args:
        sequences: a list of lists or arrays; behind the first axis all have one shape.
        maxlen: longer ones are cut; the longest length unless given.
        dtype: of the array; ``object`` for strings.
        padding, truncating: whether what is added or cut is at the beginning or at the end.
        value: what fills up.

    Raises `ArgumentError` for what are no sequences, `ShapeError` for elements of different shapes, `DTypeError` for
    a string as ``value`` in a dtype of numbers. Source: ``keras.utils.pad_sequences``.

    Example::

        uf.utils.pad_sequences([[1], [2, 3]])  # [[0, 1], [2, 3]]
    """
    if not hasattr(sequences, "__len__"):
        raise ArgumentError("pad_sequences: `sequences` must be iterable, a list of lists.")
    for one in sequences:
        if not hasattr(one, "__len__"):
            raise ArgumentError(
                f"pad_sequences: `sequences` must be a list of iterables. Found non-iterable: {one!r}."
            )
    kind = np.dtype(dtype)
    if isinstance(value, str) and kind.kind not in "OUS":
        raise DTypeError(
            f"pad_sequences: `dtype` {dtype} is not compatible with `value`'s type: {type(value)}. "
            "You should set `dtype=object` for variable length strings."
        )
    length = max(map(len, sequences), default=0) if maxlen is None else maxlen
    inner = next((np.asarray(one).shape[1:] for one in sequences if len(one)), ())
    padded = np.full((len(sequences), length, *inner), value, kind)
    for row, one in zip(padded, sequences, strict=True):
        kept = np.asarray(_cut(one, length, truncating), dtype=kind)
        if len(kept) and kept.shape[1:] != inner:
            raise ShapeError(
                f"pad_sequences: the shape of sample {kept.shape[1:]} is different from expected shape {inner}."
            )
        if len(kept):
            place = slice(0, len(kept)) if padding == "post" else slice(length - len(kept), length)
            row[place] = kept
    return padded


def _cut(one: Sequence[Any], length: int, truncating: str) -> Sequence[Any]:
    return one[:length] if truncating == "post" else one[max(0, len(one) - length) :]


def pack_x_y_sample_weight(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """``x``, ``(x, y)`` or ``(x, y, sample_weight)`` by what is given (``keras.utils``)."""
    if y is None:
        return (x,) if isinstance(x, list | tuple) else x
    return (x, y) if sample_weight is None else (x, y, sample_weight)


def unpack_x_y_sample_weight(data: Any) -> tuple[Any, Any, Any]:
    """``(x, y, sample_weight)`` from what `pack_x_y_sample_weight` gave, None for what is not there.

    Raises `ArgumentError` for a tuple of more than three.
    """
    given = tuple(data) if isinstance(data, tuple | list) else (data,)
    if not 1 <= len(given) <= 3:
        raise ArgumentError(
            f"Data is expected to be in format `x`, `(x,)`, `(x, y)`, or `(x, y, sample_weight)`; found {data!r}."
        )
    x, y, weight = (*given, None, None)[:3]
    return x, y, weight
