"""`model.export`: which format, and SavedModels as TensorFlow Serving takes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.models import MODELS
from unifront import layers
from unifront.errors import ArgumentError, FileWriteError, UnknownName
from unifront.testing import assert_close

tf = pytest.importorskip("tensorflow")


def signature_of(folder: Path) -> Any:
    from tensorflow.python.tools import saved_model_utils

    return saved_model_utils.get_meta_graph_def(str(folder), "serve").signature_def["serving_default"]


def model_of_several() -> uf.Model:
    words = uf.Input((None,), name="the words", dtype="int32")
    image = uf.Input((4, 4, 1), name="image")
    x = layers.GlobalAveragePooling1D()(layers.Embedding(11, 4)(words))
    y = layers.BatchNormalization()(layers.Flatten()(layers.Conv2D(2, 3)(image)))
    y = layers.Dropout(0.5)(layers.Concatenate()([x, y]))
    return uf.Model([words, image], {"scores": layers.Dense(3)(y), "features": y}, name="several")


def test_signatures_that_serving_accepts(tmp_path: Path) -> None:
    model, folder = model_of_several(), tmp_path / "served" / "1"
    model.export(folder, format="tf_saved_model")
    signature = signature_of(folder)
    assert signature.method_name == "tensorflow/serving/predict"
    kinds = {
        name: (info.dtype, [dim.size for dim in info.tensor_shape.dim])
        for name, info in (*signature.inputs.items(), *signature.outputs.items())
    }
    assert kinds == {
        "the_words": (tf.int32.as_datatype_enum, [-1, -1]),
        "image": (tf.float32.as_datatype_enum, [-1, 4, 4, 1]),
        "scores": (tf.float32.as_datatype_enum, [-1, 3]),
        "features": (tf.float32.as_datatype_enum, [-1, 12]),
    }
    # No resource, placeholder or name of a device is needed by whoever runs it.
    assert all(info.name.startswith("serving_default_") for info in signature.inputs.values())
    rng = np.random.default_rng(0)
    words, image = (
        rng.integers(0, 11, (5, 3)).astype(np.int32),
        rng.normal(size=(5, 4, 4, 1)).astype(np.float32),
    )
    served = tf.saved_model.load(str(folder), tags=["serve"]).signatures["serving_default"]
    found = served(the_words=tf.constant(words), image=tf.constant(image))
    expected = model.predict([words, image], backend="numpy")
    assert sorted(found) == sorted(expected)
    for name, value in found.items():
        assert_close(value.numpy(), expected[name])


def test_the_name_says_the_format_as_in_keras(tmp_path: Path) -> None:
    model = MODELS["mlp"]("float32")[0]
    model.export(tmp_path / "folder")
    assert (tmp_path / "folder" / "saved_model.pb").is_file()
    model.export(tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").is_file()
    model.export(tmp_path / "plain", "onnx")
    assert (tmp_path / "plain").is_file()
    model.export(filepath=tmp_path / "folder", format="tf_saved_model", verbose=False)  # in its place
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "model.onnx", "plain"]


def test_what_is_refused(tmp_path: Path) -> None:
    model = MODELS["mlp"]("float32")[0]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UnknownName, match="export format 'saved_model'. Did you mean 'tf_saved_model'"):
        model.export(tmp_path / "x", format="saved_model")
    with pytest.raises(ArgumentError, match="full is not empty; a SavedModel is written to a new one"):
        model.export(tmp_path / "full")
    with pytest.raises(ArgumentError, match="A SavedModel is a folder, and .*file is a file"):
        model.export(tmp_path / "file")
    with pytest.raises(ArgumentError, match="'a.uf' promises a model"):
        model.export(tmp_path / "a.uf")
    with pytest.raises(FileWriteError, match="Cannot write .*file/x: Not a directory"):
        model.export(tmp_path / "file" / "x")
    with pytest.raises(ArgumentError, match="a SavedModel has no option 'opset'"):
        model.export(tmp_path / "x", opset=17)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "full", "mine.txt"]


def test_what_was_there_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = MODELS["mlp"]("float32")[0]
    model.export(tmp_path / "served")
    before = {path: path.read_bytes() for path in (tmp_path / "served").rglob("*") if path.is_file()}

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", full)
    with pytest.raises(FileWriteError, match="Cannot write .*served: No space left on device"):
        model.export(tmp_path / "served")
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
