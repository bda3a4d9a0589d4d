"""Low-rank adaptation, judged by Keras."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.layers.judge import ask_keras
from tests.layers.low_rank import LAYERS, by_keras, seen
from tests.models import TRAINABLE
from unifront import layers
from unifront.errors import ArgumentError, NotBuiltError
from unifront.testing import GRADIENT, assert_close

COMPILED = ("einsum", "conv2d", "embedding")
"""What is trained on the backends that compile too, where a program takes a second; the others on PyTorch alone."""
X = np.random.default_rng(2).normal(size=(6, 5)).astype("float32")


@cache
def _keras_sees() -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = ask_keras(by_keras)
    return found


EACH = [(name, backend) for name in LAYERS for backend in TRAINABLE if backend == "torch" or name in COMPILED]


@pytest.mark.parametrize(("name", "backend"), EACH)
def test_outputs_and_a_step_are_those_of_keras(name: str, backend: str) -> None:
    names, *arrays = seen(uf, name, backend=backend)
    keras_names, *expected = _keras_sees()[name]
    assert names == keras_names
    for ours, theirs in zip(arrays, expected, strict=True):
        assert_close(ours, theirs, bounds=GRADIENT)


def _model() -> uf.Model:
    return uf.Sequential([uf.Input((5,)), layers.Dense(4, activation="tanh"), layers.Dense(2)], name="two")


def test_only_the_factors_learn_and_merging_keeps_the_outputs(tmp_path: Path) -> None:
    model = _model()
    before = model.predict(X)
    dense = model.layers[0]
    model.layers[1].trainable = False
    dense.enable_lora(2)
    np.testing.assert_array_equal(model.predict(X), before)  # b begins as zeros
    kernel = dense.kernel.numpy()
    model.compile("adam", loss="mse")
    model.fit(X, X[:, :2], epochs=3, verbose=0)
    assert [w.path for w in model.trainable_weights] == [
        "dense/bias", "dense/lora_kernel_a", "dense/lora_kernel_b",
    ]  # fmt: skip
    np.testing.assert_array_equal(dense.kernel.numpy(), kernel)
    learnt = model.predict(X)
    assert abs(learnt - before).max() > 1e-4
    model.save(tmp_path / "m.uf")
    np.testing.assert_allclose(uf.load(tmp_path / "m.uf").predict(X), learnt, atol=1e-6)
    dense.merge_lora()
    np.testing.assert_allclose(model.predict(X), learnt, atol=1e-6)
    assert [w.name for w in dense.weights] == ["kernel", "bias"]
    assert dense.kernel.trains
    dense.enable_lora(1)
    assert len(dense.weights) == 4


def test_a_config_tells_of_it() -> None:
    assert "lora_rank" not in layers.Dense(3).get_config()
    model = _model()
    model.layers[0].enable_lora(3, lora_alpha=1.5)
    again = uf.models.clone_model(model)
    again.set_weights(model.get_weights())
    assert (again.layers[0].lora_rank, again.layers[0].lora_alpha) == (3, 1.5)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


def test_where_it_cannot_be() -> None:
    with pytest.raises(NotBuiltError, match="Cannot enable lora on a layer that isn't yet built"):
        layers.Dense(3).enable_lora(2)
    constrained = layers.Dense(3, kernel_constraint="max_norm")
    constrained.build((None, 5))
    with pytest.raises(ArgumentError, match="Lora is incompatible with kernel constraints"):
        constrained.enable_lora(2)
    plain = layers.Dense(3)
    plain.build((None, 5))
    with pytest.raises(ArgumentError, match="nothing to merge"):
        plain.merge_lora()
    with pytest.raises(ArgumentError, match="rank is"):
        plain.enable_lora(0)
    plain.enable_lora(2)
    with pytest.raises(ArgumentError, match="lora is already enabled"):
        plain.enable_lora(2)
