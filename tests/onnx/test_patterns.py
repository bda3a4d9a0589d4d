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
    "two directions": (directions, ["negative", "concatenate"]),
}  # fmt: skip
OTHERS: dict[str, Callable[[Any], Any]] = {
    "another axis": lambda x: norm(x, axes=1),
    "another's deviation": lambda x: norm(x, keep=ops.tanh(x)),
    "another half": lambda x: gelu(x, 0.51),
    "sigmoid of twice": lambda x: ops.multiply(ops.sigmoid(ops.multiply(x, np.float32(2))), x),
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
    assert [name for name in operations(after) if name != "transpose"] == expected
    for scale in (1, 30, 1e-3):
        x = np.random.default_rng(0).normal(size=(2, 3, 6), scale=scale).astype("float32")
        assert_close(computed(after, x), computed(before, x))


@pytest.mark.parametrize("case", OTHERS)
def test_what_is_nearly_a_pattern_stays(case: str) -> None:
    before, after = rewritten(OTHERS[case])
    assert operations(after) == operations(before)
