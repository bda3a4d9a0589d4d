"""The rules of operations on single elements: activations, arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from unifront.onnx.adjoints.reverse import Rule, Written, fitted
from unifront.opset import activation as a
from unifront.opset import comparison as c
from unifront.opset import elementwise as e
from unifront.opset import special
from unifront.opset import trigonometry as t
from unifront.opset.spec import OpSpec
from unifront.opset.tensor import type_of

BELL = 2 / math.sqrt(math.pi)
"""The slope of erf at zero."""
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def _gelu(g: Any, x: Any, approximate: bool) -> Any:
    if approximate:
        factor = math.sqrt(2 / math.pi)
        inner = e.tanh(factor * (x + 0.044715 * x * x * x))
        slope = factor * (1 + 3 * 0.044715 * x * x)
        return g * (0.5 * (1 + inner) + 0.5 * x * (1 - inner * inner) * slope)
    density = e.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    return g * (0.5 * (1 + e.erf(x / math.sqrt(2))) + x * density)


def _silu(g: Any, x: Any) -> Any:
    gate = e.sigmoid(x)
    return g * gate * (1 + x * (1 - gate))


def _curved(g: Any, x: Any, alpha: float) -> Any:
    """Of ``x`` above zero, ``alpha * expm1(x)`` below."""
    return e.where(c.greater(x, 0), g, g * alpha * e.exp(e.minimum(x, 0)))


def _within(g: Any, x: Any, low: float, high: float) -> Any:
    """``g`` where ``x`` is strictly between two numbers, zero elsewhere."""
    return e.where(c.logical_and(c.greater(x, low), c.less(x, high)), g, 0)


UNARY: Mapping[OpSpec, Callable[[Any, Any, Any], Any]] = {
    e.NEGATIVE: lambda g, x, y: -g,
    e.ABS: lambda g, x, y: g * e.sign(x),
    e.SQUARE: lambda g, x, y: 2 * g * x,
    e.EXP: lambda g, x, y: g * y,
    e.EXPM1: lambda g, x, y: g * (y + 1),
    e.LOG: lambda g, x, y: g / x,
    e.LOG1P: lambda g, x, y: g / (1 + x),
    e.SQRT: lambda g, x, y: 0.5 * g / y,
    e.RSQRT: lambda g, x, y: -0.5 * g * y * y * y,
    e.RECIPROCAL: lambda g, x, y: -g * y * y,
    e.ERF: lambda g, x, y: BELL * g * e.exp(-x * x),
    special.ERFC: lambda g, x, y: -BELL * g * e.exp(-x * x),
    special.ERFINV: lambda g, x, y: g / BELL * e.exp(y * y),
    e.SIN: lambda g, x, y: g * e.cos(x),
    e.COS: lambda g, x, y: -g * e.sin(x),
    e.TAN: lambda g, x, y: g * (1 + y * y),
    e.TANH: lambda g, x, y: g * (1 - y * y),
    e.SIGMOID: lambda g, x, y: g * y * (1 - y),
    e.SOFTPLUS: lambda g, x, y: g * e.sigmoid(x),
    t.ARCSIN: lambda g, x, y: g * e.rsqrt(1 - x * x),
    t.ARCCOS: lambda g, x, y: -g * e.rsqrt(1 - x * x),
    t.ARCTAN: lambda g, x, y: g / (1 + x * x),
    t.SINH: lambda g, x, y: g * t.cosh(x),
    t.COSH: lambda g, x, y: g * t.sinh(x),
    t.ARCSINH: lambda g, x, y: g * e.rsqrt(1 + x * x),
    t.ARCCOSH: lambda g, x, y: g * e.rsqrt(x * x - 1),
    a.RELU: lambda g, x, y: e.where(c.greater(x, 0), g, 0),
    a.RELU6: lambda g, x, y: _within(g, x, 0, 6),
    a.SOFTSIGN: lambda g, x, y: g / e.square(1 + e.abs(x)),
    a.SILU: lambda g, x, y: _silu(g, x),
    a.SELU: lambda g, x, y: SELU_SCALE * _curved(g, x, SELU_ALPHA),
    a.HARD_SIGMOID: lambda g, x, y: _within(g / 6, x, -3, 3),
}
"""``(gradient, x, y) -> gradient`` of ``y = op(x)``."""

WITH_NUMBERS: Mapping[OpSpec, Callable[..., Any]] = {
    a.GELU: _gelu,
    a.LEAKY_RELU: lambda g, x, negative_slope: e.where(c.greater(x, 0), g, g * negative_slope),
    a.ELU: _curved,
    e.CLIP: lambda g, x, minimum, maximum: e.where(
        c.logical_and(c.greater_equal(x, minimum), c.less_equal(x, maximum)), g, 0
    ),
}
"""``(gradient, x, **attributes) -> gradient``."""


def _halved(g: Any, x: Any, other: Any, beyond: Any) -> Any:
    """``g`` where ``x`` is ``beyond`` the other one, half of it where they are equal."""
    return e.where(beyond(x, other), g, e.where(c.equal(x, other), 0.5 * g, 0))


def _power(g: Any, x: Any, y: Any, z: Any) -> tuple[Any, Any]:
    # Below a base of zero there is no logarithm; of 0 ** y the result is constant in y.
    safe = e.where(c.greater(x, 0), x, 1)
    return g * y * e.power(x, y - 1), g * z * e.log(safe)


def _arctan2(g: Any, x: Any, y: Any, z: Any) -> tuple[Any, Any]:
    scaled = g / (x * x + y * y)
    return scaled * y, -scaled * x


BINARY: Mapping[OpSpec, Callable[[Any, Any, Any, Any], tuple[Any, Any]]] = {
    e.ADD: lambda g, x, y, z: (g, g),
    e.SUBTRACT: lambda g, x, y, z: (g, -g),
    e.MULTIPLY: lambda g, x, y, z: (g * y, g * x),
    e.DIVIDE: lambda g, x, y, z: (g / y, -g * z / y),
    e.REMAINDER: lambda g, x, y, z: (g, -g * e.floor(x / y)),
    e.POWER: _power,
    e.MAXIMUM: lambda g, x, y, z: (_halved(g, x, y, c.greater), _halved(g, y, x, c.greater)),
    e.MINIMUM: lambda g, x, y, z: (_halved(g, x, y, c.less), _halved(g, y, x, c.less)),
    t.ARCTAN2: _arctan2,
}
"""``(gradient, x, y, z) -> gradients`` of ``z = op(x, y)``, before they are summed over what was broadcast."""


def _unary(slope: Callable[[Any, Any, Any], Any]) -> Rule:
    return lambda w, g: (slope(g, w.operands[0], w.results[0]),)


def _with_numbers(slope: Callable[..., Any]) -> Rule:
    return lambda w, g: (slope(g, w.operands[0], **w.node.attributes),)


def _binary(slopes: Callable[[Any, Any, Any, Any], tuple[Any, Any]]) -> Rule:
    def rule(w: Written, g: Any) -> Any:
        x, y = w.operands
        found = slopes(g, x, y, w.results[0])
        return [
            fitted(g, one) if asks else None for g, one, asks in zip(found, (x, y), w.wanted, strict=True)
        ]

    return rule


def _where(w: Written, g: Any) -> Any:
    condition, x, y = w.operands
    return None, fitted(e.where(condition, g, 0), x), fitted(e.where(condition, 0, g), y)


def _cast(w: Written, g: Any) -> Any:
    return (e.cast(g, type_of(w.operands[0]).dtype),)


TABLE: Mapping[OpSpec, Rule] = {
    **{op: _unary(slope) for op, slope in UNARY.items()},
    **{op: _with_numbers(slope) for op, slope in WITH_NUMBERS.items()},
    **{op: _binary(slopes) for op, slopes in BINARY.items()},
    e.SIGN: lambda w, g: (None,),
    e.WHERE: _where,
    e.CAST: _cast,
}
