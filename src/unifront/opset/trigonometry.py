"""Inverses of sines and tangents, their hyperbolic kin, and angles."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from unifront.ir import facts
from unifront.opset import comparison
from unifront.opset import elementwise as e
from unifront.opset.casting import TensorLike, floating, promoted
from unifront.opset.making import KEEPS, POSITIVE, WIDE, WIDE_POSITIVE, binary, unary

ARCSIN, arcsin = unary("arcsin", np.arcsin, "NumPy arcsin; ONNX Asin", (-0.9, 0.9), facts=KEEPS)
ARCCOS, arccos = unary("arccos", np.arccos, "NumPy arccos; ONNX Acos", (-0.9, 0.9), facts=POSITIVE)
ARCTAN, arctan = unary("arctan", np.arctan, "NumPy arctan; ONNX Atan", facts=KEEPS)
SINH, sinh = unary("sinh", np.sinh, "NumPy sinh; ONNX Sinh", facts=WIDE)
COSH, cosh = unary("cosh", np.cosh, "NumPy cosh; ONNX Cosh", facts=WIDE_POSITIVE)
ARCSINH, arcsinh = unary("arcsinh", np.arcsinh, "NumPy arcsinh; ONNX Asinh", facts=KEEPS)
ARCCOSH, arccosh = unary("arccosh", np.arccosh, "NumPy arccosh; ONNX Acosh", (1.1, 5.0), facts=WIDE_POSITIVE)
ARCTAN2, arctan2 = binary(
    "arctan2",
    np.arctan2,
    "NumPy arctan2: the angle of the point (x2, x1)",
    floats_only=True,
    first=(0.3, 2.0),
    facts=facts.elementwise("half", keeps_zeros=True, sign="any", commutes=False),
)


def arctanh(x: TensorLike) -> Any:
    """The inverse of tanh at each element of ``x``, nan outside [-1, 1] (NumPy arctanh; ONNX Atanh).

    Integers and booleans become float32.
    """
    x = floating(x)
    # The two logarithms have opposite signs, so nothing cancels wherever x is.
    return e.multiply(e.subtract(e.log1p(x), e.log1p(e.negative(x))), 0.5)


def deg2rad(x: TensorLike) -> Any:
    """``x`` degrees in radians (NumPy deg2rad). Integers and booleans become float32."""
    return e.multiply(floating(x), math.pi / 180)


def rad2deg(x: TensorLike) -> Any:
    """``x`` radians in degrees (NumPy rad2deg). Integers and booleans become float32."""
    return e.multiply(floating(x), 180 / math.pi)


def hypot(x1: TensorLike, x2: TensorLike) -> Any:
    """``sqrt(x1**2 + x2**2)`` of each element, without overflow (NumPy hypot; C hypot).

    The two broadcast, and are promoted to a float dtype. An infinite side makes it infinite, whatever the other is.
    The gradient at two zeros is zero.
    """
    x1, x2 = promoted(x1, x2)
    x1, x2 = e.abs(floating(x1)), e.abs(floating(x2))
    longer, shorter = e.maximum(x1, x2), e.minimum(x1, x2)
    trivial = comparison.logical_or(comparison.equal(longer, 0), comparison.equal(longer, math.inf))
    ratio = e.divide(e.where(trivial, 0.0, shorter), e.where(trivial, 1.0, longer))
    found = e.multiply(longer, e.sqrt(e.add(e.square(ratio), 1)))
    infinite = comparison.logical_or(comparison.equal(x1, math.inf), comparison.equal(x2, math.inf))
    return e.where(infinite, math.inf, found)


def sinc(x: TensorLike) -> Any:
    """``sin(pi x) / (pi x)`` of each element, one at zero (NumPy sinc). Integers and booleans become float32."""
    x = floating(x)
    at_zero = comparison.equal(x, 0)
    angle = e.multiply(e.where(at_zero, 1.0, x), math.pi)
    return e.where(at_zero, 1.0, e.divide(e.sin(angle), angle))
