"""Activation functions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from unifront import ops
from unifront.onnx.imports.node import Node, Row, axis_of, rank
from unifront.opset.tensor import type_of

SELU = (1.6732632423543772, 1.0507009873554805)
"""The alpha and gamma of Klambauer et al. 2017, which `unifront.ops.selu` has."""


def _selu(node: Node, x: Any) -> Any:
    alpha, gamma = node["alpha"], node["gamma"]
    if (np.float32(alpha), np.float32(gamma)) == tuple(map(np.float32, SELU)):
        return ops.selu(x)
    negative = ops.multiply(ops.expm1(ops.minimum(x, 0)), alpha)
    return ops.multiply(ops.where(ops.greater(x, 0), x, negative), gamma)


def _hard_sigmoid(node: Node, x: Any) -> Any:
    return ops.clip(ops.add(ops.multiply(x, node["alpha"]), node["beta"]), 0.0, 1.0)


def _mish(node: Node, x: Any) -> Any:
    return ops.multiply(x, ops.tanh(ops.softplus(x)))


def _gelu(node: Node, x: Any) -> Any:
    return ops.gelu(x, approximate=node["approximate"] == "tanh")


def _swish(node: Node, x: Any) -> Any:
    alpha = node["alpha"]
    return ops.silu(x) if alpha == 1 else ops.multiply(x, ops.sigmoid(ops.multiply(x, alpha)))


def _thresholded(node: Node, x: Any) -> Any:
    return ops.where(ops.greater(x, node["alpha"]), x, ops.zeros_like(x))


def _shrink(node: Node, x: Any) -> Any:
    dtype, limit = type_of(x).dtype, node["lambd"]
    number = ops.cast(x, "float32") if not dtype.is_float else x
    low, high = ops.add(number, node["bias"]), ops.subtract(number, node["bias"])
    inside = ops.where(ops.greater(number, limit), high, ops.zeros_like(number))
    return ops.cast(ops.where(ops.less(number, -limit), low, inside), dtype)


def _prelu(node: Node, x: Any, slope: Any) -> Any:
    slope = node.weight(slope)
    if node.version < 7 and rank(slope) == 1 and rank(x) > 2 and type_of(slope).shape != (1,):
        slope = ops.reshape(slope, (*type_of(slope).shape, *(1,) * (rank(x) - 2)))
    return ops.where(ops.less(x, 0), ops.multiply(x, slope), x)


def _last_axes(node: Node, x: Any) -> tuple[Any, int, Any]:
    """``x`` and the axis of a softmax; before version 13 it goes over all axes from that one on."""
    axis, shape = axis_of(node, node["axis"], rank(x)), type_of(x).shape
    if node.version >= 13 or axis == rank(x) - 1:
        return x, axis, None
    return ops.reshape(x, (*shape[:axis], math.prod(shape[axis:]))), axis, shape


def _softmax(function: Any) -> Row:
    def row(node: Node, x: Any) -> Any:
        x, axis, shape = _last_axes(node, x)
        result = function(x, axis)
        return result if shape is None else ops.reshape(result, shape)

    return Row(row)


def _hardmax(x: Any, axis: int) -> Any:
    type_ = type_of(x)
    size = type_.shape[axis]
    places = ops.argmax(x, axis, keepdims=True)
    counted = ops.iota(tuple(size if i == axis else 1 for i in range(type_.rank)), axis, "int32", like=x)
    return ops.cast(ops.equal(places, counted), type_.dtype)


def _dropout(node: Node, x: Any, ratio: Any = None, training: Any = None) -> Any:
    """In inference nothing is dropped; a node that says it trains drops by the run's random key."""
    shape = type_of(x).shape
    trains = node.version >= 12 and training is not None and bool(node.known(training, "training_mode"))
    rate = 0.5 if ratio is None else float(node.known(ratio, "the ratio"))
    if trains and rate:
        kept = ops.random_bernoulli(node.importer.lifting.random_key(node), shape, 1 - rate)
        dropped = ops.where(kept, ops.divide(x, 1 - rate), ops.zeros_like(x))
        return dropped, kept
    if not node.wants(1):
        return x
    mask = ops.broadcast_to(np.ones((), bool), shape) if node.version >= 10 else ops.ones_like(x)
    return x, mask


TABLE = {
    "Relu": Row(lambda node, x: ops.maximum(x, 0) if not type_of(x).dtype.is_float else ops.relu(x)),
    "LeakyRelu": Row(lambda node, x: ops.leaky_relu(x, node["alpha"])),
    "Elu": Row(lambda node, x: ops.elu(x, node["alpha"])),
    "Selu": Row(_selu),
    "Celu": Row(lambda node, x: ops.celu(x, node["alpha"])),
    "Sigmoid": Row(lambda node, x: ops.sigmoid(x)),
    "HardSigmoid": Row(_hard_sigmoid),
    "HardSwish": Row(lambda node, x: ops.hard_silu(x)),
    "Softplus": Row(lambda node, x: ops.softplus(x)),
    "Softsign": Row(lambda node, x: ops.softsign(x)),
    "Mish": Row(_mish),
    "Gelu": Row(_gelu),
    "Swish": Row(_swish),
    "ThresholdedRelu": Row(_thresholded),
    "Shrink": Row(_shrink),
    "PRelu": Row(_prelu, weights=(1,)),
    "Softmax": _softmax(ops.softmax),
    "LogSoftmax": _softmax(ops.log_softmax),
    "Hardmax": _softmax(_hardmax),
    "Dropout": Row(_dropout),
}
