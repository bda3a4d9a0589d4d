"""Activations; `sigmoid`, `tanh` and `softplus` are in `unifront.opset.elementwise`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from unifront.errors import ArgumentError, ShapeError
from unifront.ir.facts import Facts
from unifront.opset import comparison, index, reduce, slicing
from unifront.opset import elementwise as e
from unifront.opset.casting import SHAPES, TensorLike, floating
from unifront.opset.cumulative import cumsum
from unifront.opset.elementwise import _erf, _sigmoid
from unifront.opset.making import KEEPS, NOT_NEGATIVE, POSITIVE, unary
from unifront.opset.rules import axis_in, need_float, show
from unifront.opset.shape import split
from unifront.opset.spec import OpSpec, Sample, register
from unifront.opset.tensor import bind, replayed, type_of

Function = Callable[..., Any]

RELU, relu = unary("relu", lambda x: np.maximum(x, 0), "ONNX Relu", keeps_integers=True, facts=NOT_NEGATIVE)
RELU6, relu6 = unary(
    "relu6",
    lambda x: np.clip(x, 0, 6),
    "Krizhevsky 2010 (Convolutional Deep Belief Networks on CIFAR-10); Keras relu6",
    (-9.0, 9.0),
    keeps_integers=True,
    facts=NOT_NEGATIVE,
)
SOFTSIGN, softsign = unary("softsign", lambda x: x / (1 + np.abs(x)), "ONNX Softsign", facts=KEEPS)
SILU, silu = unary(
    "silu", lambda x: x * _sigmoid(x), "Ramachandran et al. 2017 (Swish); ONNX Swish", facts=KEEPS
)
SELU, selu = unary(
    "selu",
    lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0))),
    "Klambauer et al. 2017; ONNX Selu",
    facts=KEEPS,
)
HARD_SIGMOID, hard_sigmoid = unary(
    "hard_sigmoid",
    lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "Keras 3 hard_sigmoid: relu6(x + 3) / 6",
    (-2.9, 2.9),
    facts=POSITIVE,
)


def _gelu(x: np.ndarray, approximate: bool) -> np.ndarray:
    if approximate:
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + _erf(x / math.sqrt(2)))


GELU = register(
    OpSpec(
        "gelu",
        rule=lambda x, approximate: need_float(x),
        reference=_gelu,
        samples=lambda rng: (
            Sample((rng.normal(size=s),), {"approximate": a}) for s in SHAPES for a in (True, False)
        ),
        source="Hendrycks and Gimpel 2016; ONNX Gelu",
        attributes={"approximate": bool},
        facts=KEEPS,
    )
)


def gelu(x: TensorLike, approximate: bool = True) -> Any:
    """Gaussian error linear unit; ``approximate``: the tanh form (Hendrycks and Gimpel 2016; ONNX Gelu)."""
    return bind(GELU, floating(x), approximate=approximate)


def _with_slope(
    name: str, attribute: str, default: float, reference: Function, source: str, facts: Facts
) -> OpSpec:
    """An activation with one float parameter."""
    return register(
        OpSpec(
            name,
            rule=lambda x, **_: need_float(x),
            reference=reference,
            # Away from the kink at zero, across which finite differences mean nothing.
            samples=lambda rng: (
                Sample((np.copysign(rng.uniform(0.1, 3, s), rng.normal(size=s)),), {attribute: v})
                for s in SHAPES
                for v in (default, 0.7)
            ),
            source=source,
            attributes={attribute: float},
            facts=facts,
        )
    )


LEAKY_RELU = _with_slope(
    "leaky_relu", "negative_slope", 0.2, lambda x, negative_slope: np.where(x > 0, x, negative_slope * x),
    "ONNX LeakyRelu",
    facts=KEEPS,
)  # fmt: skip
ELU = _with_slope(
    "elu", "alpha", 1.0, lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
    "Clevert et al. 2015; ONNX Elu",
    facts=KEEPS,
)  # fmt: skip


def leaky_relu(x: TensorLike, negative_slope: float = 0.2) -> Any:
    """``x`` where it is positive, else ``negative_slope * x`` (Maas et al. 2013; ONNX LeakyRelu)."""
    return bind(LEAKY_RELU, floating(x), negative_slope=float(negative_slope))


def elu(x: TensorLike, alpha: float = 1.0) -> Any:
    """``x`` where it is positive, else ``alpha * (exp(x) - 1)`` (Clevert et al. 2015; ONNX Elu)."""
    return bind(ELU, floating(x), alpha=float(alpha))


def celu(x: TensorLike, alpha: float = 1.0) -> Any:
    """``max(x, 0) + min(alpha * (exp(x / alpha) - 1), 0)`` (Barron 2017, "Continuously differentiable ELUs").

    Raises `ArgumentError` if ``alpha`` is zero.
    """
    if not alpha:
        raise ArgumentError("celu: alpha is not zero.")
    x = floating(x)
    curved = e.multiply(e.expm1(e.divide(e.minimum(x, 0), alpha)), alpha)
    return e.add(e.maximum(x, 0), e.minimum(curved, 0))


def glu(x: TensorLike, axis: int = -1) -> Any:
    """``a * sigmoid(b)`` of the two halves of ``x`` along ``axis`` (Dauphin et al. 2016).

    Raises `ShapeError` if ``axis`` is odd.
    """
    x = floating(x)
    axis = axis_in(axis, type_of(x).rank)
    size = type_of(x).shape[axis]
    if isinstance(size, int) and size % 2:
        raise ShapeError(f"glu: axis {axis} of {show(type_of(x).shape)} has no halves; it is {size} long.")
    value, gate = split(x, 2, axis)
    return e.multiply(value, e.sigmoid(gate))


def hard_shrink(x: TensorLike, threshold: float = 0.5) -> Any:
    """``x`` outside ``[-threshold, threshold]``, zero in it (Keras hard_shrink; ONNX Shrink)."""
    x = floating(x)
    return e.where(comparison.greater(e.abs(x), threshold), x, 0.0)


def soft_shrink(x: TensorLike, threshold: float = 0.5) -> Any:
    """``x`` drawn ``threshold`` toward zero, zero where it is less far away (Keras soft_shrink; ONNX Shrink)."""
    x = floating(x)
    return e.subtract(x, e.clip(x, -float(threshold), float(threshold)))


def tanh_shrink(x: TensorLike) -> Any:
    """``x - tanh(x)`` (Keras tanh_shrink)."""
    x = floating(x)
    return e.subtract(x, e.tanh(x))


def hard_tanh(x: TensorLike) -> Any:
    """``x`` limited to [-1, 1] (Keras hard_tanh)."""
    return e.clip(x, -1.0, 1.0)


def hard_silu(x: TensorLike) -> Any:
    """``x * relu6(x + 3) / 6`` (Howard et al. 2019; ONNX HardSwish)."""
    x = floating(x)
    return e.multiply(x, hard_sigmoid(x))


hard_swish, swish = hard_silu, silu


def log_sigmoid(x: TensorLike) -> Any:
    """The logarithm of `sigmoid`, with all its digits (Keras log_sigmoid)."""
    return e.negative(e.softplus(e.negative(floating(x))))


def threshold(x: TensorLike, threshold: float, default_value: float) -> Any:
    """``x`` where it is above ``threshold``, else ``default_value`` (Keras threshold; ONNX ThresholdedRelu)."""
    x = floating(x)
    return e.where(comparison.greater(x, threshold), x, default_value)


def squareplus(x: TensorLike, b: float = 4) -> Any:
    """``(x + sqrt(x**2 + b)) / 2`` (Barron 2021)."""
    x = floating(x)
    return e.multiply(e.add(x, e.sqrt(e.add(e.square(x), b))), 0.5)


def sparse_plus(x: TensorLike) -> Any:
    """Zero up to -1, ``x`` from 1 on, ``(x + 1)**2 / 4`` between (Martins and Astudillo 2016; Keras sparse_plus)."""
    x = floating(x)
    curved = e.multiply(e.square(e.add(e.clip(x, -1.0, 1.0), 1)), 0.25)
    return e.where(comparison.less(x, 1), curved, x)


def sparse_sigmoid(x: TensorLike) -> Any:
    """Zero up to -1, one from 1 on, ``(x + 1) / 2`` between (Martins and Astudillo 2016; Keras sparse_sigmoid)."""
    return e.clip(e.add(e.multiply(floating(x), 0.5), 0.5), 0.0, 1.0)


@replayed
def sparsemax(x: TensorLike, axis: int = -1) -> Any:
    """The point of the probability simplex that is nearest to ``x`` along ``axis``: a sparse softmax.

    Source: Martins and Astudillo 2016, "From softmax to sparsemax".
    """
    x = floating(x)
    axis = axis_in(axis, type_of(x).rank)
    falling = slicing.flip(index.sort(x, axis), axis)
    counts = cumsum(e.add(e.multiply(e.stop_gradient(falling), 0), 1), axis)
    sums = cumsum(falling, axis)
    inside = comparison.greater(e.add(e.multiply(counts, falling), 1), sums)
    count = reduce.sum(e.cast(inside, type_of(x).dtype), axis, keepdims=True)
    total = reduce.sum(e.where(inside, falling, 0.0), axis, keepdims=True)
    return e.maximum(e.subtract(x, e.divide(e.subtract(total, 1), count)), 0)
