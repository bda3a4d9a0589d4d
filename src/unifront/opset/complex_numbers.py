"""Complex numbers: made of two reals, and taken apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from unifront.dtypes import complex64, complex128, float32, float64
from unifront.errors import DTypeError, ShapeError
from unifront.ir import facts
from unifront.ir.types import TensorType
from unifront.opset import elementwise as e
from unifront.opset.elementwise import TensorLike
from unifront.opset.rules import same_dtype, show
from unifront.opset.shape import stack, unstack
from unifront.opset.spec import OpSpec, Sample, register
from unifront.opset.tensor import bind, type_of
from unifront.opset.trigonometry import arctan2

_OF_PARTS = {float32: complex64, float64: complex128}
_SHAPES: tuple[tuple[int, ...], ...] = ((), (3,), (2, 0), (2, 1, 3))


def _complex_rule(real: TensorType, imag: TensorType) -> TensorType:
    dtype = same_dtype(real, imag)
    if dtype not in _OF_PARTS:
        raise DTypeError(f"complex: the parts are float32 or float64, not {dtype}.")
    if real.shape != imag.shape:
        raise ShapeError(
            f"complex: the real part {show(real.shape)} and the imaginary one {show(imag.shape)} have different shapes."
        )
    return real.with_dtype(_OF_PARTS[dtype])


def _complex_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape in _SHAPES:
        yield Sample((rng.normal(size=shape), rng.normal(size=shape)))


def _complex(real: np.ndarray, imag: np.ndarray) -> np.ndarray:
    made = np.empty(np.shape(real), np.result_type(real, np.complex64))
    made.real, made.imag = real, imag  # `real + 1j * imag` would make infinite parts NaN
    return made


COMPLEX = register(
    OpSpec(
        "complex", _complex_rule, _complex, _complex_samples, "torch.complex; tf.complex",
        judged=lambda z: _apart(z), facts=facts.opaque("float32"),
    )
)  # fmt: skip


def _apart(z: Any) -> tuple[Any, Any]:
    real, imag = bind(PARTS, z)
    return real, imag


def _parts_rule(x: TensorType) -> tuple[TensorType, TensorType]:
    if not x.dtype.is_complex:
        raise DTypeError(f"complex_parts: the operand is {x.dtype}; a complex number is needed.")
    return (x.with_dtype(x.dtype.parts),) * 2


def _parts_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for shape in _SHAPES:
        yield Sample((_complex(rng.normal(size=shape), rng.normal(size=shape)),))


PARTS = register(
    OpSpec(
        "complex_parts", _parts_rule, lambda x: (np.real(x), np.imag(x)), _parts_samples,
        "NumPy real and imag", facts=facts.opaque("float32"),
    )
)  # fmt: skip


def _is_complex(x: TensorLike) -> bool:
    return type_of(x).dtype.is_complex


def real(x: TensorLike) -> Any:
    """The real part of each element; of real numbers these themselves (NumPy real)."""
    return bind(PARTS, x)[0] if _is_complex(x) else e.cast(x, type_of(x).dtype)


def _zeros_like(x: TensorLike) -> Any:
    from unifront.opset.creation import zeros_like

    return zeros_like(x)


def imag(x: TensorLike) -> Any:
    """The imaginary part of each element; of real numbers zeros (NumPy imag)."""
    if _is_complex(x):
        return bind(PARTS, x)[1]
    return _zeros_like(x)


def conjugate(x: TensorLike) -> Any:
    """Each element with the sign of its imaginary part turned; real numbers as they are (NumPy conjugate)."""
    if not _is_complex(x):
        return real(x)
    first, second = bind(PARTS, x)
    return bind(COMPLEX, first, e.negative(second))


def conj(x: TensorLike) -> Any:
    """`conjugate` by its short name (NumPy conj)."""
    return conjugate(x)


def view_as_complex(x: TensorLike) -> Any:
    """Pairs of real numbers as complex ones: ``[..., 2]`` → ``[...]`` (torch.view_as_complex).

    float64 becomes complex128, all others complex64. Raises `ShapeError` unless the last axis is 2 long,
    `DTypeError` for complex numbers.

    Example::

        uf.ops.view_as_complex(np.array([[1.0, 2.0]]))  # array([1.+2.j])
    """
    type_ = type_of(x)
    if type_.dtype.is_complex:
        raise DTypeError(f"view_as_complex: the numbers are {type_.dtype} already.")
    if not type_.shape or type_.shape[-1] != 2:
        raise ShapeError(
            "view_as_complex: the last axis is 2 long, the real and the imaginary part; the shape is "
            f"{show(type_.shape)}."
        )
    wide = x if type_.dtype in _OF_PARTS else e.cast(x, float32)
    return bind(COMPLEX, *unstack(wide, axis=-1))


def view_as_real(x: TensorLike) -> Any:
    """Complex numbers as pairs of real ones: ``[...]`` → ``[..., 2]`` (torch.view_as_real).

    The imaginary part of real numbers is zero.

    Example::

        uf.ops.view_as_real(np.array([1 + 2j]))  # array([[1., 2.]])
    """
    return stack([real(x), imag(x)], axis=-1)


def angle(x: TensorLike) -> Any:
    """The angle of each complex number, in radians in ``(-π, π]`` (NumPy angle).

    Of real numbers it is 0, of negative ones π. Integers and booleans become `floatx`.

    Example::

        uf.ops.angle(np.array([1 + 1j, -2.0]))  # array([0.785..., 3.141...])
    """
    if _is_complex(x):
        first, second = bind(PARTS, x)
        return arctan2(second, first)
    number = e.floating(x)
    return arctan2(_zeros_like(number), number)


def polar(abs_: TensorLike, angle: TensorLike) -> Any:
    """Complex numbers by their size and their angle in radians: ``abs_ * exp(1j * angle)`` (torch.polar).

    Both broadcast, and are promoted to one dtype; float64 makes complex128, all others complex64.

    Example::

        uf.ops.nn.polar(2.0, np.array([0.0, np.pi]))  # array([2.+0.j, -2.+0.j])
    """
    size, turn = e.promoted(abs_, angle)
    dtype = float64 if type_of(size).dtype is float64 else float32
    size, turn = e.cast(size, dtype), e.cast(turn, dtype)
    return bind(COMPLEX, e.multiply(size, e.cos(turn)), e.multiply(size, e.sin(turn)))
