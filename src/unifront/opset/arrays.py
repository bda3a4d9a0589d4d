"""Native arrays: what they are on the host, where an operation on them runs, and running it at once."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import numpy as np

from unifront import tree
from unifront.backends import (
    Backend,
    HostKey,
    Placement,
    backend_of,
    default_name,
    get_backend,
    is_plain,
    placement,
    use_backend,
)
from unifront.dtypes import BY_NAME
from unifront.errors import ArgumentError, DTypeError, ShapeError, UnifrontError, UnsupportedOp
from unifront.ir.emit import emit
from unifront.ir.graph import Graph
from unifront.ir.layouts import Storage
from unifront.ir.types import TensorType
from unifront.opset.quick import recorder, value_is_read
from unifront.opset.spec import OpSpec
from unifront.scopes import current_path
from unifront.weights import Variable


def to_numpy(operand: Any) -> np.ndarray:
    """A native array, or a number or a list of numbers, as NumPy."""
    value_is_read()
    backend = backend_of(operand)
    return host_array(operand) if backend is None else backend.numpy(operand)


_DEFAULTS = {
    "f": np.dtype("float32"),
    "i": np.dtype("int32"),
    "u": np.dtype("int32"),
    "c": np.dtype("complex64"),
}


def plain_array(operand: Any) -> np.ndarray:
    """``operand`` as NumPy takes it; lists of unequal lengths become an array of one object, None."""
    try:
        return np.asarray(operand)
    except (TypeError, ValueError):
        return np.asarray(None)


def host_array(operand: Any) -> np.ndarray:
    """A number or a list of numbers as an array: Python's floats are float32, its ints int32."""
    array = plain_array(operand)
    if array.dtype.name not in BY_NAME:
        raise DTypeError(f"Operations take tensors, arrays and numbers, not {reprlib.repr(operand)}.")
    if hasattr(operand, "dtype"):
        return array
    default = _DEFAULTS.get(array.dtype.kind, array.dtype)
    if default.kind == "i" and array.size:
        for extreme in (array.min(), array.max()):
            if not np.iinfo(default).min <= extreme <= np.iinfo(default).max:
                raise ArgumentError(
                    f"The number {extreme} does not fit int32, as which Python's ints are taken; "
                    "give a NumPy array of another dtype."
                )
    with np.errstate(over="ignore"):
        return array.astype(default)


_most: ContextVar[int | None] = ContextVar("unifront_most_elements", default=None)


@contextmanager
def at_most(elements: int) -> Iterator[None]:
    """A block in which operations that run at once make no array of more elements than these; `ShapeError` for one."""
    token = _most.set(elements)
    try:
        yield
    finally:
        _most.reset(token)


def _check_sizes(op: OpSpec, most: int, types: Sequence[TensorType | None], extra: Mapping[str, Any]) -> None:
    for made in op.infer(*types, **extra):
        size = math.prod(made.shape)
        if isinstance(size, int) and size > most:
            raise ShapeError(
                f"{op.name}: the result {made} has {size} elements; at most {most} are computed here."
            )


def run(
    op: OpSpec, operands: Sequence[Any], attributes: Mapping[str, Any], regions: tuple[Graph, ...]
) -> Any:
    """Run ``op`` at once, on the backend of its native arrays."""
    backend, device = placed(op.name, operands)
    rows = backend.rows(device)
    natives = [native(operand, backend, device) for operand in operands]
    noted = recorder()
    if noted is not None:
        for operand, array in zip(operands, natives, strict=True):
            noted.operand(operand, array)
        if regions:
            noted.fail()
    try:
        types = tuple([None if n is None else backend.type_of(n) for n in natives])
        if regions:
            op.infer(*types, regions=regions, **attributes)
        elif attributes:
            _check_with(op, types, attributes)
        else:
            _check(op, types, ())
        most = _most.get()
        if most is not None:
            _check_sizes(op, most, types, {"regions": regions, **attributes} if regions else attributes)
    except UnifrontError as error:
        error.at(current_path())
        raise
    if op not in rows.table:
        if op.decomposition is None:
            reason = rows.reasons.get(op, "it has no row for it")
            raise UnsupportedOp(f"{op.name}: the backend {backend.name!r} cannot run it: {reason}.")
        return op.decomposition(*natives, **({"regions": regions} if regions else {}), **attributes)
    canonical = tuple(natives)
    stored = {i: rows.storage[op, i] for i in range(len(natives)) if (op, i) in rows.storage}
    for i, storage in stored.items():
        if natives[i] is not None:
            natives[i] = storage.to_native(natives[i])
    extra: dict[str, Any] = {}
    if regions:
        extra["regions"] = tuple(emit(region, rows).function for region in regions)
    result = rows.table[op](*natives, **extra, **attributes)
    if noted is not None:
        row = rows.table[op] if rows.typed is None else rows.typed(op, types, attributes)
        if all(map(is_plain, types)):
            row = getattr(row, "plain", row)
        noted.step(op, _converting(row, stored), canonical, attributes, result)
    return result


def _converting(row: Callable[..., Any], stored: Mapping[int, Storage]) -> Callable[..., Any]:
    """``row`` for operands in the canonical layout."""
    if not stored:
        return row

    def converted(*operands: Any, **attributes: Any) -> Any:
        natives = [
            operand if operand is None or i not in stored else stored[i].to_native(operand)
            for i, operand in enumerate(operands)
        ]
        return row(*natives, **attributes)

    return converted


def _check_with(op: OpSpec, types: tuple[TensorType | None, ...], attributes: Mapping[str, Any]) -> None:
    """`_check`, which would take 1.0 and True for 1 if it did not know the classes of attributes."""
    known = []
    for name, value in attributes.items():
        classes = tuple(map(type, value)) if type(value) is tuple else (type(value),)
        if tuple in classes or not isinstance(value, tuple | str | int | float | None):
            op.infer(*types, **attributes)
            return
        known.append((name, value, classes))
    _check(op, types, tuple(known))


@lru_cache(4096)
def _check(op: OpSpec, types: tuple[TensorType | None, ...], attributes: tuple[Any, ...]) -> None:
    """Raise what the operation's type rule raises; what it has admitted once it admits again."""
    op.infer(*types, **{name: value for name, value, _ in attributes})


def placed(name: str, operands: Sequence[Any]) -> tuple[Backend, str | None]:
    """Where an operation called ``name`` runs: a framework's first array says it, NumPy's arrays and weights follow.

    Weights and keys by themselves are at the default. The device is None where the array is on none in particular.
    """
    found: dict[str, tuple[Backend, Any]] = {}
    weights, homeless = False, True
    for operand in operands:
        if operand is None or isinstance(operand, HostKey):
            continue
        homeless = False
        if isinstance(operand, Variable):
            weights = True
            continue
        backend = backend_of(operand)
        if backend is not None and backend.name not in found:
            found[backend.name] = (backend, operand)
    if len(found) > 1:
        found.pop("numpy", None)
    if len(found) > 1:
        error = ArgumentError(
            f"{name}: arrays of {' and '.join(sorted(found))} meet in one operation. Give the arrays of one "
            "backend; NumPy arrays go with any."
        )
        error.at(current_path())
        raise error
    if found and "numpy" not in found:
        ((backend, array),) = found.values()
        return backend, backend.device_of(array)
    if homeless or weights:
        place = placement()
        return place.backend, place.device
    return get_backend("numpy"), None


def backend_of_arrays(structure: Any) -> AbstractContextManager[Any]:
    """A block in which weights and keys by themselves are where the first array of ``structure`` is."""
    found: dict[str, tuple[Backend, Any]] = {}
    for leaf in tree.leaves(structure):
        backend = backend_of(leaf)
        if backend is not None:
            found.setdefault(backend.name, (backend, leaf))
    if len(found) > 1:
        found.pop("numpy", None)
    if len(found) != 1:
        return nullcontext()
    ((backend, array),) = found.values()
    device = backend.device_of(array)
    if device is None:
        default = default_name().partition(":")[0]
        return nullcontext() if default == backend.name else use_backend(backend.name)
    return use_backend(Placement(backend, device, backend.name))


def native(operand: Any, backend: Backend, device: str | None = None) -> Any:
    """``operand`` (an array of any kind, a number, a variable, a key) as an array of ``backend``."""
    if operand is None:
        return None
    if isinstance(operand, Variable):
        where = device or backend.devices()[0]
        return operand.native(Placement(backend, where, backend.name), at_home=device is None)
    if isinstance(operand, HostKey):
        return backend.key(operand, device)
    own = backend_of(operand)
    if own is not None and own.name == backend.name:
        return operand
    return backend.array(host_array(operand) if own is None else own.numpy(operand), device)
