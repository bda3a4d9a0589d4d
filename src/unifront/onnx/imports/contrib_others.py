"""More of ``com.microsoft``: forms of standard operators from before ONNX had them, gates, tables of few bits; and why
the rest is not imported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from unifront import ops
from unifront.onnx.imports import creation, images, index, shape
from unifront.onnx.imports.contrib import FUNCTIONS, fused_matmul
from unifront.onnx.imports.node import NEEDED, Node, Row, axes_of, axis_of, rank
from unifront.opset.tensor import type_of

# ---------------------------------------------------------------- as in ONNX


def _as_standard(row: Row, **attributes: Any) -> Row:
    """The row of ONNX's operator of the same meaning."""

    def function(node: Node, *operands: Any) -> Any:
        return row.function(node.standard(), *operands)

    return replace(row, function=function, attributes=attributes)


def _unfold(node: Node, x: Any) -> Any:
    """All slices of a size along an axis, in a new last axis."""
    axis, size, step = axis_of(node, node["dim"], rank(x)), node["size"], node["step"]
    length = type_of(x).shape[axis]
    if not isinstance(length, int) or not 1 <= size <= length or step < 1:
        node.fail(f"slices of {size} in steps of {step} along an axis {length} long")
    starts = np.arange(0, length - size + 1, step)
    node.room(len(starts) * size)
    parts = ops.take(x, (starts[:, None] + np.arange(size)).astype("int32"), axis)
    return ops.moveaxis(parts, axis + 1, -1)


def _embedding(node: Node, table: Any, positions: Any, padding: Any = None, scale: Any = None) -> Any:
    return ops.take(node.weight(table), positions, 0)


# ---------------------------------------------------------------- integers


def _wide(x: Any) -> Any:
    return ops.cast(x, "int32")


def _multiply_integers(node: Node, x: Any, x_zero: Any, y: Any, y_zero: Any = None) -> Any:
    x, y = (
        _wide(one) if zero is None else ops.subtract(_wide(one), _wide(zero))
        for one, zero in ((x, x_zero), (y, y_zero))
    )
    return ops.multiply(x, y)


def _sum_integers(node: Node, x: Any) -> Any:
    return ops.sum(_wide(x), axes_of(node, node["axes"], rank(x)), bool(node["keepdims"]))


def _block_table(node: Node, data: Any, positions: Any, scales: Any, zeros: Any = None) -> Any:
    """Rows of a table of few bits, whose blocks along the last axis have a scale each."""
    count, bits, block = rank(data), node["bits"], node["block_size"]
    axes = axis_of(node, node["gather_axis"], count), axis_of(node, node["quantize_axis"], count)
    if axes != (0, count - 1) or block < 1:
        node.fail(f"it gathers along the axis 0 of blocks along the last one, not along {axes}")
    if not type_of(data).dtype.is_integer:
        node.fail("its table is of floats of 8 bits; of integers it is imported")
    packed = type_of(data).dtype.name == "uint8" and not _is_whole(data, scales, block)
    rows = ops.take(data, positions, 0)
    given = ops.take(scales, positions, 0)
    values = _unpacked(node, rows, bits) if packed else ops.cast(rows, "int32")
    *outer, size = type_of(values).shape
    blocks = type_of(given).shape[-1]
    if size != blocks * block:
        node.fail(f"{size} numbers in {blocks} blocks of {block}")
    values = ops.reshape(values, (*outer, blocks, block))
    zero: Any = 2 ** (bits - 1) if type_of(data).dtype.name == "uint8" else 0
    if zeros is not None:
        own = ops.take(zeros, positions, 0)
        own = _unpacked(node, own, bits) if packed else ops.cast(own, "int32")
        zero = ops.expand_dims(ops.get_item(own, (..., slice(0, blocks))), -1)
    exact = ops.cast(ops.subtract(values, zero), type_of(given).dtype)
    return ops.reshape(ops.multiply(exact, ops.expand_dims(given, -1)), (*outer, size))


def _is_whole(data: Any, scales: Any, block: int) -> bool:
    """Whether each byte is a number, and not several."""
    return bool(type_of(data).shape[-1] == type_of(scales).shape[-1] * block)


def _unpacked(node: Node, x: Any, bits: int) -> Any:
    """The numbers of ``bits`` bits in bytes, the lowest first."""
    if bits not in (2, 4):
        node.fail(f"numbers of {bits} bits in bytes; there are such of 2, 4 and 8")
    x = ops.cast(x, "int32")
    parts = [ops.bitwise_and(ops.right_shift(x, i), 2**bits - 1) for i in range(0, 8, bits)]
    *outer, size = type_of(x).shape
    return ops.reshape(ops.stack(parts, -1), (*outer, size * len(parts)))


# ---------------------------------------------------------------- gates


def _scaled_silu(node: Node, x: Any, scale: Any = None) -> Any:
    scaled = ops.multiply(x, node["alpha"] if scale is None else scale)
    return ops.multiply(scaled, ops.sigmoid(scaled))


def _gated_add(node: Node, x: Any, y: Any, gate: Any) -> Any:
    return ops.add(x, ops.multiply(y, gate))


GATES: dict[str, Callable[[Any], Any]] = {"silu": ops.silu, "swish": ops.silu, "sigmoid": ops.sigmoid}


def _gated_norm(node: Node, x: Any, scale: Any, gate: Any) -> Any:
    """A root mean square norm of each head, times an activation of a gate."""
    function = GATES.get(node["activation"])
    if function is None:
        node.fail(f"the activation {node['activation'][:80]!r} is not one of {', '.join(GATES)}")
    scale, given = node.weight(scale), type_of(x)
    (size,), last = type_of(scale).shape, given.shape[-1]
    if not isinstance(size, int) or not isinstance(last, int) or last % size:
        node.fail(f"{last} features for norms of {size}")
    heads = ops.reshape(ops.cast(x, "float32"), (*given.shape[:-1], last // size, size))
    normal = ops.rms_norm(heads, ops.cast(scale, "float32"), axis=-1, epsilon=node["epsilon"])
    gated = ops.multiply(ops.reshape(normal, given.shape), function(ops.cast(gate, "float32")))
    return ops.cast(gated, given.dtype)


def _matmul_activation(node: Node, x: Any, y: Any) -> Any:
    product = fused_matmul(node, x, y)
    if node["activation"] == "Softmax":
        return ops.softmax(product, axis_of(node, node["activation_axis"], rank(product)))
    function = FUNCTIONS.get(node["activation"])
    if function is None:
        node.fail(
            f"the activation {node['activation'][:80]!r} is not one of {', '.join(FUNCTIONS)[2:]}, Softmax"
        )
    given = (node[f"activation_{name}"] for name in ("alpha", "beta", "gamma"))
    return function(product, *(number for number in given if number is not None))


def _bias_dropout(
    node: Node, x: Any, bias: Any, residual: Any = None, ratio: Any = None, training: Any = None
) -> Any:
    if training is not None and bool(np.reshape(training, ())):
        node.fail("it draws random numbers, of a seed of ONNX Runtime's; export the model for inference")
    total = ops.add(x, node.weight(bias))
    total = total if residual is None else ops.add(total, residual)
    return total, ops.ones_like(x, "bool") if node.wants(1) else None


def _all_finite(node: Node, *xs: Any) -> Any:
    if node["isinf_only"] and node["isnan_only"]:
        node.fail("isinf_only and isnan_only exclude one another")
    bad = ops.isinf if node["isinf_only"] else ops.isnan if node["isnan_only"] else None
    each = [ops.all(ops.isfinite(x) if bad is None else ops.logical_not(bad(x))) for x in xs]
    total = each[0]
    for one in each[1:]:
        total = ops.logical_and(total, one)
    return total


DOMAIN = "com.microsoft"
_MATMUL = {"alpha": 1.0, "transA": 0, "transB": 0, "transBatchA": 0, "transBatchB": 0}
TABLE_OF = {
    DOMAIN: {
        "Range": _as_standard(creation.TABLE["Range"]),
        "GatherND": _as_standard(index.TABLE["GatherND"], batch_dims=0),
        "GridSample": _as_standard(
            images.TABLE["GridSample"], align_corners=0, mode="bilinear", padding_mode="zeros"
        ),
        "Pad": _as_standard(shape.TABLE["Pad"], mode="constant"),
        "UnfoldTensor": Row(_unfold, attributes={"dim": -1, "size": NEEDED, "step": 1}),
        "TorchEmbedding": Row(_embedding, weights=(0,), attributes={}),
        "MulInteger": Row(_multiply_integers, attributes={}),
        "ReduceSumInteger": Row(_sum_integers, attributes={"axes": NEEDED, "keepdims": NEEDED}),
        "MatMulInteger16": Row(lambda node, x, y: ops.matmul(_wide(x), _wide(y)), attributes={}),
        "GatherBlockQuantized": Row(
            _block_table,
            state=(2,),
            attributes={"bits": 4, "block_size": 128, "gather_axis": 0, "quantize_axis": 1},
        ),
        "ScaledSiLU": Row(_scaled_silu, attributes={"alpha": 1.0}),
        "GatedAdd": Row(_gated_add, attributes={}),
        "GatedRMSNorm": Row(_gated_norm, weights=(1,), attributes={"activation": "silu", "epsilon": 1e-5}),
        "FusedMatMulActivation": Row(
            _matmul_activation,
            weights=(0, 1),
            attributes={
                **_MATMUL, "activation": NEEDED, "activation_alpha": None, "activation_axis": None,
                "activation_beta": None, "activation_gamma": None,
            },
        ),
        "BiasDropout": Row(_bias_dropout, known=(4,), weights=(1,), attributes={"seed": None}),
        "IsAllFinite": Row(_all_finite, attributes={"isinf_only": 0, "isnan_only": 0}),
    }
}  # fmt: skip

_DEVICES = "ONNX Runtime has no kernel of it for CPUs, beside which it could be judged"
_WORDS = "it makes words or numbers of texts, which is done on the host before a model"
_TRAINING = "it is written by ONNX Runtime's training, whose random numbers have seeds of their own"
_VENDOR = "it holds a program for one vendor's device"
_ORDERED = (
    "its integers are laid out for kernels of CUDA; quantized forms in ONNX's own operators are imported"
)
_OWN = "ONNX's own operator of that name is imported, in its operator sets from 26 on"
_FAMILY = (
    "it fuses operators of ONNX, which are imported, for one family of models; take the model before that"
)
_SEARCH = "it is a part of a search for texts, which ONNX Runtime's own loop runs"
_FLOATS = (
    "its floats of 4 or 8 bits are packed as a kernel of ONNX Runtime wants them; MatMulNBits is imported"
)
_SPARSE = "its positions are chosen by a kernel of ONNX Runtime"
_EARLY = "it is an early form of operators that ONNX has now, which are imported"
UNSUPPORTED = {
    (DOMAIN, name): why
    for why, names in (
        (_DEVICES, "ComplexMul ComplexMulConj Rfft Irfft GemmFloat8 GemmaRotaryEmbedding RelativePositionBias "
                   "GatedRelativePositionBias GatedDeltaNet VarlenCausalConvWithState"),
        (_WORDS, "Tokenizer MurmurHash3 WordConvEmbedding NGramHashMapping VarlenNGramHashMapping"),
        (_TRAINING, "BitmaskDropout BitmaskBiasDropout"),
        (_VENDOR, "EPContext Snpe"),
        (_ORDERED, "QOrderedAttention QOrderedGelu QOrderedLayerNormalization QOrderedLongformerAttention "
                   "QOrderedMatMul QuantizeWithOrder DequantizeWithOrder QuantizeBFP DequantizeBFP"),
        (_OWN, "CausalConvWithState LinearAttention"),
        (_FAMILY, "BranchwiseRMSNorm EngramGate HyperConnectionPostMix HyperConnectionPreMix LinearAttentionGate "
                  "MRotaryEmbedding"),
        (_SEARCH, "BifurcationDetector NGramRepeatBlock DynamicTimeWarping"),
        (_FLOATS, "MatMulBlockQuantizedFp4Weight MatMulBlockQuantizedFp8Weight MatMulFpQ4 MatMulNBitsMlp "
                  "MatMulNBitsQkv"),
        (_SPARSE, "DynamicSparseAttention PackedSparseAttentionIndexer SparseAttentionIndexer SparsePagedAttention "
                  "SparseToDenseMatMul"),
        (_EARLY, "AttnLSTM ConvTransposeWithDynamicPads CropAndResize MaxpoolWithMask Unique"),
        ("its tables are quantized one by one; EmbedLayerNormalization is imported", "QEmbedLayerNormalization"),
        ("it pools integers with their channels last; MaxPool is imported", "NhwcMaxPool"),
        ("it is an example of how operators are added to ONNX Runtime", "SampleOp"),
    )
    for name in names.split()
}  # fmt: skip
"""Why an operator of ONNX Runtime 1.31 has no row."""
