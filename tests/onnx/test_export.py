"""The file: names, options, what goes wrong."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

import unifront as uf
from tests.onnx.runtimes import check, kinds, runtime
from unifront import layers, ops
from unifront.errors import ArgumentError, BackendMissing, DTypeError, ExportError, UnknownName
from unifront.onnx.export import DEFAULT_OPSET, OPSETS, convert
from unifront.onnx.rows import target
from unifront.testing import assert_close


@pytest.fixture
def model() -> uf.Model:
    x = uf.Input((6, 6, 2), name="image")
    y = layers.Conv2D(4, 3, activation="relu", name="stem")(x)
    y = layers.Flatten()(y)
    model = uf.Model(x, layers.Dense(3, name="head")(y), name="small")
    model.trace(False)
    return model


def test_names_are_those_of_the_layers(model: uf.Model, tmp_path) -> None:
    model.export(tmp_path / "small.onnx")
    graph = onnx.load(tmp_path / "small.onnx").graph
    assert graph.name == "small"
    assert [value.name for value in graph.input] == ["image"]
    names = [node.name for node in graph.node]
    assert len(set(names)) == len(names)
    assert {"stem/Conv", "stem/Relu", "head/Gemm"} <= set(names)
    weights = {initializer.name for initializer in graph.initializer}
    assert weights == {"stem/kernel", "stem/bias", "head/kernel", "head/bias"}


def test_nodes_say_where_they_came_from(tmp_path: Path) -> None:
    x = uf.Input((None, 4), name="x")
    inner = uf.Sequential([layers.LSTM(3, return_sequences=True, name="lstm")], name="encoder")
    y = ops.reshape(layers.RMSNormalization(name="norm")(inner(x)), (-1, x.shape[1] * 3))
    model = uf.Model(x, y, name="deep")
    for opset in (OPSETS[0], OPSETS[-1]):
        model.export(tmp_path / "deep.onnx", opset=opset)
        proto = onnx.load(tmp_path / "deep.onnx")
        check(proto)
        found = {
            node.name: {one.key.removeprefix("unifront."): one.value for one in node.metadata_props}
            for node in proto.graph.node
        }
        assert found["encoder/lstm/LSTM"] == {"layer": "encoder/lstm", "operation": "lstm_time_major"}
        assert found["norm/Mul"]["layer"] == "norm"
        assert not any(said for name, said in found.items() if name.startswith("sizes/"))


def test_a_shared_layer_is_written_once() -> None:
    a, b = uf.Input((4,), name="a"), uf.Input((4,), name="b")
    shared = layers.Dense(3, name="shared")
    exported, weights = convert(uf.Model([a, b], [shared(a), shared(b)], name="twins").trace(False))
    check(exported)
    assert sorted(proto.name for proto in weights) == ["shared/bias", "shared/kernel"]


def test_outputs_that_no_node_makes() -> None:
    x = uf.Input((3,), name="x")
    doubled = ops.multiply(x, 2.0)
    model = uf.Model(x, [x, doubled, doubled, ops.stop_gradient(x)], name="same")
    exported, _ = convert(model.trace(False))
    check(exported)
    value = np.ones((2, 3), np.float32)
    for result, wanted in zip(runtime(exported, [value]), (value, 2 * value, 2 * value, value), strict=True):
        assert_close(result, wanted)


def test_large_weights_go_to_a_second_file(model: uf.Model, tmp_path) -> None:
    model.export(tmp_path / "small.onnx", external_data=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.onnx", "small.onnx.data"]
    check(onnx.load(tmp_path / "small.onnx"))
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 2)).astype("float32")
    (result,) = runtime(str(tmp_path / "small.onnx"), [x])
    assert_close(result, model.predict(x, backend="numpy"))


def test_the_graph_itself_is_left_alone(model: uf.Model, tmp_path) -> None:
    before = str(model.trace(False).graph)
    values = [variable.numpy() for variable in model.weights]
    model.export(tmp_path / "small.onnx", dtype="float16")
    assert str(model.trace(False).graph) == before
    for variable, value in zip(model.weights, values, strict=True):
        assert_close(variable.numpy(), value)


def test_bad_options(model: uf.Model, tmp_path) -> None:
    path = tmp_path / "small.onnx"
    for opset in (12, 29, 20.0, "20", True):
        with pytest.raises(ArgumentError, match=f"opset is an int from 13 to 28, not {opset!r}"):
            model.export(path, opset=opset)
    with pytest.raises(DTypeError, match="in a float dtype, not int32"):
        model.export(path, dtype="int32")
    with pytest.raises(UnknownName, match="export format 'onx'"):
        model.export(path, format="onx")
    with pytest.raises(ArgumentError, match="there is no folder"):
        model.export(tmp_path / "nowhere" / "small.onnx")
    assert not list(tmp_path.iterdir())


def test_without_the_package_the_error_says_what_to_install(model: uf.Model, monkeypatch, tmp_path) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(BackendMissing, match=r'pip install "unifront\[onnx\]"'):
        model.export(tmp_path / "small.onnx")


def test_the_error_names_the_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    x = uf.Input((4,), name="x")
    model = uf.Model(x, layers.Activation("tanh", name="curve")(x), name="odd")
    known = target(DEFAULT_OPSET)
    missing = {op: row for op, row in known.table.items() if op.name != "tanh"}
    monkeypatch.setattr("unifront.onnx.rows.target", lambda opset: replace(known, table=missing))
    with pytest.raises(ExportError, match=r"curve: tanh cannot be written as ONNX: ONNX has no operator"):
        convert(model.trace(False))


def test_dropout_is_nothing_in_inference() -> None:
    x = uf.Input((4,), name="x")
    model = uf.Model(x, layers.Dropout(0.5, name="drop")(x), name="noisy")
    assert kinds(convert(model.trace(False))[0]) == ["Identity"]


def test_importing_the_exporter_loads_no_onnx() -> None:
    code = "import sys, unifront.onnx; sys.exit('onnx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
