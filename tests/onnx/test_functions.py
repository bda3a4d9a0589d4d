"""Layers as functions of the file: what a viewer shows, what ONNX Runtime runs, what comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import unifront as uf
from tests.onnx.runtimes import check, runtime
from unifront import layers, ops
from unifront.testing import assert_close

DOMAIN = "unifront.layers"


def encoder() -> uf.Model:
    x = uf.Input((None, 8), name="x")
    y = x
    for i in range(2):
        block = uf.Input((None, 8))
        z = layers.LayerNormalization(name="norm")(block)
        z = layers.MultiHeadAttention(2, 4, name="attention")(z, z)
        inner = uf.Model(block, layers.Add(name="sum")([block, z]), name=f"block{i}")
        y = inner(y)
    return uf.Model(x, layers.Dense(3, activation="softmax", name="head")(y), name="encoder")


class Loops(uf.Layer):
    def call(self, x: Any) -> Any:
        doubled = ops.multiply(x, 2.0)  # read inside the branch
        return ops.cond(ops.greater(ops.sum(x), 0.0), lambda: ops.tanh(doubled), lambda: ops.negative(x))


def branches() -> uf.Model:
    x = uf.Input((4,), name="x")
    return uf.Model(x, layers.Dense(2, name="head")(Loops(name="loops")(x)), name="branches")


MODELS = {"encoder": (encoder, (2, 5, 8)), "branches": (branches, (3, 4))}


@pytest.mark.parametrize("name", MODELS)
def test_functions_compute_what_the_layers_do(name: str, tmp_path: Path) -> None:
    make, shape = MODELS[name]
    model, x = make(), np.random.default_rng(0).normal(size=shape).astype("float32")
    model.export(tmp_path / "whole.onnx", functions=True)
    proto = onnx.load(tmp_path / "whole.onnx")
    onnx.checker.check_model(proto, full_check=True)
    (found,) = runtime(proto, [x])
    assert_close(found, model.predict(x, backend="numpy"))


def test_layers_are_what_a_viewer_shows(tmp_path: Path) -> None:
    encoder().export(tmp_path / "encoder.onnx", functions=True)
    proto = onnx.load(tmp_path / "encoder.onnx")
    shown = [node.op_type for node in proto.graph.node if node.domain == DOMAIN]
    assert shown == ["block0", "block1", "head"]
    inside = {one.name: [node.op_type for node in one.node] for one in proto.functions}
    assert "block0.attention" in inside["block0"]
    assert all(len(nodes) > 1 for nodes in inside.values())
    assert {one.domain for one in proto.opset_import} == {"", DOMAIN}


@pytest.mark.parametrize("name", MODELS)
def test_what_comes_back_is_the_same_graph(name: str, tmp_path: Path) -> None:
    model = MODELS[name][0]()
    model.export(tmp_path / "plain.onnx")
    model.export(tmp_path / "functions.onnx", functions=True)
    plain, functions = (uf.from_onnx(tmp_path / f"{kind}.onnx") for kind in ("plain", "functions"))
    assert str(functions.trace(False).graph) == str(plain.trace(False).graph)
    assert list(functions.variables_by_path) == list(plain.variables_by_path)


def test_a_file_without_layers_of_several_nodes_has_no_functions(tmp_path: Path) -> None:
    x = uf.Input((4,), name="x")
    uf.Model(x, layers.Dense(2, name="head")(x)).export(tmp_path / "one.onnx", functions=True)
    proto = onnx.load(tmp_path / "one.onnx")
    check(proto)
    assert not proto.functions
    assert [one.domain for one in proto.opset_import] == [""]
