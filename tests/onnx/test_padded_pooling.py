"""Zeros padded before a MaxPool count; ONNX Runtime must not take them for the padding that never does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.onnx.runtimes import RUNTIME_OPSETS, check, kinds, reference, runtime
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
    for opset in (OPSETS[0], RUNTIME_OPSETS[-1], OPSETS[-1]):
        exported, _ = convert(model.trace(False), optimize=optimize, opset=opset)
        check(exported)
        wanted = model.predict(value, backend="numpy")
        assert (wanted == 0).any()
        for judge in (reference, runtime)[: 1 + (opset in RUNTIME_OPSETS)]:
            assert_close(judge(exported, [value])[0], wanted, what=judge.__name__)
        pools = [node for node in exported.graph.node if node.op_type == "MaxPool"]
        found = [{a.name: a.s.decode() for a in node.attribute}.get("auto_pad", "") for node in pools]
        assert set(found) == names


def test_zeros_after_a_relu_are_in_the_pooling() -> None:
    """There nothing is below zero, and one node is quicker than two."""
    x = uf.Input(SIZE, name="x")
    y = _pool(x, layers.ReLU(), layers.ZeroPadding2D(1), POOL(3, strides=2))
    assert "Pad" not in kinds(convert(uf.Model(x, y, name="stem").trace(False))[0])


@pytest.mark.parametrize("kind", ["Max", "Average"])
@pytest.mark.parametrize(("size", "stride"), [(1, 2), (1, 3), (2, 4), (3, 4), (3, 2)])
def test_same_padding_of_free_sizes(kind: str, size: int, stride: int) -> None:
    """Windows that leave out elements between them too, for which ONNX's formula gives negative padding."""
    x = uf.Input((None, None, 2), name="x")
    pool = getattr(layers, f"{kind}Pooling2D")((size, 2), (stride, 2), padding="same")
    model = uf.Model(x, pool(x), name="free")
    exported, _ = convert(model.trace(False))
    check(exported)
    for length in range(4, 10):
        value = np.random.default_rng(length).normal(size=(2, length, 5, 2)).astype("float32") - 3
        for judge in (reference, runtime):
            (result,) = judge(exported, [value])
            assert_close(result, model.predict(value, backend="numpy"), what=f"{judge.__name__} {length}")


def test_repetition_along_a_free_axis() -> None:
    x = uf.Input((None, 3), name="x")
    model = uf.Model(x, layers.UpSampling1D(2)(x), name="longer")
    value = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
    for optimize in (True, False):
        exported, _ = convert(model.trace(False), optimize=optimize)
        check(exported)
        assert_close(runtime(exported, [value])[0], np.repeat(value, 2, 1))
