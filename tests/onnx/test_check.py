"""``export(verify=True)``: what was written is run once, and a file that is wrong does not appear."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import unifront as uf
from tests.onnx.runtimes import runtime
from unifront import layers, ops
from unifront.errors import ArgumentError, ExportError
from unifront.onnx import check
from unifront.onnx.rows import pool
from unifront.testing import assert_close


@pytest.fixture
def wrong(monkeypatch: pytest.MonkeyPatch) -> uf.Model:
    """A model that ONNX Runtime computes wrongly as the exporter writes it now."""
    monkeypatch.setattr(pool, "_is_padded", lambda w, x: False)
    x = uf.Input((9, 9, 2), name="x")
    y = layers.Conv2D(3, 1, bias_initializer=uf.initializers.Constant(-5.0))(x)
    y = layers.MaxPooling2D(3, strides=2, name="pooled")(layers.ZeroPadding2D(1)(y))
    return uf.Model(x, [layers.ReLU(name="fine")(x), y], name="wrong")


@pytest.mark.parametrize("external", [False, True])
def test_a_wrong_file_is_refused(wrong: uf.Model, external: bool, tmp_path: Path) -> None:
    path = tmp_path / "wrong.onnx"
    with pytest.raises(
        ExportError,
        match=r"from the exported 'wrong' than .* the output 'pooled' is off by [3-9]\.\d+, where",
    ):
        wrong.export(path, external_data=external)
    assert not list(tmp_path.iterdir())


def test_what_was_there_stays(wrong: uf.Model, tmp_path: Path) -> None:
    path = tmp_path / "wrong.onnx"
    path.write_bytes(b"older")
    with pytest.raises(ExportError, match="Nothing was written"):
        wrong.export(path)
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"older"]


def test_it_can_be_left_out(wrong: uf.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "wrong.onnx"
    wrong.export(path, verify=False)
    assert path.is_file()
    path.unlink()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)  # as where it is not installed
    wrong.export(path)
    assert path.is_file()


def test_a_file_that_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_max_pool", None)
    x = uf.Input((6, 2), name="x")
    bad = {"kernel_shape": [2], "strides": [2], "pads": [5, 5]}
    monkeypatch.setitem(pool.TABLE, pool.p.MAX_POOL, lambda w, x, **_: w.op("MaxPool", x, **bad))
    from unifront.onnx.rows import target

    target.cache_clear()
    try:
        with pytest.raises(ExportError, match=r"ONNX Runtime .*'refused': .*smaller than kernel"):
            uf.Model(x, layers.MaxPooling1D(2)(x), name="refused").export(tmp_path / "refused.onnx")
    finally:
        target.cache_clear()
    assert not list(tmp_path.iterdir())


def test_rounding_that_grows_is_no_error(tmp_path: Path) -> None:
    """What is left of a difference of equals is rounding, and another order of summing gives another one."""
    x = uf.Input((64,), name="x")
    y = layers.Dense(64, name="sums")(x)
    y = ops.multiply(ops.subtract(ops.add(y, 1e4), 1e4), 1e3)
    for dtype in ("float32", "float16"):
        uf.Model(x, y, name="cancelling").export(tmp_path / f"{dtype}.onnx", dtype=dtype)


def test_a_kernel_that_rounds_more_is_no_error(tmp_path: Path) -> None:
    """ONNX Runtime takes one from an exponential, where NumPy has a function for the difference."""
    x = uf.Input((64,), name="x")
    y = ops.multiply(x, 0.02)
    uf.Model(x, ops.subtract(y, ops.elu(y)), name="curved").export(tmp_path / "curved.onnx")


def test_free_sizes_grow_until_they_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = uf.Input((None, None, 3), name="x")
    seen: list[tuple[int, ...]] = []
    found = check._reference
    monkeypatch.setattr(
        check, "_reference", lambda graph, values, inputs: seen.append(inputs[0].shape) or found(graph, values, inputs)
    )  # fmt: skip
    uf.Model(x, layers.Conv2D(2, 11)(x), name="wide").export(tmp_path / "wide.onnx")
    assert seen == [(2, 8, 9, 3), (2, 17, 18, 3)]


def test_words_are_rows_of_the_tables(tmp_path: Path) -> None:
    words, kinds = uf.Input((4,), name="words", dtype="int32"), uf.Input((4,), name="kinds", dtype="int32")
    y = layers.Concatenate()([layers.Embedding(50, 3)(words), layers.Embedding(1, 3)(kinds)])
    uf.Model([words, kinds], y, name="tables").export(tmp_path / "tables.onnx")


def test_a_model_that_cannot_be_checked_says_so(tmp_path: Path) -> None:
    class Fragile(uf.Layer):
        def call(self, x: Any) -> Any:
            return ops.take(ops.reshape(x, (-1,)), 5000)

    x = uf.Input((4,), name="x")
    model = uf.Model(x, Fragile(name="fragile")(x), name="fragile")
    with pytest.raises(
        ExportError, match=r"'fragile' cannot be checked, .* verify=False writes the file unchecked"
    ):
        model.export(tmp_path / "fragile.onnx")
    model.export(tmp_path / "fragile.onnx", verify=False)


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_what_onnx_runtime_has_no_kernel_for_is_written(dtype: str, tmp_path: Path) -> None:
    x = uf.Input((6, 2), name="x")
    y = layers.LSTM(3, return_sequences=True)(layers.Conv1D(2, 2)(x))
    uf.Model(x, y, name="wide").export(tmp_path / "wide.onnx", dtype=dtype)
    assert (tmp_path / "wide.onnx").is_file()


@pytest.mark.parametrize("kind", ["GRU", "LSTM", "SimpleRNN"])
def test_float16_sequences_into_dense_layers(kind: str, tmp_path: Path) -> None:
    """ONNX Runtime crashes on a product of a transposed float16 tensor and a matrix."""
    x = uf.Input((None, 4), name="x")
    y = layers.Dense(2)(getattr(layers, kind)(3, return_sequences=True)(x))
    model = uf.Model(x, y, name="half")
    model.export(tmp_path / "half.onnx", dtype="float16")
    value = np.random.default_rng(0).normal(size=(2, 5, 4)).astype("float16")
    (result,) = runtime(str(tmp_path / "half.onnx"), [value])
    assert_close(result, model.predict(value.astype("float32"), backend="numpy"))


def test_loops_in_float16(tmp_path: Path) -> None:
    """The NumPy reference of a loop keeps the dtype of its body."""
    x = uf.Input((5, 4), name="x", dtype="float16")
    layer = layers.GRU(3, reset_after=False, activation="softsign", go_backwards=True, dtype="float16")
    model = uf.Model(x, layer(x), name="loop")
    assert "scan" in {node.op.name for node in model.graph().nodes}
    assert model.predict(np.ones((2, 5, 4), np.float16), backend="numpy").dtype == np.float16
    model.export(tmp_path / "loop.onnx")


def test_axes_and_shapes_stay_in_the_file(tmp_path: Path) -> None:
    """ONNX Runtime looks for them there when it infers shapes."""
    x = uf.Input((None, 4), name="x")
    model = uf.Model(x, layers.LSTM(40)(x), name="sequence")
    model.export(tmp_path / "sequence.onnx", external_data=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sequence.onnx", "sequence.onnx.data"]
    proto = onnx.load(tmp_path / "sequence.onnx", load_external_data=False)
    outside = [w.name for w in proto.graph.initializer if w.data_location == onnx.TensorProto.EXTERNAL]
    assert outside == [f"lstm/lstm_cell/{name}" for name in ("kernel", "recurrent_kernel", "bias")]
    value = np.ones((2, 3, 4), np.float32)
    (result,) = runtime(str(tmp_path / "sequence.onnx"), [value])
    assert_close(result, model.predict(value, backend="numpy"))


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    x = uf.Input((3,), name="x")
    model = uf.Model(x, layers.Dense(2)(x), name="small")
    for external in (False, True):
        with pytest.raises(ArgumentError, match="it is a folder"):
            model.export(tmp_path, "onnx", external_data=external)
