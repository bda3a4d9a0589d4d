"""What metrics make of their arguments: tensors of one place, ranks that go together, weights and masks as factors."""

from __future__ import annotations

from typing import Any

import numpy as np

from unifront import ops
from unifront.backends import backend_of
from unifront.dtypes import DType
from unifront.errors import ShapeError
from unifront.opset.tensor import Tensor, backend_of_arrays, is_tensor, type_of
from unifront.trace import carried_mask, current_context
from unifront.train.losses.base import of_one_rank as of_one_rank


def tensors(*given: Any) -> tuple[Any, ...]:
    """Numbers, lists and arrays as tensors of one place; None stays None.

    Arrays of NumPy and plain data go with the arrays of a framework, else to the default backend, as weights do.
    """
    native = [one for one in given if _has_a_place(one)]
    with backend_of_arrays(native):
        return tuple(one if one is None or isinstance(one, Tensor) else _tensor(one) for one in given)


def _has_a_place(one: Any) -> bool:
    return is_tensor(one) and not isinstance(one, np.ndarray | np.generic)


def _tensor(one: Any) -> Any:
    backend = backend_of(one)
    return one if backend is not None and backend.name != "numpy" else ops.convert_to_tensor(one)


def pair(y_true: Any, y_pred: Any, dtype: DType | None = None) -> tuple[Any, Any]:
    """Targets and predictions as tensors of one rank and dtype, that of the predictions unless given.

    Raises `ShapeError` where they do not broadcast.
    """
    y_true, y_pred = tensors(y_true, y_pred)
    dtype = dtype or type_of(y_pred).dtype
    y_true, y_pred = of_one_rank(ops.cast(y_true, dtype), ops.cast(y_pred, dtype))
    check_fit(y_true, y_pred)
    return y_true, y_pred


def check_fit(y_true: Any, y_pred: Any) -> None:
    """Raise `ShapeError` unless targets and predictions have one shape, up to axes of size one."""
    true, pred = type_of(y_true).shape, type_of(y_pred).shape
    if len(true) != len(pred) or any(
        a != b and 1 not in (a, b) and isinstance(a, int) and isinstance(b, int)
        for a, b in zip(true, pred, strict=True)
    ):
        raise ShapeError(f"The targets have the shape {true}, the predictions {pred}.")


def factor(weight: Any, values: Any, dtype: DType) -> Any:
    """``weight``, one for all, for each example or for each value, of the shape of ``values``."""
    weight, wanted = ops.cast(weight, dtype), type_of(values)
    if type_of(weight).rank == wanted.rank + 1 and type_of(weight).shape[-1] == 1:
        weight = ops.squeeze(weight, -1)
    missing = wanted.rank - type_of(weight).rank
    for _ in range(missing if type_of(weight).rank else 0):
        weight = ops.expand_dims(weight, -1)
    return spread(weight, values)


def spread(weight: Any, values: Any) -> Any:
    """``weight`` in the shape of ``values``; `ShapeError` if it does not broadcast to that."""
    given, wanted = type_of(weight).shape, type_of(values).shape
    if given == wanted:
        return weight
    last = wanted[len(wanted) - len(given) :] if len(given) <= len(wanted) else ()
    if len(given) > len(wanted) or any(
        a not in (1, b) and isinstance(a, int) and isinstance(b, int)
        for a, b in zip(given, last, strict=True)
    ):
        raise ShapeError(
            f"The sample weights have the shape {given}; there is one for all, for each example or for each of the "
            f"values, whose shape is {wanted}."
        )
    return ops.multiply(
        weight, ops.ones_like(values, dtype=type_of(weight).dtype)
    )  # a constant too, free sizes too


def masked(weight: Any, tensor: Any, dtype: DType) -> Any:
    """``weight`` times the mask that travels with ``tensor``; None where there is neither."""
    context = current_context()
    mask = carried_mask(tensor) if context is None else context.mask_of(tensor)
    if mask is None:
        return weight
    mask = ops.cast(mask, dtype)
    if weight is None:
        return mask
    weight, mask = of_one_rank(ops.cast(weight, dtype), mask)
    for _ in range(type_of(mask).rank - type_of(weight).rank):
        weight = ops.expand_dims(weight, -1)
    return ops.multiply(weight, mask)


def value_of(scalar: Any) -> float | None:
    """The number that ``scalar`` is; None while it is traced."""
    backend = backend_of(scalar)
    if backend is None or (backend.name != "numpy" and backend.device_of(scalar) is None):
        return None
    return float(backend.numpy(scalar))
