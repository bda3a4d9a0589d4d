"""Arrays made of what a person gives, and what is known of a tensor: its shape, its dtype, how many elements."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np

from unifront import tree
from unifront.backends import backend_of, placement
from unifront.dtypes import DType, DTypeLike, bool_, dtype_of, floatx, int32
from unifront.errors import ArgumentError, DTypeError, ShapeError
from unifront.ir import facts
from unifront.ir.dims import Dim, DimExpr, divide_exactly
from unifront.ir.types import Shape, TensorType
from unifront.opset import creation, tensor
from unifront.opset import elementwise as e
from unifront.opset.arrays import plain_array
from unifront.opset.elementwise import TensorLike
from unifront.opset.rules import show
from unifront.opset.shape import stack
from unifront.opset.spec import OpSpec, Sample, register
from unifront.opset.tensor import Tensor, bind, is_building, native, replayed, type_of
from unifront.weights import Variable


def _on_host(x: Any, kind: DType | None) -> np.ndarray:
    """A number, a list or a NumPy array as NumPy's; floats without a dtype get ``floatx``, ints int32."""
    if kind is None and not hasattr(x, "dtype"):
        found = plain_array(x)
        kind = {"f": floatx(), "i": int32, "b": bool_}.get(found.dtype.kind)
        if kind is None or found.size == 0:
            return found.astype(floatx().numpy) if found.size == 0 else tensor.to_numpy(x)
        if kind is not int32:
            return found.astype(kind.numpy)
    host = tensor.to_numpy(x)
    return host if kind is None else host.astype(kind.numpy)


def _part(x: Any, kind: DType | None) -> Any:
    """What is in a list that holds tensors: numbers stay NumPy's, which go with those of any backend."""
    if isinstance(x, list | tuple | DimExpr):
        return (
            convert_to_tensor(x, kind) if isinstance(x, DimExpr) or _holds_tensors(x) else _on_host(x, kind)
        )
    backend = backend_of(x)
    if isinstance(x, Tensor | Variable) or (backend is not None and backend.name != "numpy"):
        return x if kind is None else e.cast(x, kind)
    return _on_host(x, kind)


def _holds_tensors(x: Any) -> bool:
    return any(tensor.is_tensor(leaf) or isinstance(leaf, DimExpr) for leaf in tree.leaves(x))


def convert_to_tensor(
    x: Any, dtype: DTypeLike | None = None, sparse: bool | None = None, ragged: bool | None = None
) -> Any:
    """``x`` as an array of the default backend, on its device (Keras ops.convert_to_tensor).

    Args:
        x: a number, a size, a list (of these and of tensors too), an array of any kind, a variable. An array of a
            framework stays where it is, a tensor of a graph is one already.
        dtype: of the result; that of ``x`` unless given, ``floatx`` for Python's floats, int32 for its ints.
        sparse, ragged: there are dense tensors only.

    While a graph is traced the result is a NumPy array, which becomes a constant. Raises `ArgumentError` for
    ``sparse=True`` and ``ragged=True``, `DTypeError` for what is no number.
    """
    if sparse or ragged:
        raise ArgumentError("convert_to_tensor: tensors are dense; leave sparse and ragged at None.")
    kind = None if dtype is None else dtype_of(dtype)
    if isinstance(x, list | tuple) and _holds_tensors(x):
        x, kind = stack([_part(one, kind) for one in x]), None
    if isinstance(x, DimExpr):
        return e.cast(x, int32 if kind is None else kind)
    if isinstance(x, Variable):
        if is_building():
            return e.cast(e.where(True, x, x), x.dtype if kind is None else kind)
        place = placement()
        x = native(x, place.backend, place.device)
    backend = backend_of(x)
    if isinstance(x, Tensor) or (backend is not None and backend.name != "numpy"):
        return x if kind is None else e.cast(x, kind)
    host = _on_host(x, kind)
    place = placement()
    return host if is_building() or place.backend.name == "numpy" else place.backend.array(host, place.device)


def array(x: Any, dtype: DTypeLike | None = None) -> Any:
    """``x`` as an array of the default backend; see `convert_to_tensor` (NumPy array)."""
    return convert_to_tensor(x, dtype)


def convert_to_numpy(x: Any) -> np.ndarray:
    """``x`` as a NumPy array that may be written to (Keras ops.convert_to_numpy).

    Raises `ArgumentError` for a tensor of a graph, which has no value.
    """
    if isinstance(x, Tensor):
        raise ArgumentError(f"A symbolic tensor of type {type_of(x)} has no value yet that NumPy could hold.")
    if isinstance(x, list | tuple) and any(tensor.is_tensor(leaf) for leaf in tree.leaves(x)):
        return np.stack([convert_to_numpy(one) for one in x])
    host = x.numpy() if isinstance(x, Variable) else tensor.to_numpy(x)
    return host if host.flags.writeable else host.copy()


def is_tensor(x: Any) -> bool:
    """Whether ``x`` is a tensor of a graph, or an array of a framework (Keras ops.is_tensor).

    NumPy's arrays are none, unless NumPy is the default backend.
    """
    backend = backend_of(x)
    if backend is None or isinstance(x, Tensor):
        return isinstance(x, Tensor)
    return backend.name != "numpy" or placement().backend.name == "numpy"


def shape(x: TensorLike) -> Shape:
    """The shape of ``x``: ints, and named dimensions where a size is free (Keras ops.shape)."""
    return type_of(x).shape


def dtype(x: TensorLike) -> str:
    """The name of the dtype of ``x``, ``"float32"`` (Keras ops.dtype)."""
    return type_of(x).dtype.name


def ndim(x: TensorLike) -> int:
    """How many dimensions ``x`` has (NumPy ndim)."""
    return type_of(x).rank


@replayed
def size(x: TensorLike) -> Any:
    """How many elements ``x`` has, an int32 scalar (NumPy size)."""
    count = type_of(x).size
    return creation.full((), count, int32, like=x if isinstance(count, DimExpr) else None)


def copy(x: TensorLike) -> Any:
    """``x`` with memory of its own (NumPy copy)."""
    return x if isinstance(x, Tensor) else e.where(True, x, x)


def _bits(x: TensorType, name: str) -> int:
    if x.dtype.kind in "bk" or name in ("bool", "key"):
        raise DTypeError(f"view: {x.dtype} and {name} are not both numbers.")
    return dtype_of(name).bits


def _bitcast_rule(x: TensorType, source: str, dtype: str) -> TensorType:
    if x.dtype.name != source:
        raise DTypeError(f"view: the bits of {source} are looked at; given was {x.dtype}.")
    old, new = x.dtype.bits, _bits(x, dtype)
    if old == new:
        return x.with_dtype(dtype)
    last: Dim | None = None
    if x.rank:
        last = x.shape[-1] * (old // new) if old > new else divide_exactly(x.shape[-1], new // old)
    if last is None:
        raise ShapeError(
            f"view: the last axis of the shape {show(x.shape)} ({x.dtype}) does not fill {dtype}."
        )
    return TensorType(dtype_of(dtype), (*x.shape[:-1], last))


def _bitcast_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for values, target in (
        ([[1, -2, 3]], "uint32"), ([1, 2], "int16"), ([[1, 2], [70000, -4]], "int64"), ([7], "float32"),
        (np.zeros((0, 3)), "int8"), (1, "uint32"),
    ):  # fmt: skip
        yield Sample((np.array(values, "int32"),), {"source": "int32", "dtype": target})


def _bitcast(x: np.ndarray, source: str, dtype: str) -> np.ndarray:
    x, kind = x.astype(dtype_of(source).numpy), dtype_of(dtype).numpy  # halves come in float32
    if x.dtype.itemsize == kind.itemsize:
        return np.ascontiguousarray(x).view(kind).reshape(x.shape)
    last = [size * x.dtype.itemsize // kind.itemsize for size in x.shape[-1:]]
    return np.ascontiguousarray(x).view(kind).reshape(*x.shape[:-1], *last)


BITCAST = register(
    OpSpec(
        "bitcast", _bitcast_rule, _bitcast, _bitcast_samples, "NumPy ndarray.view; tf.bitcast; ONNX BitCast",
        {"source": str, "dtype": str}, differentiable=False,
        facts=facts.opaque("half"),
    )
)  # fmt: skip


def view(x: TensorLike, dtype: DTypeLike | None = None) -> Any:
    """The bits of ``x`` taken for numbers of another dtype (NumPy ndarray.view).

    Args:
        dtype: of the result. Where its numbers are smaller or larger the last axis grows or shrinks.

    Raises `DTypeError` for booleans and keys, `ShapeError` where the last axis does not fit.
    """
    return x if dtype is None else bind(BITCAST, x, source=type_of(x).dtype.name, dtype=dtype_of(dtype).name)


def _extremes(kind: DType) -> tuple[Any, Any]:
    if kind == bool_:
        return 0, 1
    if kind.is_float:
        known = ml_dtypes.finfo(kind.numpy)
        return float(known.min), float(known.max)
    limits = np.iinfo(kind.numpy)
    return int(limits.min), int(limits.max)


def saturate_cast(x: TensorLike, dtype: DTypeLike | None) -> Any:
    """`cast`, where numbers beyond the least and the largest of ``dtype`` become these (Keras ops.saturate_cast).

    None is the dtype of floats, ``uf.config.floatx()``.
    """
    source, target = type_of(x).dtype, floatx() if dtype is None else dtype_of(dtype)
    for kind in (source, target):
        if kind.is_complex:
            raise DTypeError(f"saturate_cast takes real numbers, not {kind}.")
    if source in (target, bool_):
        return e.cast(x, target)
    (low, high), (least, most) = _extremes(source), _extremes(target)
    low, high = max(low, least), min(high, most)
    if source.is_float:  # the nearest numbers that it has inside
        low, high = _toward_zero(low, source, least), _toward_zero(high, source, most)
    bounds = [np.asarray(bound, source.numpy) for bound in (low, high)]
    return e.cast(e.minimum(e.maximum(x, bounds[0]), bounds[1]), target)


def _toward_zero(bound: Any, kind: DType, limit: Any) -> Any:
    found = np.asarray(bound, kind.numpy)
    return found if abs(float(found)) <= abs(limit) else np.nextafter(found, np.zeros_like(found))
