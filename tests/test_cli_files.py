"""``unifront convert`` and ``unifront inspect``: what they write and print, and how they fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import unifront as uf
from tests.test_cli import output, unifront
from unifront import importing, layers, ops
from unifront.backends import installed
from unifront.errors import BackendMissing, FileFormatError
from unifront.testing import assert_close

X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)


@pytest.fixture
def model(tmp_path: Path) -> uf.Model:
    """A small model, which is in ``small.uf`` and ``small.onnx`` too."""
    x = uf.Input((4,), name="x")
    made = uf.Model(
        x, layers.Dense(2, name="out")(layers.Dense(3, activation="relu", name="in")(x)), name="small"
    )
    made.save(tmp_path / "small.uf")
    made.export(tmp_path / "small.onnx")
    return made


def of_one_node(kind: str, path: Path, **attributes: Any) -> None:
    graph = helper.make_graph(
        [helper.make_node(kind, ["x"], ["y"], "odd", **attributes)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (2,))],
        [helper.make_empty_tensor_value_info("y")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)]), path)


@pytest.mark.parametrize("source", ["small.uf", "small.onnx"])
@pytest.mark.parametrize("target", ["other.uf", "other.onnx"])
def test_a_converted_model_computes_the_same(
    source: str, target: str, model: uf.Model, tmp_path: Path
) -> None:
    text = output("convert", str(tmp_path / source), str(tmp_path / target))
    size = (tmp_path / target).stat().st_size
    assert f"{tmp_path / source} → {tmp_path / target} (" in text
    assert f"23 weights, {size:,} bytes" in text
    load = uf.load if target.endswith(".uf") else uf.from_onnx
    assert_close(load(tmp_path / target).predict(X, backend="numpy"), model.predict(X, backend="numpy"))


def test_weights_go_out_and_come_back(model: uf.Model, tmp_path: Path) -> None:
    for weight in model.weights:
        weight.assign(np.full(weight.shape, 0.5, np.float32))
    model.save_weights(tmp_path / "half.safetensors")
    arguments = (
        str(tmp_path / "small.uf"),
        str(tmp_path / "half.onnx"),
        "--weights",
        str(tmp_path / "half.safetensors"),
    )
    found = json.loads(output("convert", *arguments, "--json"))
    assert found == {
        "from": arguments[0], "to": arguments[1], "format": "ONNX", "parameters": 23,
        "bytes": (tmp_path / "half.onnx").stat().st_size,
    }  # fmt: skip
    assert_close(uf.from_onnx(arguments[1]).predict(X, backend="numpy"), model.predict(X, backend="numpy"))
    output("convert", arguments[1], str(tmp_path / "back.safetensors"))
    listed = json.loads(output("inspect", str(tmp_path / "back.safetensors"), "--json"))
    assert listed["tensors"] == {
        "in/bias": "float32[3]", "in/kernel": "float32[4, 3]", "out/bias": "float32[2]", "out/kernel": "float32[3, 2]",
    }  # fmt: skip


def test_the_operator_set_and_dtype_are_chosen(model: uf.Model, tmp_path: Path) -> None:
    source, target = str(tmp_path / "small.uf"), str(tmp_path / "half.onnx")
    output("convert", source, target, "--opset", "15", "--dtype", "float16")
    found = json.loads(output("inspect", target, "--backend", "numpy", "--json"))
    assert found["opset"] == {"ai.onnx": 15}
    assert found["inputs"] == {"x": "float16[batch, 4]"}


def test_files_of_keras_are_read_and_written(model: uf.Model, tmp_path: Path) -> None:
    keras_file, weights = tmp_path / "small.keras", tmp_path / "small.weights.h5"
    model.save(keras_file)
    assert "(Keras): 61,706 weights" in output("convert", "lenet5", str(tmp_path / "lenet5.keras"))
    found = json.loads(output("inspect", str(keras_file), "--backend", "numpy", "--json"))
    assert (found["format"], found["parameters"], found["not_run"]["numpy"]) == ("Keras", 23, {})
    output("convert", str(keras_file), str(tmp_path / "again.onnx"))
    again = uf.from_onnx(tmp_path / "again.onnx")
    assert_close(again.predict(X, backend="numpy"), model.predict(X, backend="numpy"))
    output("convert", str(keras_file), str(weights))
    before = model.predict(X, backend="numpy")
    for weight in model.weights:
        weight.assign(np.zeros(weight.shape, np.float32))
    model.load_weights(weights)
    assert_close(model.predict(X, backend="numpy"), before)


def test_a_model_goes_out_with_integers_and_functions(model: uf.Model, tmp_path: Path) -> None:
    target = tmp_path / "few.onnx"
    output("export", str(tmp_path / "small.uf"), str(target), "--quantize", "weight_int8", "--functions")
    proto = onnx.load(target)
    assert {node.op_type for one in proto.functions for node in one.node} == {
        "DequantizeLinear",
        "Gemm",
        "Relu",
    }


def test_what_keras_2_saved_is_read(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    theirs = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    theirs.save(tmp_path / "old.h5")
    output("convert", str(tmp_path / "old.h5"), str(tmp_path / "new.uf"))
    assert_close(uf.load(tmp_path / "new.uf").predict(X, backend="numpy"), np.asarray(theirs(X)))


@pytest.mark.skipif("tensorflow" not in installed(), reason="a SavedModel is TensorFlow's")
def test_a_folder_becomes_a_saved_model(model: uf.Model, tmp_path: Path) -> None:
    import tensorflow as tf

    target = tmp_path / "saved"
    assert "(SavedModel): 23 weights" in output("convert", str(tmp_path / "small.onnx"), str(target))
    loaded = tf.saved_model.load(str(target))
    assert_close(loaded(tf.constant(X)).numpy(), model.predict(X, backend="numpy"))


@pytest.mark.slow
@pytest.mark.skipif("tensorflow" not in installed(), reason="a SavedModel is TensorFlow's")
def test_a_saved_model_becomes_a_model_again(tmp_path: Path) -> None:
    pytest.importorskip("tf2onnx")
    image = uf.Input((6, 6, 2), name="image")
    x = layers.Flatten()(layers.BatchNormalization()(layers.Conv2D(3, 3, activation="relu")(image)))
    made = uf.Model(image, layers.Dense(2, name="scores", bias_initializer="ones")(x), name="net")
    made.export(tmp_path / "saved", format="tf_saved_model")
    found = json.loads(output("convert", str(tmp_path / "saved"), str(tmp_path / "net.uf"), "--json"))
    assert found["format"] == "unifront"
    images = np.random.default_rng(0).normal(size=(2, 6, 6, 2)).astype("float32")
    again = uf.load(tmp_path / "net.uf")
    assert [*again.input_types] == ["image"]
    assert_close(again.predict(images, backend="numpy"), made.predict(images, backend="numpy"))


def test_what_cannot_be_read_of_a_saved_model_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"none")
    monkeypatch.setattr(importing, "find_spec", lambda name: None)
    with pytest.raises(
        BackendMissing, match=r"is a SavedModel.* tf2onnx is not installed.* pip install tensorflow tf2onnx"
    ):
        importing.from_saved_model(tmp_path)
    monkeypatch.setattr(importing, "find_spec", lambda name: name)
    monkeypatch.setattr(importing.sys, "executable", "false")
    with pytest.raises(FileFormatError, match="tf2onnx cannot read this SavedModel: no reason"):
        importing.from_saved_model(tmp_path)
    with pytest.raises(FileFormatError, match="there is no such file"):
        importing.from_saved_model(tmp_path / "nowhere")


def test_inspect_tells_what_is_in_a_model(model: uf.Model, tmp_path: Path) -> None:
    path = tmp_path / "small.onnx"
    found = json.loads(output("inspect", str(path), "--backend", "numpy", "--json"))
    assert found == {
        "name": str(path), "format": "ONNX", "bytes": path.stat().st_size, "producer": "unifront",
        "ir_version": onnx.load(path).ir_version, "opset": {"ai.onnx": 20}, "functions": 0,
        "operators": {"Gemm": 2, "Relu": 1}, "not_imported": {}, "model": "small",
        "inputs": {"x": "float32[batch, 4]"}, "outputs": {"out": "float32[batch, 2]"},
        "parameters": 23, "trainable": 23, "weight_bytes": 92, "operations": {"dense": 2, "relu": 1}, "not_run": {"numpy": {}, "onnx": {}},
    }  # fmt: skip
    text = output("inspect", str(path), "--backend", "numpy")
    for word in ("Gemm", "float32[batch, 4]", "numpy: runs all of it", "onnx: runs all of it"):
        assert word in text


def test_inspect_tells_what_would_not_run_where(tmp_path: Path) -> None:
    x = uf.Input((3, 3), name="x")
    uf.Model(x, layers.Lambda(lambda t: ops.qr(t)[1])(x), name="factors").save(tmp_path / "factors.uf")
    found = json.loads(output("inspect", str(tmp_path / "factors.uf"), "--backend", "numpy", "--json"))
    assert found["not_run"]["numpy"] == {}
    assert set(found["not_run"]["onnx"]) == {"qr"}
    assert "onnx does not run qr: " in output("inspect", str(tmp_path / "factors.uf"), "--backend", "numpy")


def test_inspect_tells_why_a_model_cannot_be_imported(tmp_path: Path) -> None:
    of_one_node("Frob", tmp_path / "odd.onnx")
    found = json.loads(output("inspect", str(tmp_path / "odd.onnx"), "--backend", "numpy", "--json"))
    assert found["operators"] == {"Frob": 1}
    assert found["not_imported"] == {"Frob": "unifront does not import it"}
    assert "'odd' ('Frob'): unifront does not import" in found["refused"]
    assert "inputs" not in found


def test_names_in_a_file_do_not_steer_the_terminal(tmp_path: Path) -> None:
    of_one_node("\x1b]0;title\x07[bold]", tmp_path / "odd.onnx")
    text = output("inspect", str(tmp_path / "odd.onnx"), "--backend", "numpy")
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[bold]" in text


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("convert", "missing.uf", "a.onnx"), "Error: missing.uf: there is no such file."),
        (("convert", "[red].onnx", "a.uf"), "Error: The file '[red].onnx' is no ONNX model, or a broken one"),
        (("convert", "lenet5", "a.h5"), "Error: a.h5 is of no format that models are written in: .onnx, .uf, .keras"),
        (("convert", "[red].onnx", "./[red].onnx"), "would be written over itself"),
        (("convert", "lenet5", "a.uf", "--opset", "17"), "Error: --opset is for .onnx files, not for a.uf."),
        (("convert", "lenet5", "a.onnx", "--opset", "99"), "Error: opset is an int from 13 to 28, not 99."),
        (("convert", "lenet5", "nowhere/a.uf"), "nowhere"),
        (("convert", "lenet5", "."), "is not empty; a SavedModel is written to a new one."),
        (("convert", "lenet5", "a.uf", "--weights", "b.safetensors"), "Error: b.safetensors: there is no such file."),
        (("convert", "[red].safetensors", "a.uf"), "holds weights alone, and no model that they belong to. Name the model as IN"),
        (("convert", ".", "a.uf"), "Error: . is a folder; a file is needed."),
        (("inspect", "[red].safetensors"), "Error: [red].safetensors cannot be read as safetensors"),
        (("inspect", "lenet5", "--backend", "thorch"), "Error: Unknown backend 'thorch'. Did you mean 'torch'?"),
    ],
)  # fmt: skip
def test_errors_are_one_line(
    arguments: tuple[str, ...], match: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    (tmp_path / "[red].onnx").write_bytes(b"no model")
    (tmp_path / "[red].safetensors").write_bytes(b"no weights")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["unifront", *arguments])
    from unifront.cli import main

    with pytest.raises(SystemExit) as ended:
        main()
    error = capsys.readouterr().err
    assert ended.value.code == 1
    assert match in error
    assert len(error.strip().splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["[red].onnx", "[red].safetensors"]


def test_the_commands_exist_and_show_an_example() -> None:
    for command in ("convert", "inspect"):
        done = unifront(command, "--help")
        assert done.returncode == 0
        assert f"Example: unifront {command} " in done.stdout
