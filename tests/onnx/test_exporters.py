"""Models that the exporters of PyTorch, TensorFlow and scikit-learn write: imported, run, trained."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.onnx import exporters
from unifront.backends import installed
from unifront.testing import assert_close

FRAMEWORKS = [name for name in ("torch", "jax", "tensorflow") if name in installed()]
SLOW = (
    "torch residual, dynamo", "torch bilstm", "keras gru", "torch bert", "torch bert, optimized", "torch gpt2",
    "torch gpt2, optimized",
    "sklearn boosted", "sklearn machine of two, shares", "sklearn machine, linear",
)  # fmt: skip
"""Those that are compiled, or exported, for long: run with the slow tests."""
MODELS = [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in exporters.MODELS]
TRAINED = [
    pytest.param(*one.values, marks=[*one.marks, pytest.mark.slow]) if "classic" in one.values[0] else one
    for one in MODELS
    if one.values[0].startswith(
        (
            "torch residual",
            "torch bilstm",
            "torch encoder",
            "torch classic",
            "torch bert",
            "torch gpt2",
            "keras",
        )
    )
]


@cache
def made(name: str) -> exporters.Made:
    pytest.importorskip({"torch": "torch", "keras": "tf2onnx", "sklearn": "skl2onnx"}[name.split()[0]])
    return exporters.MODELS[name]()


def imported(name: str) -> uf.Model:
    content, inputs = made(name)
    shapes = {key: value.shape for key, value in inputs.items()} if name == "torch packed" else None
    return uf.from_onnx(content, inputs=shapes)


def given(name: str) -> Any:
    values = list(made(name)[1].values())
    return values if len(values) > 1 else values[0]


@pytest.mark.parametrize("name", MODELS)
def test_what_others_export_agrees_with_onnx_runtime(name: str) -> None:
    runtime = pytest.importorskip("onnxruntime")
    content, inputs = made(name)
    expected = runtime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(None, inputs)
    found = imported(name).predict(given(name), backend="numpy")
    for one, other in zip(found if isinstance(found, list | tuple) else [found], expected, strict=True):
        assert_close(one, other)


@pytest.mark.parametrize("name", TRAINED)
def test_what_others_export_trains_alike_on_every_backend(name: str) -> None:
    x = given(name)
    losses = {}
    for backend in FRAMEWORKS:
        model = imported(name)
        y = np.zeros_like(model.predict(x, backend="numpy"))
        model.compile("sgd", loss="mean_squared_error")
        history = model.fit(x, y, batch_size=len(y), epochs=2, verbose=0, backend=backend).history["loss"]
        losses[backend] = np.asarray(history, "float32")
    first = losses[FRAMEWORKS[0]]
    assert first[1] < first[0]
    for found in losses.values():
        assert_close(found, first)


def test_what_is_fused_stays_fused() -> None:
    import onnx

    kinds = {
        node.op_type for node in onnx.ModelProto.FromString(made("torch classic, optimized")[0]).graph.node
    }
    assert {"EmbedLayerNormalization", "Attention", "SkipLayerNormalization", "BiasGelu"} <= kinds
    graph = imported("torch classic, optimized").trace(False).graph
    operations = [node.op.name for node in graph.nodes]
    assert [operations.count(name) for name in ("attention", "layer_norm", "gelu")] == [2, 5, 2]


def test_layers_are_called_as_the_modules_were() -> None:
    assert [layer.name for layer in imported("torch packed").layers] == ["x", "lengths", "Cast_1", "gru"]
    tagger = imported("torch encoder")
    paths = list(tagger.variables_by_path)
    assert "layers/0/self_attn/out_proj/bias" in paths
    assert "layers/0/norm1/weight" in paths
