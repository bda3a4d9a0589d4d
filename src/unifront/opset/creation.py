"""Tensors made from nothing: filled with a number, or with their own positions.

Where all sizes are known the result is a NumPy array, which becomes a constant of the graph that uses it. A
shape with named dimensions is of the graph being written, or of that of ``like``, any tensor: it says which graph,
backend and device.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from unifront.arguments import LARGEST
from unifront.dtypes import DTypeLike, bool_, dtype_of, floatx
from unifront.errors import ArgumentError, DTypeError, ShapeError
from unifront.ir import facts
from unifront.ir.dims import Dim, DimExpr, symbol
from unifront.ir.types import TensorType
from unifront.opset import elementwise as e
from unifront.opset.builder import active_builder
from unifront.opset.elementwise import TensorLike
from unifront.opset.quick import value_is_read
from unifront.opset.rules import axis_in, dims_in, negative_size, show, whole
from unifront.opset.shape import broadcast_to
from unifront.opset.spec import OpSpec, Sample, register
from unifront.opset.tensor import (
    bind,
    builder_for,
    current_path,
    is_tensor,
    lift,
    replayed,
    size_tensor,
    type_of,
)

Number = bool | int | float | DimExpr


def _fill_rule(like: TensorType, shape: tuple[Dim, ...], value: Number, dtype: str) -> TensorType:
    return TensorType(dtype_of(dtype), shape)


def _fill_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, value, dtype in (
        ((), 1.5, "float64"),
        ((2, 3), -1, "int32"),
        ((0, 2), True, "bool"),
        ((1,), 2, "float32"),
    ):
        yield Sample((np.zeros(3),), {"shape": shape, "value": value, "dtype": dtype})


FILL = register(
    OpSpec(
        "fill", _fill_rule, lambda like, shape, value, dtype: np.full(shape, value, dtype_of(dtype).numpy),
        _fill_samples, "NumPy full; ONNX ConstantOfShape",
        {"shape": tuple, "value": (bool, int, float, DimExpr), "dtype": str}, differentiable=False,
        facts=facts.opaque("half"),
    )
)  # fmt: skip


def _iota_rule(like: TensorType, shape: tuple[Dim, ...], axis: int, dtype: str) -> TensorType:
    axis_in(axis, len(shape))
    if dtype_of(dtype).kind in "bk":
        raise DTypeError(f"iota gives numbers, not {dtype}.")
    return TensorType(dtype_of(dtype), shape)


def _iota(like: Any, shape: tuple[int, ...], axis: int, dtype: str) -> np.ndarray:
    positions = np.arange(shape[axis]).astype(dtype_of(dtype).numpy)
    return np.broadcast_to(positions.reshape(-1, *(1,) * (len(shape) - axis - 1)), shape)


def _iota_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape, axis, dtype in (
        ((4,), 0, "int32"),
        ((2, 3), 0, "float64"),
        ((2, 1, 3), 2, "int64"),
        ((2, 0), 1, "int32"),
    ):
        yield Sample((np.zeros(3),), {"shape": shape, "axis": axis, "dtype": dtype})


IOTA = register(
    OpSpec(
        "iota", _iota_rule, _iota, _iota_samples, "XLA Iota; NumPy indices",
        {"shape": tuple, "axis": int, "dtype": str}, differentiable=False,
        facts=facts.along(None, "half", keeps_zeros=False, sign="not negative"),
    )
)  # fmt: skip


def _home(name: str, shape: tuple[Dim, ...], like: Any) -> Any:
    """The tensor in whose graph or backend to make it, None for a NumPy array; `ArgumentError` for a negative size.
    Named dimensions are of the graph being written, or of the calls being noted, if ``like`` says no other."""
    free = [dim for dim in shape if isinstance(dim, DimExpr)]
    if any(isinstance(dim, int) and dim < 0 for dim in shape):
        raise ArgumentError(f"{name}: sizes are not negative; given was the shape {show(shape)}.")
    if like is not None or not free:
        return like
    writing = active_builder()
    return size_tensor(free[0]) if writing is None else writing.constant(np.zeros((), np.float32))


@replayed
def full(
    shape: Dim | Sequence[Dim],
    fill_value: Number | TensorLike,
    dtype: DTypeLike | None = None,
    *,
    like: TensorLike | None = None,
) -> Any:
    """A tensor of ``shape`` whose every element is ``fill_value`` (NumPy full).

    Args:
        fill_value: a number, or a named dimension: its size. Or a tensor that broadcasts to ``shape``.
        dtype: ``floatx`` unless given.
        like: a tensor of the graph or backend to make it in. Named dimensions are of the graph being written unless
            it is given.
    """
    sizes, kind = dims_in(shape), floatx() if dtype is None else dtype_of(dtype)
    if fill_value is None:
        raise ArgumentError("full: fill_value is a number or a tensor, not None.")
    if not isinstance(fill_value, Number):
        return broadcast_to(e.cast(fill_value, kind), sizes)
    like = _home("full", sizes if not isinstance(fill_value, DimExpr) else (*sizes, fill_value), like)
    if like is None:
        try:
            return np.full(sizes, fill_value, kind.numpy)
        except (OverflowError, TypeError, ValueError):
            raise ArgumentError(f"full: {fill_value!r} is no number that fits {kind}.") from None
    return bind(FILL, like, shape=sizes, value=fill_value, dtype=kind.name)


def zeros(
    shape: Dim | Sequence[Dim], dtype: DTypeLike | None = None, *, like: TensorLike | None = None
) -> Any:
    """Zeros; see `full` (NumPy zeros)."""
    return full(shape, 0, dtype, like=like)


def ones(
    shape: Dim | Sequence[Dim], dtype: DTypeLike | None = None, *, like: TensorLike | None = None
) -> Any:
    """Ones; see `full` (NumPy ones)."""
    return full(shape, 1, dtype, like=like)


@replayed
def full_like(x: TensorLike, fill_value: Number | TensorLike, dtype: DTypeLike | None = None) -> Any:
    """A tensor of the shape and dtype of ``x`` (unless ``dtype`` is given), filled (NumPy full_like)."""
    type_ = type_of(x)
    return full(type_.shape, fill_value, type_.dtype if dtype is None else dtype, like=x)


def zeros_like(x: TensorLike, dtype: DTypeLike | None = None) -> Any:
    """Zeros of the shape and dtype of ``x`` (NumPy zeros_like)."""
    return full_like(x, 0, dtype)


def ones_like(x: TensorLike, dtype: DTypeLike | None = None) -> Any:
    """Ones of the shape and dtype of ``x`` (NumPy ones_like)."""
    return full_like(x, 1, dtype)


def empty(
    shape: Dim | Sequence[Dim], dtype: DTypeLike | None = None, *, like: TensorLike | None = None
) -> Any:
    """A tensor of ``shape`` with any elements: zeros; see `full` (NumPy empty)."""
    return full(shape, 0, dtype, like=like)


def empty_like(x: TensorLike, dtype: DTypeLike | None = None) -> Any:
    """A tensor of the shape and dtype of ``x`` with any elements: zeros (NumPy empty_like)."""
    return full_like(x, 0, dtype)


@replayed
def iota(
    shape: Dim | Sequence[Dim], axis: int = 0, dtype: DTypeLike = "int32", *, like: TensorLike | None = None
) -> Any:
    """A tensor of ``shape`` in which each element is its position along ``axis`` (XLA Iota).

    Args:
        like: a tensor of the graph or backend to make it in. Named dimensions are of the graph being written unless
            it is given.
    """
    sizes, kind = dims_in(shape), dtype_of(dtype)
    place = axis_in(axis, len(sizes))
    like = _home("iota", sizes, like)
    if like is None:
        return _iota(None, sizes, place, kind.name)  # type: ignore[arg-type]  # ints, as just checked
    return bind(IOTA, like, shape=sizes, axis=place, dtype=kind.name)


@replayed
def arange(
    start: Any,
    stop: Any = None,
    step: int | float | None = None,
    dtype: DTypeLike | None = None,
    *,
    like: TensorLike | None = None,
    size: int | None = None,
) -> Any:
    """``start``, ``start + step``, … before ``stop``; with one bound from 0 (NumPy arange).

    Args:
        start, stop: numbers, or named dimensions; ``step`` (1 unless given) is then a positive int. Or integer
            scalars that are tensors: the length then comes from their values.
        dtype: int32, or ``floatx`` if a bound or the step is a float.
        like: a tensor of the graph or backend to make it in. Named dimensions are of the graph being written unless
            it is given.
        size: with tensors, a fixed length, which XLA needs: ``start``, ``start + step``, …, so many.
    """
    first, last = (0, start) if stop is None else (start, stop)
    step = 1 if step is None else step
    if is_tensor(first) or is_tensor(last):
        return _between(first, last, step, dtype, size)
    for number in (first, last, step):
        if not isinstance(number, int | float | DimExpr | np.integer | np.floating):
            raise ArgumentError(f"arange takes numbers, not {number!r}.")
    if step == 0:
        raise ArgumentError("arange: the step is not 0.")
    floats = any(isinstance(number, float) for number in (first, last, step))
    kind = dtype_of(dtype) if dtype is not None else floatx() if floats else dtype_of("int32")
    if not isinstance(first, DimExpr) and not isinstance(last, DimExpr):
        length = (last - first) / step
        if not np.isfinite(length) or length > LARGEST:
            raise ArgumentError(f"arange: from {first} to {last} by {step} are too many numbers.")
        return np.arange(first, last, step).astype(kind.numpy)
    if floats or not isinstance(step, int) or step < 1:
        raise ArgumentError(
            f"arange: named dimensions go with ints and a positive step, not with {first}, {last} and {step}."
        )
    count = (last - first + step - 1) // step
    positions = e.multiply(iota((count,), 0, kind, like=like), step)
    return e.add(positions, full((), first, kind, like=like))


def _between(first: Any, last: Any, step: int | float, dtype: DTypeLike | None, size: int | None) -> Any:
    """`arange` between bounds that are tensors."""
    if not isinstance(step, int) or step == 0:
        raise ArgumentError(f"arange: between tensors the step is an int and not 0, unlike {step!r}.")
    first, last = e.promoted(first, last)
    if not type_of(first).dtype.is_integer or type_of(first).shape or type_of(last).shape:
        raise ArgumentError(
            f"arange: bounds that are tensors are integer scalars, not {type_of(first)}, {type_of(last)}."
        )
    rounding = step - 1 if step > 0 else step + 1
    if size is None:
        count = e.floor_divide(e.add(e.subtract(last, first), rounding), step)
        places = bind_size(e.maximum(count, 0))
    else:
        places = full((whole(size, "size"),), False, bool_, like=last)
    kind = type_of(first).dtype if dtype is None else dtype_of(dtype)
    positions = iota(type_of(places).shape, 0, kind, like=places)
    return e.add(e.multiply(positions, step), e.cast(first, kind))


def _bind_size_rule(value: TensorType, size: Dim, layer: str) -> TensorType:
    if not value.dtype.is_integer or value.shape:
        raise ShapeError(f"A size is an integer scalar, not {value}.")
    if isinstance(size, DimExpr) and size.symbols() != {str(size)}:
        raise ShapeError(f"bind_size names one symbol, not {size}.")
    return TensorType(bool_, (size,))


def _bind_size(value: np.ndarray, size: Any, layer: str) -> np.ndarray:
    if value < 0:
        raise ShapeError(negative_size(layer, value))
    return np.zeros(int(value), bool)


BIND_SIZE = register(
    OpSpec(
        "bind_size", _bind_size_rule, _bind_size,
        lambda rng: [Sample((np.array(n),), {"size": symbol("size"), "layer": "layer"}) for n in (0, 1, 5)],
        "torch.export unbacked sizes; ONNX ConstantOfShape", {"size": (int, DimExpr), "layer": str},
        differentiable=False, facts=facts.along(None, "half", keeps_zeros=True, sign="not negative"),
    )
)  # fmt: skip


@replayed
def bind_size(value: TensorLike, name: str = "size") -> Any:
    """A boolean vector, all False, that is ``value`` long: its shape is a size that comes from a value.

    In a graph its length is a symbol of its own, which other operations take as they take ``batch``, and which the
    program reads when it gets there. XLA compiles for sizes that it knows before, so JAX runs this outside
    ``jax.jit`` only.

    Args:
        value: an integer scalar. A negative one raises an error with the layer's path when it arrives.
        name: what to call the symbol; a number is added where the name is taken. A value that has a symbol in this
            graph keeps it.

    Raises `ShapeError` for anything but an integer scalar.
    """
    builder = builder_for([value])
    if builder is None:
        value_is_read()  # what follows takes the size from the result
        return bind(BIND_SIZE, value, size=symbol(name), layer=current_path())
    key = ("size of", lift(value, builder).value)
    if key not in builder.notes:  # one value is one size, however often it is asked for
        builder.notes[key] = bind(BIND_SIZE, value, size=builder.new_size(name), layer=current_path())
    return builder.notes[key]
