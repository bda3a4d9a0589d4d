"""Model surgery: parts, new heads, frozen layers; trained on every backend, judged by Keras."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import unifront as uf
from tests.layers.judge import ask_keras
from tests.layers.surgery import X, Y, built, by_keras, walk
from tests.models import TRAINABLE
from unifront import layers
from unifront.errors import UnknownName
from unifront.testing import GRADIENT, assert_close


@cache
def _keras_sees() -> dict[str, list[np.ndarray]]:
    seen: dict[str, list[np.ndarray]] = ask_keras(by_keras)
    return seen


@pytest.mark.parametrize("backend", TRAINABLE)
def test_a_nested_model_is_cut_and_trains_as_in_keras(backend: str) -> None:
    expected = _keras_sees()
    found = walk(uf, backend=backend)
    for cut, arrays in expected.items():
        assert len(found[cut]) == len(arrays), cut
        for ours, theirs in zip(found[cut], arrays, strict=True):
            assert_close(ours, theirs, bounds=GRADIENT, what=f"{cut}, {backend}")  # after 24 steps


@pytest.mark.parametrize("backend", TRAINABLE)
def test_layers_are_frozen_by_pattern_while_training_goes_on(backend: str) -> None:
    model = built(uf)
    model.compile("sgd", loss="mse")

    def moved() -> set[str]:
        before = {weight.path: weight.numpy() for weight in model.weights}
        model.fit(X, X[:, :4], epochs=1, verbose=0, backend=backend)
        return {weight.path for weight in model.weights if (weight.numpy() != before[weight.path]).any()}

    every = moved()
    assert every == {weight.path for weight in model.weights}
    model.freeze("*block*")
    assert moved() == {path for path in every if "block" not in path}
    model.unfreeze("block/inside/second")
    assert moved() == {path for path in every if "block" not in path or "second" in path}
    model.unfreeze()
    assert moved() == every
    with pytest.raises(UnknownName, match="blocks"):
        model.freeze("blocks*")


def test_a_part_and_the_whole_share_weights_and_files(tmp_path: object) -> None:
    whole = built(uf)
    trunk = uf.Model(whole.input, whole.get_layer("bent").output)
    new = uf.Model(trunk.input, layers.Dense(2)(trunk.output))
    assert all(a is b for a, b in zip(trunk.weights, whole.weights, strict=False))
    new.compile("sgd", loss="mse")
    new.fit(X, Y, verbose=0)
    new.save(f"{tmp_path}/new.uf")
    np.testing.assert_array_equal(uf.load(f"{tmp_path}/new.uf").predict(X), new.predict(X))
    assert [w.path for w in new.weights][:2] == ["stem/kernel", "stem/bias"]
