"""Normalizations."""

from __future__ import annotations

from typing import Any

import numpy as np

from unifront import ops
from unifront.onnx.imports.node import Node, Row, axis_of, rank
from unifront.opset.tensor import type_of


def _batch_norm(node: Node, x: Any, scale: Any, bias: Any, mean: Any, variance: Any) -> Any:
    scale, bias, mean, variance = map(node.weight, (scale, bias, mean, variance))
    epsilon = node["epsilon"]
    training = node["training_mode"] == 1 or (
        node.version < 14 and len(node.proto.output) > 1 and any(node.outputs[1:3])
    )
    dtype = type_of(x).dtype
    own = [ops.cast(one, dtype) for one in (mean, variance, scale, bias)]
    if not training:
        return ops.batch_norm(x, *own, axis=1, epsilon=epsilon)
    y, batch_mean, batch_variance = ops.batch_norm_training(x, own[2], own[3], axis=1, epsilon=epsilon)
    momentum = node["momentum"]
    kind = type_of(mean).dtype
    running = [
        ops.add(ops.multiply(old, momentum), ops.multiply(ops.cast(new, kind), 1 - momentum))
        for old, new in ((mean, batch_mean), (variance, batch_variance))
    ]
    return (y, *running, batch_mean, batch_variance)


def _instance_norm(node: Node, x: Any, scale: Any, bias: Any) -> Any:
    scale, bias = map(node.weight, (scale, bias))
    channels = type_of(x).shape[1]
    if not isinstance(channels, int):
        node.fail("a number of channels that is free")
    return ops.group_norm(x, scale, bias, groups=channels, axis=1, epsilon=node["epsilon"])


def _group_norm(node: Node, x: Any, scale: Any, bias: Any) -> Any:
    scale, bias = map(node.weight, (scale, bias))
    groups, channels = node["num_groups"], type_of(x).shape[1]
    if node.version < 21:  # one number for each group
        scale, bias = (ops.repeat(one, channels // groups, 0) for one in (scale, bias))
    return ops.group_norm(x, scale, bias, groups=groups, axis=1, epsilon=node["epsilon"])


def _last(node: Node, x: Any) -> tuple[int, ...]:
    return tuple(range(axis_of(node, node["axis"], rank(x)), rank(x)))


def _wide(node: Node, x: Any) -> Any:
    """``x`` in the dtype in which statistics are taken."""
    stash = node["stash_type"]
    return ops.cast(x, "float32") if stash == 1 and type_of(x).dtype.bits < 32 else x


def _fits(x: Any, vector: Any, axes: tuple[int, ...]) -> bool:
    return vector is None or type_of(vector).shape == tuple(type_of(x).shape[axis] for axis in axes)


def layer_norm(node: Node, x: Any, scale: Any, bias: Any = None, *, statistics: bool | None = None) -> Any:
    """LayerNormalization; ``statistics``: whether mean and deviation are wanted; None: if they have names."""
    wanted = len(node.proto.output) > 1 if statistics is None else statistics
    scale, bias = (None if one is None else node.weight(one) for one in (scale, bias))
    axes, dtype, epsilon = _last(node, x), type_of(x).dtype, node["epsilon"]
    if not wanted and _fits(x, scale, axes) and _fits(x, bias, axes):
        return ops.layer_norm(x, scale, bias, axis=axes, epsilon=epsilon)
    wide = _wide(node, x)
    mean = ops.mean(wide, axes, True)
    centred = ops.subtract(wide, mean)
    inverse = ops.rsqrt(ops.add(ops.mean(ops.square(centred), axes, True), epsilon))
    y = ops.multiply(ops.cast(ops.multiply(centred, inverse), dtype), scale)
    return (y if bias is None else ops.add(y, bias), mean, inverse)


def rms_norm(node: Node, x: Any, scale: Any) -> Any:
    """The row of RMSNormalization."""
    scale = node.weight(scale)
    axes, dtype = _last(node, x), type_of(x).dtype
    if _fits(x, scale, axes) and type_of(scale).dtype == dtype:
        return ops.rms_norm(x, scale, axis=axes, epsilon=node["epsilon"])
    wide = _wide(node, x)
    inverse = ops.rsqrt(ops.add(ops.mean(ops.square(wide), axes, True), node["epsilon"]))
    return ops.cast(
        ops.multiply(ops.cast(ops.multiply(wide, inverse), type_of(scale).dtype), scale), type_of(scale).dtype
    )


def _lrn(node: Node, x: Any) -> Any:
    size = node["size"]
    return ops.local_response_normalization(x, size, node["alpha"] / size, node["beta"], node["bias"], axis=1)


def _lp_norm(node: Node, x: Any) -> Any:
    axis = axis_of(node, node["axis"], rank(x))
    size = ops.sum(ops.abs(x), axis, True) if node["p"] == 1 else ops.sqrt(ops.sum(ops.square(x), axis, True))
    return ops.where(ops.equal(size, 0), ops.zeros_like(x), ops.divide(x, size))


def _mean_variance(node: Node, x: Any) -> Any:
    axes = tuple(node["axes"])
    mean = ops.mean(x, axes, True)
    deviation = ops.sqrt(ops.subtract(ops.mean(ops.square(x), axes, True), ops.square(mean)))
    return ops.divide(ops.subtract(x, mean), ops.add(deviation, np.asarray(1e-9, type_of(x).dtype.numpy)))


def _simplified(node: Node, x: Any, scale: Any) -> Any:
    """The root mean square norm of ONNX Runtime, which calls it by a name in ONNX's own domain."""
    y = rms_norm(node, x, scale)
    if not node.wants(1):
        return y
    wide = _wide(node, x)
    return y, ops.rsqrt(ops.add(ops.mean(ops.square(wide), _last(node, x), True), node["epsilon"]))


NORM = {"axis": -1, "epsilon": 1e-5, "stash_type": 1}
"""Attributes of norms of ONNX Runtime, which writes them in operator sets that have none."""
TABLE = {
    "BatchNormalization": Row(_batch_norm, weights=(1, 2, 3, 4), state=(3, 4)),
    "InstanceNormalization": Row(_instance_norm, weights=(1, 2)),
    "GroupNormalization": Row(_group_norm, weights=(1, 2)),
    "LayerNormalization": Row(layer_norm, weights=(1, 2), attributes=NORM),
    "SimplifiedLayerNormalization": Row(_simplified, weights=(1,), attributes=NORM),
    "RMSNormalization": Row(rms_norm, weights=(1,)),
    "LRN": Row(_lrn),
    "LpNormalization": Row(_lp_norm),
    "MeanVarianceNormalization": Row(_mean_variance),
}
