"""What every operation does with its operands first: one dtype for all, floats where floats are needed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeGuard

import numpy as np

from unifront.backends import Array, HostKey, backend_of
from unifront.dtypes import DType, DTypeLike, bool_, dtype_of, promote
from unifront.errors import ArgumentError, DTypeError
from unifront.ir import facts
from unifront.ir.dims import DimExpr
from unifront.ir.types import TensorType
from unifront.opset import flops
from unifront.opset.quick import recorder
from unifront.opset.spec import OpSpec, Sample, register
from unifront.opset.tensor import Tensor, bind, size_tensor, type_of
from unifront.weights import Variable

TensorLike = Tensor | Array
SHAPES: tuple[tuple[int, ...], ...] = ((), (1,), (3,), (2, 3), (2, 0), (2, 1, 3))


def cast(x: TensorLike, dtype: DTypeLike) -> Any:
    """``x`` with its elements converted to ``dtype``; floats are cut toward zero to integers, complex numbers become
    their real part, or as booleans whether they are not zero.

    Raises `DTypeError` for random keys, `UnknownName` if ``dtype`` is none (NumPy astype; ONNX Cast).
    """
    target = dtype_of(dtype)
    if isinstance(x, DimExpr):
        return size_tensor(x, target)
    is_tensor = isinstance(x, Tensor | Variable) or backend_of(x) is not None
    own = type_of(x).dtype if is_tensor else None
    if own == target:
        return x
    if own is not None and own.is_complex and not target.is_complex:
        if target == bool_:
            from unifront.opset.comparison import not_equal

            return not_equal(x, 0)
        from unifront.opset.complex_numbers import real

        return cast(real(x), target)
    return bind(CAST, x, dtype=target.name)


def promoted(*operands: TensorLike) -> tuple[Any, ...]:
    """The operands cast to the dtype in which they meet; Python numbers, and sizes, follow the others."""
    if not operands:
        return ()
    dtypes = [None if backend_of(o) is None else type_of(o).dtype for o in operands]
    if dtypes[0] is not None and dtypes.count(dtypes[0]) == len(dtypes):  # as most often
        return operands
    dtype = promote(
        *(1 if isinstance(o, DimExpr) else o if is_number(o) else type_of(o).dtype for o in operands)
    )
    return tuple(_number(o, dtype) if is_number(o) else cast(o, dtype) for o in operands)


def is_number(operand: Any) -> TypeGuard[complex]:
    """Whether ``operand`` is a Python number, which has no width of its own."""
    return isinstance(operand, int | float | complex) and not isinstance(operand, HostKey)


def _number(number: complex, dtype: DType) -> np.ndarray:
    try:
        with np.errstate(over="ignore"):  # a float too large is infinite, as everywhere
            array = np.asarray(number, dtype.numpy)
    except OverflowError:
        raise ArgumentError(
            f"The number {number} does not fit {dtype}, the dtype of the other operands; cast them first."
        ) from None
    noted = recorder()
    if noted is not None:
        noted.number(array)
    return array


def floating(x: TensorLike) -> Any:
    """``x`` as a float: integers and booleans become float32."""
    dtype = type_of(x).dtype
    return x if dtype.is_float or dtype.is_complex else bind(CAST, x, dtype="float32")


def _cast_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape in SHAPES:
        for dtype in ("float64", "float32", "int32", "bool"):
            # The reference rounds to float32 as it should; finite differences in float64 see only steps.
            yield Sample(
                (rng.uniform(-3, 3, shape),), {"dtype": dtype}, wrt=None if dtype == "float64" else ()
            )


def _cast_rule(x: TensorType, dtype: str) -> TensorType:
    if "key" in (dtype, x.dtype.name):
        raise DTypeError(f"A random key cannot be cast: {x.dtype} to {dtype}.")
    return x.with_dtype(dtype)


CAST = register(
    OpSpec(
        "cast",
        rule=_cast_rule,
        reference=lambda x, dtype: x.astype(dtype_of(dtype).numpy),
        samples=_cast_samples,
        source="NumPy astype; ONNX Cast",
        attributes={"dtype": str},
        facts=facts.elementwise("half", keeps_zeros=True, sign="kept", commutes=False, fresh=False),
        flops=flops.none,
    )
)
