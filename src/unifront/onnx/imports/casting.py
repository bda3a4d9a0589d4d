"""Casts, also to and from numbers of few bits, and the bits themselves."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from unifront import ops
from unifront.dtypes import dtype_of
from unifront.onnx.imports.node import Node, Row
from unifront.onnx.imports.values import (
    ELEMENTS,
    NARROW,
    STRING,
    Narrow,
    Weight,
    carrier,
    element_in,
    is_strings,
)
from unifront.opset.tensor import type_of

_BITS = {21: 4, 22: 4, 25: 2, 26: 2}

UNSIGNED_ZERO = (18, 20)
"""Those in which the bits of a negative zero are NaN."""


def to_element(x: Any, element: int, saturate: bool = True, round_mode: str = "up") -> Any:
    """A tensor as one of the element type (ONNX Cast)."""
    if element in ELEMENTS:
        return ops.cast(_from_narrow(x), ELEMENTS[element])
    x = _from_narrow(x)
    if element in _BITS:
        return Narrow(_wrapped(x, element), element)
    return Narrow(narrowed(x, element, saturate, round_mode), element)


def _from_narrow(x: Any) -> Any:
    return x.tensor if isinstance(x, Narrow) else x


def _wrapped(x: Any, element: int) -> Any:
    """Integers of which the lowest bits are kept."""
    bits, signed = _BITS[element], NARROW[element][1] == "int8"
    whole = ops.bitwise_and(ops.cast(x, "int32"), 2**bits - 1)
    if signed:
        whole = ops.where(ops.greater_equal(whole, 2 ** (bits - 1)), ops.subtract(whole, 2**bits), whole)
    return ops.cast(whole, NARROW[element][1])


def narrowed(x: Any, element: int, saturate: bool, round_mode: str = "up") -> Any:
    """Floats rounded to those of a type of few bits, to the nearest, of two to the even one (IEEE 754)."""
    if isinstance(x, np.ndarray) and element not in (23, 24) and not saturate:
        return x.astype(np.float32).astype(getattr(ml_dtypes, NARROW[element][0])).astype(np.float32)
    info = ml_dtypes.finfo(getattr(ml_dtypes, NARROW[element][0]))
    x = ops.cast(x, "float32")
    if element == 24:
        return _power_of_two(x, round_mode, saturate)
    size = ops.abs(x)
    # The step between neighbours of this size: 2 ** (exponent - mantissa bits), below the smallest normal one the same.
    exponent = ops.maximum(_exponent(size), int(info.minexp))
    step = _two_to(ops.subtract(exponent, info.nmant), 32)
    rounded = ops.multiply(ops.round(ops.divide(size, step)), step)
    largest = float(info.max)
    beyond = ops.greater(rounded, largest)
    if saturate:
        rounded = ops.where(beyond, np.float32(largest), rounded)
    else:
        rounded = ops.where(
            beyond,
            np.float32(np.nan if element in (17, 18, 20) else largest if element == 23 else np.inf),
            rounded,
        )
    sign = ops.where(ops.signbit(x), np.float32(-1), np.float32(1))
    result = ops.multiply(rounded, sign)
    if element in UNSIGNED_ZERO:
        result = ops.where(ops.equal(result, 0), np.float32(0), result)
    return ops.where(ops.isnan(x), np.float32(np.nan), result)


def _exponent(size: Any) -> Any:
    """The exponents of positive floats, exactly, from their bits."""
    return ops.subtract(ops.right_shift(ops.view(size, "int32"), np.int32(23)), np.int32(127))


def _two_to(exponent: Any, bits: int) -> Any:
    """Powers of two, exactly, by their bits as floats (which need not be exact in a framework's exp2)."""
    bias, mantissa = (127, 23) if bits == 32 else (1023, 52)
    whole = ops.add(ops.cast(exponent, f"int{bits}"), bias)
    return ops.view(ops.left_shift(whole, np.asarray(mantissa, f"int{bits}")), f"float{bits}")


def _power_of_two(x: Any, round_mode: str, saturate: bool) -> Any:
    """float8e8m0: powers of two from -127 to 127 and NaN."""
    size = ops.abs(x)
    bits = ops.view(size, "int32")
    exponent = ops.right_shift(bits, np.int32(23))
    rest = ops.bitwise_and(bits, np.int32(2**23 - 1))
    if round_mode == "up":
        more = ops.greater(rest, 0)
    elif round_mode == "down":
        more = ops.less(rest, 0)
    else:
        more = ops.greater_equal(rest, np.int32(2**22))
    exponent = ops.add(exponent, ops.cast(more, "int32"))
    exponent = ops.subtract(exponent, np.int32(127))
    if saturate:
        exponent = ops.minimum(exponent, np.int32(127))
    result = _two_to(exponent, 64)  # the smallest one would be subnormal in float32, and zero on XLA
    broken = ops.isnan(x) if saturate else ops.logical_or(ops.isnan(x), ops.greater(exponent, 127))
    return ops.where(broken, np.float64(np.nan), result)


def _cast(node: Node, x: Any) -> Any:
    return _to(node, x, node["to"])


def _cast_like(node: Node, x: Any, like: Any) -> Any:
    element = element_in(like)
    if element is None:
        node.fail("the type to cast to is that of no tensor")
    return _to(node, x, element)


def _to(node: Node, x: Any, element: int) -> Any:
    carrier(element) if element != STRING else None
    if isinstance(x, Weight):
        if element in (1, 10, 11, 16) and dtype_of(x.array.dtype) == ELEMENTS[element]:
            return x
        x = node.number(x)
    if element == STRING:
        return _as_strings(node.known(x, "what becomes strings"), x)
    if is_strings(x):
        return _from_strings(x, element)
    if not isinstance(x, Narrow | np.ndarray):
        x = node.traced(x)
    mode = node["round_mode"] or "up"
    return to_element(x, element, node["saturate"] != 0, mode)


def _as_strings(array: np.ndarray, given: Any) -> np.ndarray:
    if is_strings(array):
        return array
    result = np.empty(array.shape, object)
    source = array if not isinstance(given, Narrow) else array.astype(np.float32)
    texts = [_text(number) for number in source.flat]
    result.reshape(-1)[:] = texts
    return result


def _text(number: Any) -> str:
    if isinstance(number, bool | np.bool_):
        return "1" if number else "0"
    if isinstance(number, np.integer):
        return str(int(number))
    value = float(number)
    if np.isnan(value):
        return "NaN"
    if np.isinf(value):
        return "INF" if value > 0 else "-INF"
    return (
        np.format_float_positional(number, trim="-")
        if 1e-4 <= abs(value) < 1e16 or value == 0
        else repr(number.item())
    )


def _from_strings(array: np.ndarray, element: int) -> Any:
    dtype = carrier(element).numpy
    if element in ELEMENTS and dtype.kind in "iu":
        numbers = np.asarray(
            [int(float(text)) if not _whole(text) else int(text) for text in array.flat], dtype
        )
    elif dtype.kind == "b":
        numbers = np.asarray([text not in ("", "0", "False", "false") for text in array.flat], dtype)
    else:
        numbers = np.asarray([float(text) for text in array.flat], np.float64).astype(dtype)
    return to_element(numbers.reshape(array.shape), element)


def _whole(text: str) -> bool:
    return text.strip().lstrip("+-").isdigit()


def _bitcast(node: Node, x: Any) -> Any:
    target = node["to"]
    if isinstance(x, Narrow) or target in NARROW:
        array = node.known(x, "numbers of few bits whose bits are taken")
        own = array.astype(x.numpy) if isinstance(x, Narrow) else array
        if target in NARROW:
            dtype = np.dtype(getattr(ml_dtypes, NARROW[target][0]))
            return Narrow(own.view(dtype).astype(carrier(target).numpy), target)
        return own.view(carrier(target).numpy)
    x = x if isinstance(x, np.ndarray) else node.traced(x)
    if isinstance(x, np.ndarray):
        return x.view(carrier(target).numpy)
    kind = carrier(target)
    if "bool" in (kind.name, type_of(x).dtype.name):
        return ops.cast(x, kind)
    return ops.view(x, kind)


TABLE = {
    "Cast": Row(_cast, narrow=True, raw=True),
    "CastLike": Row(_cast_like, narrow=True, raw=True),
    "BitCast": Row(_bitcast, narrow=True, raw=True),
}
