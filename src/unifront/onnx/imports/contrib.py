"""Operators that ONNX Runtime adds (``com.microsoft``): fused norms, products and activations.

Its optimizer writes them, and so do exporters that aim at it. Source: ONNX Runtime, docs/ContribOperators.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from unifront import ops
from unifront.onnx.imports.activations import SELU
from unifront.onnx.imports.conv import convolution
from unifront.onnx.imports.linalg import gemm
from unifront.onnx.imports.node import NEEDED, Node, Row, axis_of, rank
from unifront.onnx.imports.norm import layer_norm, rms_norm
from unifront.opset.tensor import type_of

# ---------------------------------------------------------------- activations


def _hard_sigmoid(y: Any, alpha: float = 0.2, beta: float = 0.5) -> Any:
    return ops.clip(ops.add(ops.multiply(y, alpha), beta), 0.0, 1.0)


def _thresholded(y: Any, alpha: float = 1.0) -> Any:
    return ops.where(ops.greater(y, alpha), y, ops.zeros_like(y))


def _selu(y: Any, alpha: float = SELU[0], gamma: float = SELU[1]) -> Any:
    negative = ops.multiply(ops.expm1(ops.minimum(y, 0)), alpha)
    return ops.multiply(ops.where(ops.greater(y, 0), y, negative), gamma)


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "": lambda y: y,
    "Relu": lambda y: ops.relu(y),
    "Tanh": lambda y: ops.tanh(y),
    "Sigmoid": lambda y: ops.sigmoid(y),
    "Softplus": lambda y: ops.softplus(y),
    "Softsign": lambda y: ops.softsign(y),
    "HardSwish": lambda y: ops.hard_silu(y),
    "LeakyRelu": lambda y, alpha=0.01: ops.leaky_relu(y, alpha),
    "Elu": lambda y, alpha=1.0: ops.elu(y, alpha),
    "Clip": lambda y, low, high: ops.clip(y, low, high),
    "HardSigmoid": _hard_sigmoid,
    "ThresholdedRelu": _thresholded,
    "Selu": _selu,
}
"""Activations that are fused with what is before them, with their numbers behind the operand."""


def _activated(node: Node, y: Any, numbers: Sequence[float]) -> Any:
    function = FUNCTIONS.get(node["activation"])
    if function is None:
        node.fail(f"the activation {node['activation'][:80]!r} is not one of {', '.join(FUNCTIONS)[2:]}")
    return function(y, *numbers)


def _bias_gelu(node: Node, x: Any, bias: Any) -> Any:
    return ops.gelu(ops.add(x, node.weight(bias)), approximate=False)


def _fast_gelu(node: Node, x: Any, bias: Any = None) -> Any:
    return ops.gelu(x if bias is None else ops.add(x, node.weight(bias)), approximate=True)


def _quick_gelu(node: Node, x: Any) -> Any:
    return ops.multiply(x, ops.sigmoid(ops.multiply(x, node["alpha"])))


def _bias_split_gelu(node: Node, x: Any, bias: Any) -> Any:
    left, right = ops.split(ops.add(x, node.weight(bias)), 2, -1)
    return ops.multiply(left, ops.gelu(right, approximate=False))


# ---------------------------------------------------------------- products


def fused_matmul(node: Node, x: Any, y: Any) -> Any:
    """A product of operands that may be transposed, times a number."""
    x, y = (
        _turned(node, node.weight(one), bool(node[f"trans{name}"]), bool(node.get(f"transBatch{name}", 0)))
        for one, name in ((x, "A"), (y, "B"))
    )
    product = ops.matmul(x, y)
    return product if node["alpha"] == 1 else ops.multiply(product, node["alpha"])


def _turned(node: Node, x: Any, last: bool, batch: bool) -> Any:
    """``x`` with the axes of its matrices exchanged, and its first axis made the last but one."""
    count = rank(x)
    order = list(range(count))
    if batch:
        if count < 3:
            node.fail("transBatch of an operand without batches")
        order = [*order[1:-1], 0, count - 1]
    if last and count > 1:
        order[-2:] = order[:-3:-1]
    return x if order == list(range(count)) else ops.transpose(x, order)


def _fused_gemm(node: Node, x: Any, kernel: Any, bias: Any = None) -> Any:
    given = (node[f"activation_{name}"] for name in ("alpha", "beta", "gamma"))
    product = gemm(node.standard(), x, kernel, bias)
    return _activated(node, product, [number for number in given if number is not None])


def _gemm_fast_gelu(node: Node, x: Any, kernel: Any, bias: Any = None) -> Any:
    return _fast_gelu(node, ops.matmul(node.weight(x), node.weight(kernel)), bias)


def _fused_conv(node: Node, x: Any, kernel: Any, bias: Any = None, other: Any = None) -> Any:
    y = convolution(node.standard(), x, kernel, bias)
    return _activated(node, y if other is None else ops.add(y, other), node["activation_params"] or ())


def _nhwc_conv(node: Node, x: Any, kernel: Any, bias: Any = None) -> Any:
    """Images and kernels have their channels last: kernels are ``[out, *window, in]``."""
    first, back = channels_first(x)
    return back(convolution(node.standard(), first, kernel, bias, last=True))


def _nhwc_fused_conv(node: Node, x: Any, kernel: Any, bias: Any = None, other: Any = None) -> Any:
    """Images have their channels last, kernels have not."""
    first, back = channels_first(x)
    y = back(convolution(node.standard(), first, kernel, bias))
    return _activated(node, y if other is None else ops.add(y, other), node["activation_params"] or ())


# ---------------------------------------------------------------- norms


def _summed(node: Node, x: Any, skip: Any, bias: Any) -> Any:
    """What goes into a norm behind a residual connection."""
    total = ops.add(x, skip)
    return total if bias is None else ops.add(total, node.weight(bias))


def _skip_layer_norm(
    node: Node, x: Any, skip: Any, scale: Any, shift: Any = None, bias: Any = None
) -> tuple[Any, ...]:
    total = _summed(node, x, skip, bias)
    found = layer_norm(node.standard(axis=-1, stash_type=1), total, scale, shift, statistics=_read(node))
    y, *statistics = found if isinstance(found, tuple) else (found, None, None)
    return (y, *statistics, total)


def _read(node: Node) -> bool:
    """Whether somebody reads the mean or the deviation."""
    return node.wants(1) or node.wants(2)


def _skip_rms_norm(node: Node, x: Any, skip: Any, scale: Any, bias: Any = None) -> tuple[Any, ...]:
    if _read(node):
        node.fail("its mean and deviation are given by no kernel of ONNX Runtime")
    total = _summed(node, x, skip, bias)
    return rms_norm(node.standard(axis=-1, stash_type=1), total, scale), None, None, total


def _embedding_norm(
    node: Node, words: Any, segments: Any, word_table: Any, place_table: Any, segment_table: Any, scale: Any,
    shift: Any, mask: Any = None, places: Any = None,
) -> tuple[Any, ...]:  # fmt: skip
    word_table, place_table = node.weight(word_table), node.weight(place_table)
    batch, length = type_of(words).shape
    if places is None:
        places = ops.iota((1, length), 1, "int32", like=words)
    total = ops.add(ops.take(word_table, words, 0), ops.take(place_table, places, 0))
    if segments is not None:
        total = ops.add(total, ops.take(node.weight(segment_table), segments, 0))
    count = None
    if node.wants(1):
        used = ops.zeros((batch, length), "int32", like=words) if mask is None else ops.equal(mask, 1)
        count = ops.sum(ops.cast(used, "int32"), 1)
    y = layer_norm(node.standard(axis=-1, stash_type=1), total, scale, shift, statistics=False)
    return y, count, total


def channels_first(x: Any, last: bool = True) -> tuple[Any, Callable[[Any], Any]]:
    """Images with their channels first, and what puts them back; ``last``: whether they have them last."""
    count = rank(x)
    if not last:
        return x, lambda y: y
    back = (0, *range(2, count), 1)
    return ops.transpose(x, (0, count - 1, *range(1, count - 1))), lambda y: ops.transpose(y, back)


def _group_norm(node: Node, x: Any, scale: Any, shift: Any) -> Any:
    first, back = channels_first(x, bool(node["channels_last"]))
    y = ops.group_norm(
        first, node.weight(scale), node.weight(shift), groups=node["groups"], axis=1, epsilon=node["epsilon"]
    )
    if node["activation"] not in (0, 1):
        node.fail(f"the activation {node['activation']} is not 0 (none) or 1 (SiLU)")
    return back(ops.silu(y) if node["activation"] else y)


def _skip_group_norm(
    node: Node, x: Any, scale: Any, shift: Any, skip: Any, bias: Any = None
) -> tuple[Any, Any]:
    if rank(skip) == 2 and rank(x) == 4:
        skip = ops.expand_dims(skip, (1, 2) if node["channels_last"] else (2, 3))
    total = _summed(node, x, skip, bias)
    return _group_norm(node, total, scale, shift), total


# ---------------------------------------------------------------- others


def _bias_add(node: Node, x: Any, bias: Any, skip: Any) -> Any:
    return ops.add(ops.add(x, node.weight(bias)), skip)


def _bias_softmax(node: Node, x: Any, bias: Any) -> Any:
    """A softmax over all axes from one on, of data to which a bias is added that repeats as it may."""
    axis, shape = axis_of(node, node["axis"], rank(x)), type_of(x).shape
    total = ops.add(x, bias)
    flat = ops.softmax(ops.reshape(total, (*shape[:axis], math.prod(shape[axis:]))), -1)
    return ops.reshape(flat, shape)


def _distances(node: Node, x: Any, y: Any) -> Any:
    """Distances of all rows of two matrices."""
    squares = ops.sum(ops.square(ops.subtract(ops.expand_dims(x, 1), ops.expand_dims(y, 0))), -1)
    if node["metric"] not in ("sqeuclidean", "euclidean"):
        node.fail(f"the metric {node['metric'][:80]!r} is not 'sqeuclidean' or 'euclidean'")
    return ops.sqrt(squares) if node["metric"] == "euclidean" else squares


def _triangle(node: Node, x: Any, k: Any = None) -> Any:
    place = 0 if k is None else int(np.reshape(k, ()))
    return ops.triu(x, place) if node["upper"] else ops.tril(x, place)


_CONV = {
    "auto_pad": "NOTSET", "dilations": None, "group": 1, "kernel_shape": None, "pads": None, "strides": None,
}  # fmt: skip
_PRODUCT = {"alpha": 1.0, "transA": 0, "transB": 0}
_SKIP = {"epsilon": 1e-12}
_GROUPS = {"activation": NEEDED, "channels_last": 1, "epsilon": 1e-5, "groups": NEEDED}
TABLE_OF = {
    "com.microsoft": {
        "Gelu": Row(lambda node, x: ops.gelu(x, approximate=False), attributes={}),
        "BiasGelu": Row(_bias_gelu, weights=(1,), attributes={}),
        "FastGelu": Row(_fast_gelu, weights=(1,), attributes={}),
        "QuickGelu": Row(_quick_gelu, attributes={"alpha": 1.702}),
        "BiasSplitGelu": Row(_bias_split_gelu, weights=(1,), attributes={}),
        "FusedMatMul": Row(
            fused_matmul, weights=(0, 1), attributes={**_PRODUCT, "transBatchA": 0, "transBatchB": 0}
        ),
        "TransposeMatMul": Row(fused_matmul, weights=(0, 1), attributes=_PRODUCT),
        "FusedGemm": Row(
            _fused_gemm,
            weights=(0, 1, 2),
            attributes={
                **_PRODUCT, "beta": 1.0, "activation": "", "activation_alpha": None, "activation_beta": None,
                "activation_gamma": None,
            },
        ),
        "GemmFastGelu": Row(_gemm_fast_gelu, weights=(0, 1, 2), attributes={}),
        "FusedConv": Row(
            _fused_conv, weights=(1, 2), attributes={**_CONV, "activation": "", "activation_params": None}
        ),
        "NhwcConv": Row(_nhwc_conv, weights=(1, 2), attributes=_CONV),
        "NhwcFusedConv": Row(
            _nhwc_fused_conv, weights=(1, 2), attributes={**_CONV, "activation": "", "activation_params": None}
        ),
        "SkipLayerNormalization": Row(_skip_layer_norm, weights=(2, 3, 4), attributes=_SKIP),
        "SkipSimplifiedLayerNormalization": Row(_skip_rms_norm, weights=(2, 3), attributes=_SKIP),
        "EmbedLayerNormalization": Row(
            _embedding_norm, weights=(2, 3, 4, 5, 6), attributes={**_SKIP, "mask_index_type": 0}
        ),
        "GroupNorm": Row(_group_norm, weights=(1, 2), attributes=_GROUPS),
        "SkipGroupNorm": Row(_skip_group_norm, weights=(1, 2, 4), attributes=_GROUPS),
        "BiasAdd": Row(_bias_add, weights=(1,), attributes={}),
        "BiasSoftmax": Row(_bias_softmax, attributes={"axis": 1, "is_inner_broadcast": NEEDED}),
        "CDist": Row(_distances, attributes={"metric": "sqeuclidean"}),
        "Inverse": Row(lambda node, x: ops.inv(x), attributes={}),
        "Trilu": Row(_triangle, known=(1,), attributes={"upper": 1}),
        "ExpandDims": Row(
            lambda node, x, axis: ops.expand_dims(x, int(axis.reshape(()))), known=(1,), attributes={}
        ),
    }
}  # fmt: skip
