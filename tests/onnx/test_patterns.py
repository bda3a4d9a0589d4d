"""What exporters write out becomes the operation that it means, and computes the same; what is nearly so does not."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from unifront import ops
from unifront.dtypes import float32
from unifront.ir.types import TensorType
from unifront.onnx.patterns import find_patterns
from unifront.reference import BACKEND
from unifront.testing import assert_close
from unifront.trace import trace

VECTOR = np.linspace(0.5, 1.5, 6, dtype="float32")


def norm(x: Any, *, product: bool = False, power: bool = False, axes: Any = -1, keep: Any = None) -> Any:
    centred = ops.subtract(x, ops.mean(x, axes, True))
    square = ops.power(centred, np.float32(2)) if power else ops.square(centred if keep is None else keep)
    inner = ops.add(ops.mean(square, axes, True), np.float32(1e-5))
    y = ops.multiply(centred, ops.rsqrt(inner)) if product else ops.divide(centred, ops.sqrt(inner))
    return y


def gelu(x: Any, half: float = 0.5) -> Any:
    erf = ops.erf(ops.divide(x, np.float32(math.sqrt(2))))
    return ops.multiply(ops.multiply(x, ops.add(erf, np.float32(1))), np.float32(half))


def gelu_tanh(x: Any) -> Any:
    cube = ops.multiply(ops.power(x, np.float32(3)), np.float32(0.044715))
    inner = ops.multiply(ops.add(x, cube), np.float32(math.sqrt(2 / math.pi)))
    return ops.multiply(ops.multiply(x, np.float32(0.5)), ops.add(ops.tanh(inner), np.float32(1)))


def directions(x: Any) -> Any:
    stacked = ops.stack([x, ops.negative(x)], 1)
    return ops.reshape(ops.transpose(stacked, (0, 2, 1, 3)), (2, 3, 12))


def heads(
    x: Any, scale: float = 0.5, *, both: bool = False, divide: bool = False, mask: Any = None, low: Any = None
) -> Any:
    """Attention of two heads, as exporters write it out: ``x[2, 3, 6]`` is queries, keys and values."""
    query, key, value = (
        ops.transpose(ops.reshape(ops.multiply(x, n), (2, 3, 2, 3)), (0, 2, 1, 3)) for n in (1.0, 2.0, 3.0)
    )
    turned = ops.transpose(key, (0, 1, 3, 2))
    if both:
        root = np.float32(math.sqrt(scale))
        logits = ops.matmul(ops.multiply(query, root), ops.multiply(turned, root))
    else:
        logits = ops.matmul(query, turned)
        logits = (
            ops.divide(logits, np.float32(1 / scale)) if divide else ops.multiply(logits, np.float32(scale))
        )
    if mask is not None:
        logits = ops.add(logits, mask)
    if low is not None:
        logits = ops.where(
            np.array([[True, False, True], [True, True, False], [False] * 3]), logits, np.float32(low)
        )
    y = ops.matmul(ops.softmax(logits, -1), value)
    return ops.reshape(ops.transpose(y, (0, 2, 1, 3)), (2, 3, 6))


def group_norm(x: Any, ones: float = 1.0) -> Any:
    """Of two groups of the three and three channels of ``x[2, 3, 6]`` turned, by instances."""
    turned = ops.transpose(x, (0, 2, 1))
    flat = ops.reshape(turned, (2, 2, 9))
    normal = ops.group_norm(
        flat, np.full(2, ones, "float32"), np.zeros(2, "float32"), groups=2, axis=1, epsilon=1e-5
    )
    y = ops.multiply(ops.reshape(normal, (2, 6, 3)), VECTOR.reshape(6, 1))
    return ops.transpose(ops.add(y, VECTOR.reshape(6, 1)), (0, 2, 1))


def batch_norm(
    x: Any, axes: Any = (0, 1), *, one: bool = False, other: Any = None, flat: bool = False
) -> Any:
    """With its own statistics over all but the last axis, as torch.onnx writes it out."""
    mean = ops.mean(x, axes, True)
    centred = ops.subtract(x, mean if other is None else other(mean))
    square = ops.multiply(centred, centred)
    variance = ops.reshape(ops.mean(square, axes), (1, 1, 6)) if flat else ops.mean(square, axes, True)
    root = ops.sqrt(ops.add(variance, np.float32(1e-5)))
    return ops.multiply(centred, ops.divide(np.float32(1), root)) if one else ops.divide(centred, root)


def folded(x: Any, *, gamma: bool = True, square: Any = ops.square) -> Any:
    """As tf.nn.batch_normalization folds it: the input is multiplied and added to, once each."""
    mean = ops.mean(x, (0, 1), True)
    variance = ops.squeeze(ops.mean(square(ops.subtract(x, mean)), (0, 1), True), (0, 1))
    inverse = ops.reciprocal(ops.sqrt(ops.add(variance, np.float32(1e-3))))
    inverse = ops.multiply(inverse, VECTOR) if gamma else inverse
    shift = ops.subtract(np.float32(2) * VECTOR, ops.multiply(ops.squeeze(mean, (0, 1)), inverse))
    return ops.add(ops.multiply(x, inverse), shift)


def weighted(x: Any) -> Any:
    """Attention of which the weights are asked for, too."""
    query = ops.transpose(ops.reshape(x, (2, 3, 2, 3)), (0, 2, 1, 3))
    weights = ops.softmax(ops.matmul(query, ops.transpose(query, (0, 1, 3, 2))), -1)
    return ops.concatenate([ops.matmul(weights, query), weights], -1)


MASK = np.where(np.tri(3), 0, -1e9).astype("float32")
ATTENDED = ["multiply"] * 3 + ["reshape"] * 3 + ["attention", "reshape"]
CASES: dict[str, tuple[Callable[[Any], Any], list[str]]] = {
    "layer norm": (lambda x: ops.add(ops.multiply(norm(x), VECTOR), VECTOR), ["layer_norm"]),
    "as a product": (lambda x: ops.multiply(norm(x, product=True), VECTOR), ["layer_norm"]),
    "with a power": (lambda x: norm(x, power=True), ["layer_norm"]),
    "over two axes": (lambda x: norm(x, axes=(1, 2)), ["layer_norm"]),
    "root mean square": (
        lambda x: ops.multiply(ops.multiply(x, ops.rsqrt(ops.add(ops.mean(ops.square(x), -1, True), np.float32(1e-6)))), VECTOR),
        ["rms_norm"],
    ),
    "gelu": (gelu, ["gelu"]),
    "gelu by tanh": (gelu_tanh, ["gelu"]),
    "swish": (lambda x: ops.multiply(ops.sigmoid(x), x), ["silu"]),
    "squeezed again": (lambda x: ops.squeeze(ops.expand_dims(ops.tanh(x), 1), 1), ["tanh"]),
    "attention": (heads, ATTENDED),
    "attention, divided": (lambda x: heads(x, divide=True), ATTENDED),
    "attention, scaled on both sides": (lambda x: heads(x, both=True), ATTENDED),
    "attention with a mask": (lambda x: heads(x, mask=MASK), ATTENDED),
    "attention, masked": (lambda x: heads(x, low=-3e38), ATTENDED),
    "attention, masked and biased": (lambda x: heads(x, mask=MASK, low=-2e38), ATTENDED),
    "group norm": (group_norm, ["reshape", "reshape", "group_norm"]),
    "batch norm": (batch_norm, ["batch_norm_training"]),
    "batch norm, scaled": (
        lambda x: ops.add(ops.multiply(batch_norm(x), VECTOR), VECTOR.reshape(1, 1, 6)),
        ["batch_norm_training", "reshape"],
    ),
    "batch norm in the middle": (lambda x: batch_norm(x, (0, 2)), ["batch_norm_training"]),
    "batch norm by one over": (lambda x: batch_norm(x, one=True), ["batch_norm_training"]),
    "batch norm, reshaped": (lambda x: batch_norm(x, flat=True), ["batch_norm_training"]),
    "batch norm, folded": (folded, ["batch_norm_training"]),
    "batch norm, folded without scale": (lambda x: folded(x, gamma=False), ["batch_norm_training"]),
    "two directions": (directions, ["negative", "concatenate"]),
}  # fmt: skip
OTHERS: dict[str, Callable[[Any], Any]] = {
    "another axis": lambda x: norm(x, axes=1),
    "another's deviation": lambda x: norm(x, keep=ops.tanh(x)),
    "another half": lambda x: gelu(x, 0.51),
    "sigmoid of twice": lambda x: ops.multiply(ops.sigmoid(ops.multiply(x, np.float32(2))), x),
    "weights that are read": weighted,
    "a mask that is not low": lambda x: heads(x, low=-100.0),
    "a mask without end": lambda x: heads(x, low=-np.inf),
    "instances with another scale": lambda x: group_norm(x, 2.0),
    "statistics of the first axis alone": lambda x: batch_norm(x, 0),
    "another mean": lambda x: batch_norm(x, other=ops.tanh),
    "another square": lambda x: folded(x, square=ops.abs),
    "squeezed elsewhere": lambda x: ops.squeeze(ops.expand_dims(ops.get_item(x, (slice(0, 1),)), 1), 0),
}


def rewritten(function: Callable[[Any], Any]) -> tuple[Any, Any]:
    graph = trace(function, {"x": TensorType(float32, (2, 3, 6))}).graph
    return graph, find_patterns(graph, {})[0]


def operations(graph: Any) -> list[str]:
    return [node.op.name for node in graph.nodes if node.op.name != "constant"]


def computed(graph: Any, x: np.ndarray) -> Any:
    return BACKEND.compile(graph)((x,), ())[0]


@pytest.mark.parametrize("case", CASES)
def test_patterns_become_what_they_mean(case: str) -> None:
    function, expected = CASES[case]
    before, after = rewritten(function)
    found = [name for name in operations(after) if name != "transpose"]
    assert sorted(found) == sorted(expected)
    for scale in (1, 30, 1e-3):
        x = np.random.default_rng(0).normal(size=(2, 3, 6), scale=scale).astype("float32")
        assert_close(computed(after, x), computed(before, x))


@pytest.mark.parametrize("case", OTHERS)
def test_what_is_nearly_a_pattern_stays(case: str) -> None:
    before, after = rewritten(OTHERS[case])
    assert operations(after) == operations(before)
