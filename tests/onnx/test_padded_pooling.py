"""Zeros padded before a MaxPool count; ONNX Runtime must not take them for the padding that never does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.onnx.runtimes import check, kinds, reference, runtime
from unifront import layers, ops
from unifront.onnx.export import OPSETS, convert
from unifront.testing import assert_close

SIZE = (10, 8, 2)


def _pool(x: Any, *around: Any, **options: Any) -> Any:
    for layer in around:
        x = layer(x)
    return ops.max_pool(x, 3, **options) if options else x


ZEROS, POOL = lambda: layers.ZeroPadding2D((1, 2)), layers.MaxPooling2D
FORMS: dict[str, tuple[Callable[[Any], Any], set[str]]] = {
    "valid": (lambda x: _pool(x, ZEROS(), POOL(3, strides=2)), {"VALID"}),
    "same": (lambda x: _pool(x, POOL(3, padding="same"), ZEROS(), POOL(3, padding="same")), {"", "SAME_UPPER"}),
    "pairs": (lambda x: _pool(x, ZEROS(), strides=2, padding=((1, 0), (0, 2))), {"VALID"}),
    "another dtype": (lambda x: _pool(x, ZEROS(), POOL(3, strides=2, dtype="float64")), {"VALID"}),
    "channels first": (
        lambda x: _pool(x, ZEROS(), layers.Permute((3, 1, 2)), POOL(3, data_format="channels_first")),
        {"VALID"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("optimize", [True, False])
@pytest.mark.parametrize("form", FORMS)
def test_zeros_before_a_max_pool_count(form: str, optimize: bool) -> None:
    make, names = FORMS[form]
    x = uf.Input(SIZE, name="x")
    model = uf.Model(x, make(x), name="padded")
    value = np.random.default_rng(0).normal(size=(2, *SIZE)).astype("float32") - 6  # every maximum is a zero
    for opset in (OPSETS[0], OPSETS[-1]):
        exported, _ = convert(model.trace(False), optimize=optimize, opset=opset)
        check(exported)
        wanted = model.predict(value, backend="numpy")
        assert (wanted == 0).any()
        for judge in (reference, runtime):
            assert_close(judge(exported, [value])[0], wanted, what=judge.__name__)
        pools = [node for node in exported.graph.node if node.op_type == "MaxPool"]
        found = [{a.name: a.s.decode() for a in node.attribute}.get("auto_pad", "") for node in pools]
        assert set(found) == names


def test_zeros_after_a_relu_are_in_the_pooling() -> None:
    """There nothing is below zero, and one node is quicker than two."""
    x = uf.Input(SIZE, name="x")
    y = _pool(x, layers.ReLU(), layers.ZeroPadding2D(1), POOL(3, strides=2))
    assert "Pad" not in kinds(convert(uf.Model(x, y, name="stem").trace(False))[0])
