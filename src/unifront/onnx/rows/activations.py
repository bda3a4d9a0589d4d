"""Activations.

Attributes of ONNX operators are float32, and ONNX Runtime lacks kernels of many activations in float64. There
they are written out.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from unifront.onnx.writer import Ref, Row, Writer
from unifront.opset import activation as a
from unifront.opset import elementwise as e
from unifront.opset.spec import OpSpec


def exact(value: float, x: Ref) -> bool:
    """Whether an attribute holds ``value`` as precisely as the dtype of ``x`` does."""
    return x.type.dtype.name != "float64" or float(np.float32(value)) == value


def _relu(w: Writer, x: Ref) -> Any:
    return w.op("Relu", x) if x.type.dtype.is_float else w.op("Max", x, w.number(0, x))


def _curved(w: Writer, x: Ref, alpha: float) -> Any:
    """``x`` above zero, ``alpha * expm1(x)`` below."""
    below = w.op("Sub", w.op("Exp", w.op("Min", x, w.number(0, x))), w.number(1, x))
    above = w.op("Max", x, w.number(0, x))
    return w.op("Add", above, w.op("Mul", below, w.number(alpha, x)))


def _is_double(x: Ref) -> bool:
    return x.type.dtype.name == "float64"


def _elu(w: Writer, x: Ref, alpha: float) -> Any:
    return _curved(w, x, alpha) if _is_double(x) else w.op("Elu", x, alpha=alpha)


def _softplus(w: Writer, x: Ref) -> Any:
    if not _is_double(x):
        return w.op("Softplus", x)
    small = w.op("Exp", w.op("Neg", w.op("Abs", x)))
    return w.op("Add", w.op("Max", x, w.number(0, x)), w.op("Log", w.op("Add", small, w.number(1, x))))


def _softsign(w: Writer, x: Ref) -> Any:
    return (
        w.op("Div", x, w.op("Add", w.op("Abs", x), w.number(1, x))) if _is_double(x) else w.op("Softsign", x)
    )


def _selu(w: Writer, x: Ref) -> Any:
    alpha, scale = 1.6732632423543772, 1.0507009873554805
    if exact(alpha, x):
        return w.op("Selu", x, alpha=alpha, gamma=scale)
    return w.op("Mul", _curved(w, x, alpha), w.number(scale, x))


def _leaky_relu(w: Writer, x: Ref, negative_slope: float) -> Any:
    if exact(negative_slope, x):
        return w.op("LeakyRelu", x, alpha=negative_slope)
    above, below = w.op("Max", x, w.number(0, x)), w.op("Min", x, w.number(0, x))
    return w.op("Add", above, w.op("Mul", below, w.number(negative_slope, x)))


def _hard_sigmoid(w: Writer, x: Ref) -> Any:
    if exact(1 / 6, x):
        return w.op("HardSigmoid", x, alpha=1 / 6, beta=0.5)
    line = w.op("Add", w.op("Div", x, w.number(6, x)), w.number(0.5, x))
    return w.op("Clip", line, w.number(0, x), w.number(1, x))


def _gelu(w: Writer, x: Ref, approximate: bool) -> Any:
    if w.opset >= 20 and not _is_double(x):
        return w.op("Gelu", x, approximate="tanh" if approximate else "none")
    if approximate:
        cube = w.op("Mul", w.op("Mul", x, w.op("Mul", x, x)), w.number(0.044715, x))
        inner = w.op("Tanh", w.op("Mul", w.op("Add", x, cube), w.number(math.sqrt(2 / math.pi), x)))
    else:
        inner = w.op("Erf", w.op("Div", x, w.number(math.sqrt(2), x)))
    half = w.op("Mul", x, w.number(0.5, x))
    return w.op("Mul", half, w.op("Add", inner, w.number(1, x)))


TABLE: dict[OpSpec, Row] = {
    a.RELU: _relu,
    a.RELU6: lambda w, x: w.op("Clip", x, w.number(0, x), w.number(6, x)),
    e.SIGMOID: lambda w, x: w.op("Sigmoid", x),
    e.SOFTPLUS: _softplus,
    a.SOFTSIGN: _softsign,
    a.SILU: lambda w, x: w.op("Mul", x, w.op("Sigmoid", x)),
    a.SELU: _selu,
    a.HARD_SIGMOID: _hard_sigmoid,
    a.GELU: _gelu,
    a.LEAKY_RELU: _leaky_relu,
    a.ELU: _elu,
}
