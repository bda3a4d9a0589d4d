"""Operators of ``com.microsoft``, each as a model of one node, beside ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import unifront as uf
from tests.onnx.runtimes import runtime
from unifront.errors import FileFormatError, UnsupportedOp
from unifront.onnx import backend as backends
from unifront.onnx.imports import reasons, rows
from unifront.onnx.imports.node import NEEDED
from unifront.testing import assert_close

DOMAIN = "com.microsoft"
R = np.random.default_rng(10)


def f(*shape: int) -> np.ndarray:
    return R.normal(size=shape).astype("float32")


def u8(*shape: int) -> np.ndarray:
    return R.integers(0, 256, shape).astype("uint8")


def i8(*shape: int) -> np.ndarray:
    return R.integers(-128, 128, shape).astype("int8")


def i7(*shape: int) -> np.ndarray:
    """Weights of 7 bits: on processors without VNNI ONNX Runtime adds two products of 8 bits in 16, which saturate
    (onnxruntime.ai, "Quantize ONNX models", reduce_range)."""
    return i8(*shape) // 2


def i32(*values: Any) -> np.ndarray:
    return np.array(values, "int32")


def one(value: float) -> np.ndarray:
    return np.array(value, "float32")


def angles(length: int, pairs: int) -> tuple[np.ndarray, np.ndarray]:
    places = np.outer(np.arange(length), 10.0 ** -np.arange(pairs)).astype("float32")
    return np.cos(places), np.sin(places)


@dataclass(frozen=True)
class Case:
    """A node; operands that are floats of rank 1 or 2, or integers, may be initializers (by their places)."""

    op: str
    operands: tuple[np.ndarray | None, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: tuple[str, ...] = ("y",)
    weights: tuple[int, ...] = ()
    steps: int = 0
    """By how many integers a quantized result may be off, in one of a hundred places."""
    compared: tuple[int, ...] | None = None

    def model(self) -> Any:
        names = [f"x{i}" if array is not None else "" for i, array in enumerate(self.operands)]
        node = helper.make_node(self.op, names, list(self.outputs), "layer", domain=DOMAIN, **self.attributes)
        given = [
            (i, n, a) for i, (n, a) in enumerate(zip(names, self.operands, strict=True)) if a is not None
        ]
        graph = helper.make_graph(
            [node],
            "g",
            [
                helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
                for i, n, a in given
                if i not in self.weights
            ],
            [helper.make_empty_tensor_value_info(name) for name in self.outputs if name not in ("", "none")],
            [numpy_helper.from_array(a, n) for i, n, a in given if i in self.weights],
        )
        imports = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, 1)]
        return helper.make_model(graph, opset_imports=imports, ir_version=9)

    def inputs(self) -> list[np.ndarray]:
        return [a for i, a in enumerate(self.operands) if a is not None and i not in self.weights]


QKV = f(2, 3, 4), f(4, 12), f(12)
QUERY, KEY, VALUE = f(2, 3, 8), f(2, 5, 8), f(2, 5, 12)
PAST = f(2, 2, 2, 3, 2)
GROUPS = f(2, 3, 32), f(2, 3, 16), f(2, 3, 16)
COS, SIN = angles(16, 2)
TURNS = angles(16, 8)
IMAGE = f(2, 4, 6, 5)
A8, B8 = u8(3, 5), u8(3, 5)
PLAIN: dict[str, Case] = {
    "gelu": Case("Gelu", (f(3, 5),)),
    "bias gelu": Case("BiasGelu", (f(3, 5), f(5)), weights=(1,)),
    "fast gelu": Case("FastGelu", (f(3, 5),)),
    "fast gelu with a bias": Case("FastGelu", (f(3, 5), f(5)), weights=(1,)),
    "quick gelu": Case("QuickGelu", (f(3, 5),), {"alpha": 1.5}),
    "matmul": Case("FusedMatMul", (f(2, 3, 4), f(2, 4, 5)), {"alpha": 0.5}),
    "matmul transposed": Case("FusedMatMul", (f(2, 4, 3), f(2, 5, 4)), {"transA": 1, "transB": 1}),
    "matmul of a weight": Case("FusedMatMul", (f(2, 3, 4), f(5, 4)), {"transB": 1}, weights=(1,)),
    "matmul, batches behind": Case("FusedMatMul", (f(3, 2, 4), f(2, 4, 5)), {"transBatchA": 1}),
    "matmul, batches behind, turned": Case(
        "FusedMatMul", (f(3, 2, 4), f(4, 2, 5)), {"transBatchA": 1, "transBatchB": 1}
    ),
    "gemm": Case("FusedGemm", (f(3, 4), f(4, 5), f(5)), {"activation": "Relu"}, weights=(1, 2)),
    "gemm with numbers": Case(
        "FusedGemm",
        (f(4, 3), f(5, 4), f(5)),
        {"activation": "LeakyRelu", "activation_alpha": 0.3, "transA": 1, "transB": 1, "alpha": 2.0, "beta": 0.5},
        weights=(1, 2),
    ),
    "conv": Case(
        "FusedConv", (IMAGE, f(3, 4, 3, 3), f(3)), {"activation": "Relu", "pads": [1, 1, 1, 1]}, weights=(1, 2)
    ),
    "conv and a sum": Case(
        "FusedConv",
        (IMAGE, f(3, 4, 3, 3), f(3), f(2, 3, 4, 3)),
        {"activation": "Clip", "activation_params": [-0.5, 0.7]},
        weights=(1, 2),
    ),
    "conv, leaky": Case(
        "FusedConv", (IMAGE, f(4, 1, 3, 3)), {"activation": "LeakyRelu", "activation_params": [0.2], "group": 4}
    ),
    "skip norm": Case("SkipLayerNormalization", (f(2, 3, 4), f(2, 3, 4), f(4), f(4)), {"epsilon": 1e-5}),
    "skip norm with all": Case(
        "SkipLayerNormalization",
        (f(2, 3, 4), f(2, 3, 4), f(4), f(4), f(4)),
        {"epsilon": 1e-5},
        ("y", "", "", "sum"),
        weights=(2, 3, 4),
    ),
    "skip norm, one skip for all": Case("SkipLayerNormalization", (f(2, 3, 4), f(1, 3, 4), f(4)), {"epsilon": 1e-5}),
    "skip root mean square": Case(
        "SkipSimplifiedLayerNormalization",
        (f(2, 3, 4), f(2, 3, 4), f(4), f(4)),
        {"epsilon": 1e-5},
        ("y", "", "", "sum"),
    ),
    "embeddings": Case(
        "EmbedLayerNormalization",
        (
            i32([1, 2, 0], [3, 3, 1]), i32([0, 1, 1], [0, 0, 1]), f(4, 6), f(5, 6), f(2, 6), f(6), f(6),
            i32([1, 1, 0], [1, 0, 0]),
        ),
        {"epsilon": 1e-5, "mask_index_type": 1},
        ("y", "mask", "sum"),
        weights=(2, 3, 4, 5, 6),
    ),
    "embeddings without segments": Case(
        "EmbedLayerNormalization",
        (i32([1, 2, 0]), None, f(4, 6), f(5, 6), None, f(6), f(6), None, i32([2, 0, 4])),
        {"epsilon": 1e-5},
        ("y", "none"),
        weights=(2, 3, 5, 6),
    ),
    "attention": Case("Attention", QKV, {"num_heads": 2}, weights=(1, 2)),
    "attention, causal": Case("Attention", QKV, {"num_heads": 2, "unidirectional": 1}),
    "attention, lengths": Case("Attention", (*QKV, i32(3, 1)), {"num_heads": 2}),
    "attention, ends and starts": Case("Attention", (*QKV, i32(3, 2, 1, 0)), {"num_heads": 2}),
    "attention, mask": Case("Attention", (*QKV, i32([1, 1, 0], [0, 1, 1])), {"num_heads": 2, "scale": 0.3}),
    "attention, nothing counts": Case("Attention", (*QKV, i32([0, 0, 0], [0, 1, 1])), {"num_heads": 2}),
    "attention, mask of pairs": Case(
        "Attention", (*QKV, R.integers(0, 2, (2, 3, 3)).astype("int32")), {"num_heads": 2, "mask_filter_value": -3.0}
    ),
    "attention, bias": Case("Attention", (*QKV, None, None, f(1, 2, 3, 3)), {"num_heads": 2}),
    "attention, other values": Case(
        "Attention", (f(2, 3, 4), f(4, 14), f(14)), {"num_heads": 2, "qkv_hidden_sizes": [4, 4, 6]}
    ),
    "attention, past": Case(
        "Attention", (*QKV, None, PAST), {"num_heads": 2, "unidirectional": 1}, ("y", "present")
    ),
    "attention, past and mask": Case(
        "Attention", (*QKV, i32([1] * 6, [0, 1, 1, 1, 0, 1]), PAST), {"num_heads": 2, "unidirectional": 1}, ("y", "present")
    ),
    "heads": Case("MultiHeadAttention", (QUERY, KEY, VALUE), {"num_heads": 2}),
    "heads, bias": Case("MultiHeadAttention", (QUERY, KEY, VALUE, f(28)), {"num_heads": 4}, weights=(3,)),
    "heads, padding": Case(
        "MultiHeadAttention", (QUERY, KEY, VALUE, None, i32([1] * 5, [1, 1, 0, 0, 0])), {"num_heads": 2}
    ),
    "heads, lengths and a bias of pairs": Case(
        "MultiHeadAttention", (QUERY, KEY, VALUE, None, i32(4, 2), f(2, 2, 3, 5)), {"num_heads": 2}
    ),
    "heads, projected": Case("MultiHeadAttention", (QUERY, f(2, 2, 5, 4), f(2, 2, 5, 4)), {"num_heads": 2}),
    "heads, past": Case(
        "MultiHeadAttention",
        (QUERY, f(2, 3, 8), f(2, 3, 8), None, None, None, f(2, 2, 4, 4), f(2, 2, 4, 4)),
        {"num_heads": 2, "unidirectional": 1},
        ("y", "key", "value"),
    ),
    "rotary": Case("RotaryEmbedding", (f(2, 3, 8), np.array([[0, 1, 2], [3, 4, 5]]), COS, SIN)),
    "rotary, one offset": Case("RotaryEmbedding", (f(2, 3, 8), np.array([2]), COS, SIN), weights=(2, 3)),
    "rotary, interleaved, of heads": Case(
        "RotaryEmbedding", (f(2, 3, 4, 4), np.array([[0, 1, 2, 3], [3, 4, 5, 6]]), COS, SIN), {"interleaved": 1}
    ),
    "rotary, in part": Case(
        "RotaryEmbedding",
        (f(2, 3, 16), np.array([[0, 1, 2], [3, 4, 5]]), COS, SIN),
        {"rotary_embedding_dim": 4, "num_heads": 2},
    ),
    "grouped": Case(
        "GroupQueryAttention", (*GROUPS, None, None, i32(2, 2), i32(3)), {"num_heads": 4, "kv_num_heads": 2},
        ("y", "key", "value"), weights=(6,),
    ),
    "grouped, side by side, rotary": Case(
        "GroupQueryAttention",
        (f(2, 3, 128), None, None, None, None, i32(2, 2), i32(3), *TURNS),
        {"num_heads": 4, "kv_num_heads": 2, "do_rotary": 1},
        ("y", "key", "value"), weights=(6, 7, 8),
    ),
    "grouped, a step on": Case(
        "GroupQueryAttention",
        (f(2, 1, 64), f(2, 1, 32), f(2, 1, 32), f(2, 2, 5, 16), f(2, 2, 5, 16), i32(5, 3), i32(6), *TURNS),
        {"num_heads": 4, "kv_num_heads": 2, "do_rotary": 1, "rotary_interleaved": 1, "scale": 0.4},
        ("y", "key", "value"), weights=(6,),
    ),
    "grouped, several steps on": Case(
        "GroupQueryAttention",
        (f(1, 3, 32), f(1, 3, 16), f(1, 3, 16), f(1, 2, 5, 8), f(1, 2, 5, 8), i32(7), i32(8)),
        {"num_heads": 4, "kv_num_heads": 2},
        ("y", "key", "value"), weights=(6,),
    ),
    "grouped, bounded": Case(
        "GroupQueryAttention",
        (f(1, 3, 32), f(1, 3, 16), f(1, 3, 16), f(1, 2, 5, 8), f(1, 2, 5, 8), i32(7), i32(8)),
        {"num_heads": 4, "kv_num_heads": 2, "softcap": 1.5, "smooth_softmax": 1},
        ("y", "key", "value"), weights=(6,),
    ),
    "grouped, a window": Case(
        "GroupQueryAttention",
        (f(1, 6, 32), f(1, 6, 16), f(1, 6, 16), None, None, i32(5), i32(6)),
        {"num_heads": 4, "kv_num_heads": 2, "local_window_size": 2},
        ("y", "key", "value"), weights=(6,),
    ),
    "grouped, sinks": Case(
        "GroupQueryAttention",
        (*GROUPS, None, None, i32(2, 2), i32(3), None, None, None, f(1, 4, 3, 3), f(4)),
        {"num_heads": 4, "kv_num_heads": 2},
        ("y", "key", "value"), weights=(6,),
    ),
    "distances": Case("CDist", (f(3, 4), f(5, 4)), {"metric": "euclidean"}),
    "squared distances": Case("CDist", (f(3, 4), f(5, 4))),
    "inverse": Case("Inverse", (f(2, 3, 3) + 3 * np.eye(3, dtype="float32"),)),
    "triangle": Case("Trilu", (f(3, 4), np.array(1)), {"upper": 0}, weights=(1,)),
    "one axis more": Case("ExpandDims", (f(3, 4), i32(1).reshape(())), weights=(1,)),
}  # fmt: skip
SCALES = one(0.02), np.uint8(120), one(0.03), np.uint8(130)
QUANTIZED: dict[str, Case] = {
    "add": Case("QLinearAdd", (A8, one(0.021), u8(), B8, one(0.033), u8(), one(0.047), np.array(99, "uint8"))),
    "add, one row": Case("QLinearAdd", (i8(3, 5), one(0.021), i8(), i8(5), one(0.033), i8(), one(0.047), i8())),
    "multiply": Case("QLinearMul", (A8, one(0.02), u8(), B8, one(0.03), u8(), one(0.4), np.array(99, "uint8"))),
    "sigmoid": Case("QLinearSigmoid", (A8, one(0.05), u8(), one(1 / 256), np.array(0, "uint8"))),
    "leaky": Case("QLinearLeakyRelu", (i8(3, 5), one(0.05), i8(), one(0.06), i8()), {"alpha": 0.2}),
    "softmax": Case(
        "QLinearSoftmax", (A8, one(0.05), np.array(128, "uint8"), one(1 / 256), np.array(0, "uint8")),
        {"axis": -1, "opset": 13}, weights=(1, 2, 3, 4), steps=1,
    ),
    "softmax, older": Case(
        "QLinearSoftmax", (u8(2, 3, 4), one(0.05), np.array(128, "uint8"), one(1 / 256), np.array(0, "uint8")),
        {"axis": 1, "opset": 12}, weights=(1, 2, 3, 4), steps=1,
    ),
    "pool": Case(
        "QLinearAveragePool", (u8(2, 3, 6, 6), one(0.0513), u8(), one(0.0437), u8()),
        {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]},
    ),
    "pool, channels last": Case(
        "QLinearAveragePool", (u8(2, 6, 6, 3), one(0.0513), u8(), one(0.0437), u8()),
        {"kernel_shape": [2, 2], "channels_last": 1, "count_include_pad": 1, "pads": [1, 0, 0, 1]},
    ),
    "global pool": Case(
        "QLinearGlobalAveragePool", (u8(2, 3, 6, 6), one(0.05), np.array(100, "uint8"), one(0.04), np.array(90, "uint8")),
        {"channels_last": 0}, steps=1,
    ),
    "where": Case(
        "QLinearWhere",
        (R.random((3, 5)) > 0.5, A8, one(0.05), u8(), B8, one(0.04), u8(), one(0.06), u8()),
        weights=(2, 3, 5, 6, 7, 8),
    ),
    "concatenate": Case(
        "QLinearConcat", (one(0.05), np.array(90, "uint8"), A8, one(0.04), u8(), u8(2, 5), one(0.06), u8()), {"axis": 0},
        weights=(0, 1, 3, 4, 6, 7),
    ),
    "conv": Case(
        "QLinearConv",
        (u8(2, 6, 6, 3), one(0.02), np.array(128, "uint8"), i7(4, 3, 3, 3), f(4) ** 2 * 0.01 + 0.01, np.zeros(4, "int8"), one(0.3), np.array(128, "uint8"), R.integers(-99, 99, 4).astype("int32")),
        {"channels_last": 1, "pads": [1, 1, 1, 1]}, weights=(1, 2, 3, 4, 5, 6, 7, 8), steps=1,
    ),
    "gemm": Case(
        "QGemm",
        (u8(3, 5), one(0.02), np.array(120, "uint8"), i7(5, 4), f(4) ** 2, np.zeros(4, "int8"), R.integers(-999, 999, 4).astype("int32"), one(2.0), np.array(100, "uint8")),
        weights=(1, 2, 3, 4, 5, 6, 7, 8), steps=1,
    ),
    "gemm to floats": Case(
        "QGemm", (u8(5, 3), one(0.02), np.array(120, "uint8"), i7(4, 5), one(0.1), np.array(3, "int8")),
        {"transA": 1, "transB": 1}, weights=(1, 2, 3, 4, 5),
    ),
    "product to floats": Case(
        "MatMulIntegerToFloat", (u8(2, 3, 5), i7(5, 4), one(0.02), f(4) ** 2, np.array(120, "uint8"), i8(4), f(4)),
        weights=(1, 2, 3, 4, 5, 6),
    ),
    "dynamic product": Case(
        "DynamicQuantizeMatMul", (f(2, 3, 5), i7(5, 4), f(4) ** 2, i8(4), f(4)), weights=(1, 2, 3, 4)
    ),
    "attention": Case(
        "QAttention",
        (u8(2, 3, 4), i7(4, 12), f(12), one(0.02), one(0.01), i32(3, 2), np.array(128, "uint8"), np.array(0, "int8")),
        {"num_heads": 2}, weights=(1, 2, 3, 4, 6, 7),
    ),
    "quantize": Case("QuantizeLinear", (f(3, 4), one(0.02), np.array(7, "int8"))),
    "quantize each column": Case("QuantizeLinear", (f(3, 4), f(4) ** 2 + 0.01, np.zeros(4, "int16")), {"axis": 1}),
    "dequantize": Case("DequantizeLinear", (i8(3, 4), f(3), i8(3)), {"axis": 0}),
    "four bits": Case(
        "MatMulNBits", (f(3, 40), u8(5, 3, 8), f(15)), {"K": 40, "N": 5, "bits": 4, "block_size": 16},
        weights=(1, 2),
    ),
    "four bits, zero points": Case(
        "MatMulNBits", (f(2, 3, 32), u8(5, 2, 8), f(10), u8(5), None, f(5)), {"K": 32, "N": 5, "bits": 4, "block_size": 16},
        weights=(1, 2, 3, 5),
    ),
    "eight bits": Case(
        "MatMulNBits", (f(3, 32), u8(5, 2, 16), f(10)), {"K": 32, "N": 5, "bits": 8, "block_size": 16}, weights=(1, 2),
    ),
}  # fmt: skip


TABLE = u8(5, 16)
PLAIN |= {
    "range": Case("Range", (one(1), one(8), one(1.5)), weights=(0, 1, 2)),
    "gather": Case("GatherND", (f(3, 4), np.array([[0, 1], [2, 3]], "int64"))),
    "grid": Case(
        "GridSample",
        (f(1, 2, 4, 5), R.uniform(-1, 1, (1, 3, 3, 2)).astype("float32")),
        {"padding_mode": "border", "align_corners": 1},
    ),
    "pad": Case("Pad", (f(2, 3), np.array([0, 1, 1, 0]), np.array([2.0], "float32")), weights=(1, 2)),
    "pad by reflection": Case("Pad", (f(2, 3), np.array([0, 1, 1, 0])), {"mode": "reflect"}, weights=(1,)),
    "slices": Case("UnfoldTensor", (f(2, 6),), {"size": 3, "step": 2}),
    "slices along the first axis": Case("UnfoldTensor", (f(5, 2),), {"size": 3, "dim": 0}),
    "table of bytes": Case(
        "GatherBlockQuantized",
        (u8(5, 32), np.array([[0, 4], [2, 2]]), f(5, 2)),
        {"bits": 8, "block_size": 16},
        weights=(0, 2),
    ),
    "table of 4 bits": Case(
        "GatherBlockQuantized", (TABLE, i32(1, 3), f(5, 2)), {"bits": 4, "block_size": 16}, weights=(0, 2)
    ),
    "table of 4 bits and zeros": Case(
        "GatherBlockQuantized",
        (TABLE, i32(1, 3), f(5, 2), u8(5, 1)),
        {"bits": 4, "block_size": 16},
        weights=(0, 2, 3),
    ),
    "table of 2 bits": Case(
        "GatherBlockQuantized",
        (TABLE, i32(4, 0), f(5, 4), u8(5, 1)),
        {"bits": 2, "block_size": 16},
        weights=(0, 2, 3),
    ),
    "scaled silu": Case("ScaledSiLU", (f(3, 5),), {"alpha": 1.5}),
    "silu scaled by a tensor": Case("ScaledSiLU", (f(3, 5), one(0.5))),
    "gated sum": Case("GatedAdd", (f(3, 5), f(3, 5), f(3, 1))),
    "gated norm of heads": Case("GatedRMSNorm", (f(2, 3, 8), f(4), f(2, 3, 8)), weights=(1,)),
    "gated norm": Case(
        "GatedRMSNorm",
        (f(2, 3, 8), f(8), f(2, 3, 8)),
        {"activation": "sigmoid", "epsilon": 1e-3},
        weights=(1,),
    ),
}
QUANTIZED |= {
    "products of 16 bits": Case(
        "MatMulInteger16", tuple(R.integers(-99, 99, shape).astype("int16") for shape in ((3, 4), (4, 2)))
    ),
}


def found(case: Case) -> list[np.ndarray]:
    return list(backends.get("numpy").prepare(case.model()).run(case.inputs()))


@pytest.mark.parametrize("name", PLAIN)
def test_floats_agree_with_onnx_runtime(name: str) -> None:
    case = PLAIN[name]
    for ours, theirs in zip(found(case), runtime(case.model(), case.inputs()), strict=True):
        assert_close(ours, theirs)


@pytest.mark.parametrize("name", QUANTIZED)
def test_integers_agree_with_onnx_runtime(name: str) -> None:
    """All numbers are equal, but where ONNX Runtime takes its exponentials and means from tables and other roundings."""
    case = QUANTIZED[name]
    for ours, theirs in zip(found(case), runtime(case.model(), case.inputs()), strict=True):
        if theirs.dtype.kind == "f":
            assert_close(ours, theirs)
            continue
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
        off = np.abs(ours.astype(int) - theirs.astype(int))
        assert off.max(initial=0) <= case.steps


def test_every_operator_is_tried() -> None:
    tried = {case.op for case in (*PLAIN.values(), *QUANTIZED.values())}
    there = {name for domain, name in rows() if domain == DOMAIN}
    assert there - tried == set(FORMULAS)
    assert not there & {name for domain, name in reasons() if domain == DOMAIN}


def _np_gelu(x: np.ndarray) -> np.ndarray:
    from scipy.special import erf

    return x * 0.5 * (1 + erf(x / np.sqrt(2)))


def _np_group_norm(x: np.ndarray, scale: Any, shift: Any, groups: int, epsilon: float) -> np.ndarray:
    parts = x.reshape(len(x), -1, groups, x.shape[-1] // groups)  # channels last
    mean, variance = parts.mean((1, 3), keepdims=True), parts.var((1, 3), keepdims=True)
    return ((parts - mean) / np.sqrt(variance + epsilon)).reshape(x.shape) * scale + shift


def _silu(x: np.ndarray) -> np.ndarray:
    return x / (1 + np.exp(-x))


X4, G4, B4, SKIP4 = f(2, 3, 3, 4), f(4), f(4), f(2, 4)
W3, I3 = f(3, 2, 2, 4), i8(2, 3, 4)
BYTES = u8(3, 4), np.array(3, "uint8"), u8(4), np.array(5, "uint8")
LEFT, RIGHT = f(2, 3, 4), f(2, 5, 4)


def _np_softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


FORMULAS: dict[str, tuple[Case, Callable[[], list[np.ndarray]]]] = {
    "TorchEmbedding": (
        Case("TorchEmbedding", (X4[0, 0], np.array([[0, 2], [1, 1]])), weights=(0,)),
        lambda: [X4[0, 0][[[0, 2], [1, 1]]]],
    ),
    "MulInteger": (Case("MulInteger", BYTES), lambda: [(BYTES[0].astype("int32") - 3) * (BYTES[2].astype("int32") - 5)]),
    "ReduceSumInteger": (
        Case("ReduceSumInteger", (BYTES[0],), {"axes": [1], "keepdims": 0}),
        lambda: [BYTES[0].sum(1, dtype="int32")],
    ),
    "FusedMatMulActivation": (
        Case("FusedMatMulActivation", (LEFT, RIGHT), {"transB": 1, "activation": "Softmax", "activation_axis": -1}),
        lambda: [_np_softmax(LEFT @ RIGHT.transpose(0, 2, 1))],
    ),
    "BiasDropout": (Case("BiasDropout", (X4[:, 0], B4, X4[:, 1])), lambda: [X4[:, 0] + B4 + X4[:, 1]]),
    "IsAllFinite": (Case("IsAllFinite", (B4, np.array([np.inf, 1], "float32"))), lambda: [np.array(False)]),
    "BiasSplitGelu": (
        Case("BiasSplitGelu", (X4[:, 0], B4)),
        lambda: [(X4[:, 0] + B4)[..., :2] * _np_gelu((X4[:, 0] + B4)[..., 2:])],
    ),
    "BiasAdd": (Case("BiasAdd", (X4[:, 0], B4, X4[:, 1])), lambda: [X4[:, 0] + B4 + X4[:, 1]]),
    "GroupNorm": (
        Case("GroupNorm", (X4, G4, B4), {"activation": 1, "groups": 2, "epsilon": 1e-3}),
        lambda: [_silu(_np_group_norm(X4, G4, B4, 2, 1e-3))],
    ),
    "SkipGroupNorm": (
        Case("SkipGroupNorm", (X4, G4, B4, SKIP4), {"activation": 0, "groups": 2}, ("y", "sum")),
        lambda: [_np_group_norm(X4 + SKIP4[:, None, None], G4, B4, 2, 1e-5), X4 + SKIP4[:, None, None]],
    ),
    "BiasSoftmax": (
        Case("BiasSoftmax", (X4[0], B4), {"axis": 1, "is_inner_broadcast": 0}),
        lambda: [(lambda e: e / e.sum((1, 2), keepdims=True))(np.exp(X4[0] + B4))],
    ),
    "NhwcConv": (
        Case("NhwcConv", (X4, W3, f(3)), {"strides": [1, 1]}, weights=(1,)),
        lambda: [_np_conv(X4, W3) + FORMULAS["NhwcConv"][0].operands[2]],
    ),
    "NhwcFusedConv": (
        Case("NhwcFusedConv", (X4, W3.transpose(0, 3, 1, 2)), {"activation": "Relu"}, weights=(1,)),
        lambda: [np.maximum(_np_conv(X4, W3), 0)],
    ),
    "QLinearReduceMean": (
        Case(
            "QLinearReduceMean",
            (I3, one(0.05), np.int8(3), one(0.04), np.int8(-7)),
            {"axes": [1], "keepdims": 0},
        ),
        lambda: [np.clip(np.rint((I3 - 3.0).mean(1) * 0.05 / 0.04) - 7, -128, 127).astype("int8")],
    ),
    "GemmFastGelu": (
        Case("GemmFastGelu", (X4[:, 0], f(4, 5)), weights=(1,)),
        lambda: [_np_fast_gelu(X4[:, 0] @ FORMULAS["GemmFastGelu"][0].operands[1])],
    ),
    "TransposeMatMul": (
        Case("TransposeMatMul", (X4[:, 0], X4[:, 1]), {"transB": 1, "alpha": 2.0}),
        lambda: [2 * X4[:, 0] @ X4[:, 1].swapaxes(1, 2)],
    ),
}  # fmt: skip
"""Operators of which ONNX Runtime has kernels for GPUs alone, and what the documentation says that they compute."""


def _np_fast_gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def _np_conv(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[1:3], (1, 2))  # [n, h, w, c, kh, kw]
    return np.einsum("nhwcij,oijc->nhwo", windows, w)


@pytest.mark.parametrize("name", FORMULAS)
def test_operators_of_gpus_are_what_the_documentation_says(name: str) -> None:
    case, formula = FORMULAS[name]
    for ours, wanted in zip(found(case), formula(), strict=True):
        assert_close(ours, wanted.astype("float32") if wanted.dtype.kind == "f" else wanted)


def test_packed_forms_are_those_that_are_not() -> None:
    """Queries, keys and values in one tensor, which the kernels for CPUs do not take."""
    parts = [array.reshape(2, 3, 2, 4) for array in (QUERY, KEY[:, :3], VALUE[:, :3, :8])]
    (wanted,) = runtime(
        Case("MultiHeadAttention", tuple(p.reshape(2, 3, 8) for p in parts), {"num_heads": 2}).model(),
        [p.reshape(2, 3, 8) for p in parts],
    )
    whole = Case("MultiHeadAttention", (np.stack(parts, 3),), {"num_heads": 2})
    half = Case("MultiHeadAttention", (QUERY, np.stack(parts[1:], 3)), {"num_heads": 2})
    for case in (whole, half):
        assert_close(found(case)[0], wanted)


def test_every_operator_of_onnx_runtime_is_imported_or_has_a_reason() -> None:
    state = pytest.importorskip("onnxruntime.capi.onnxruntime_pybind11_state")
    theirs = {one.name for one in state.get_all_operator_schema() if one.domain == DOMAIN}
    known = {name for domain, name in (*rows(), *reasons()) if domain == DOMAIN}
    assert theirs - known == set()


def test_attributes_and_defaults_are_those_of_onnx_runtime() -> None:
    state = pytest.importorskip("onnxruntime.capi.onnxruntime_pybind11_state")
    schemas = {one.name: one for one in state.get_all_operator_schema() if one.domain == DOMAIN}
    for (domain, name), row in rows().items():
        if domain != DOMAIN or name not in schemas:
            continue
        assert row.attributes is not None, name
        theirs = schemas[name].attributes
        assert set(theirs) <= set(row.attributes), name
        for key, attribute in theirs.items():
            own = row.attributes[key]
            assert (own is NEEDED) == bool(attribute.required), (name, key)
            default = onnx.AttributeProto.FromString(attribute._default_value)
            if default.type:
                told = helper.get_attribute_value(default)
                told = told.decode() if isinstance(told, bytes) else told
                assert own == pytest.approx(told) if isinstance(told, float) else own == told, (name, key)


REFUSED: dict[str, tuple[Case, type[Exception], str]] = {
    "unknown attribute": (Case("Gelu", (f(2),), {"alpha": 1.0}), FileFormatError, r"Gelu.*the attribute 'alpha', which the operator has not"),
    "attribute of another type": (Case("QuickGelu", (f(2),), {"alpha": 1}), FileFormatError, "is of another type"),
    "attribute left out": (Case("Attention", QKV), FileFormatError, "lacks the attribute 'num_heads'"),
    "heads that do not fit": (Case("Attention", QKV, {"num_heads": 3}), FileFormatError, "4 features for 3 heads"),
    "unknown activation": (Case("FusedGemm", (f(2, 2), f(2, 2)), {"activation": "Sin"}), FileFormatError, "'Sin' is not one of Relu"),
    "bytes that are too few": (Case("MatMulNBits", (f(3, 32), u8(5, 2, 7), f(10)), {"K": 32, "N": 5, "block_size": 16}, weights=(1,)), FileFormatError, "70 bytes for a matrix of 5 by 32"),
    "a reason": (Case("MoE", (f(2, 2),)), UnsupportedOp, "its experts are chosen"),
    "an example": (Case("SampleOp", (f(2),)), UnsupportedOp, "SampleOp': it is an example of how operators are added"),
    "no reason": (Case("Unheard", (f(2),)), UnsupportedOp, "'layer' .*does not import the operator 'com.microsoft::Unheard'"),
    "another gate": (Case("GatedRMSNorm", (f(2, 8), f(8), f(2, 8)), {"activation": "tanh"}, weights=(1,)), FileFormatError, "'tanh' is not one of silu"),
    "a table along another axis": (Case("GatherBlockQuantized", (u8(16, 4), i32(0), f(1, 4)), {"quantize_axis": 0, "block_size": 16, "bits": 8}, weights=(0, 2)), FileFormatError, "blocks along the last one, not along"),
    "blocks that do not fit": (Case("GatherBlockQuantized", (u8(5, 16), i32(0), f(5, 3)), {"block_size": 16}, weights=(0, 2)), FileFormatError, "32 numbers in 3 blocks of 16"),
    "slices that are too long": (Case("UnfoldTensor", (f(2, 3),), {"size": 4}), FileFormatError, "slices of 4 in steps of 1 along an axis 3 long"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_right_is_refused(name: str) -> None:
    case, error, text = REFUSED[name]
    with pytest.raises(error, match=text):
        uf.from_onnx(case.model())
