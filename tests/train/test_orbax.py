"""`OrbaxCheckpoint`: what it writes, and how it is read back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.models import TRAINABLE
from unifront import layers
from unifront.errors import BackendMissing, FileFormatError

ANY = "torch" if "torch" in TRAINABLE else TRAINABLE[0]
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 4)).astype(np.float32), RNG.normal(size=(20, 1)).astype(np.float32)


def model_of() -> uf.Model:
    parts = [
        layers.Dense(3, name="first"),
        layers.BatchNormalization(name="norm"),
        layers.Dense(1, name="last"),
    ]
    net = uf.Sequential([layers.Input((4,)), *parts], name="net")
    net.compile("adam", "mse")
    return net


def fit(model: uf.Model, folder: Path, backend: str = ANY, **options: Any) -> None:
    callback = uf.callbacks.OrbaxCheckpoint(folder, "loss", **options)
    model.fit(X, Y, epochs=3, batch_size=5, verbose=0, backend=backend, callbacks=[callback])


def steps(folder: Path) -> list[str]:
    return sorted(one.name for one in folder.iterdir())


@pytest.mark.parametrize("backend", TRAINABLE)
def test_the_model_comes_back_with_its_optimizer(backend: str, tmp_path: Path) -> None:
    model = model_of()
    fit(model, tmp_path, backend, save_on_background=backend == "torch")
    again = uf.load(tmp_path)
    assert again.name == "net"
    assert again.optimizer.iterations == 12
    for ours, theirs in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    for ours, theirs in zip(model.optimizer.variables, again.optimizer.variables, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    for one in (model, again):  # and goes on as if it had never stopped
        one.fit(X, Y, batch_size=5, verbose=0, backend=backend, shuffle=False)
    np.testing.assert_array_equal(model.get_weights()[0], again.get_weights()[0])


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, ["2"]),
        ({"max_to_keep": 2}, ["1", "2"]),
        ({"max_to_keep": None}, ["0", "1", "2"]),
        ({"max_to_keep": None, "save_freq": 5}, ["10", "5"]),
        ({"save_best_only": True, "mode": "min", "initial_value_threshold": -1.0}, []),
    ],
)
def test_which_are_kept(options: dict[str, Any], kept: list[str], tmp_path: Path) -> None:
    fit(model_of(), tmp_path, **options)
    assert steps(tmp_path) == kept


def test_weights_alone(tmp_path: Path) -> None:
    model = model_of()
    fit(model, tmp_path, save_weights_only=True)
    with pytest.raises(
        FileFormatError, match="no description of the model, as is so with save_weights_only=True"
    ):
        uf.load(tmp_path)
    again = model_of()
    again.load_weights(tmp_path / "2")
    np.testing.assert_array_equal(model.get_weights()[0], again.get_weights()[0])
    other = uf.Sequential([layers.Input((4,)), layers.Dense(3, name="first"), layers.Dense(2, name="last")])
    before = other.get_weights()
    with pytest.raises(
        FileFormatError, match=r"does not fit the model .*it holds 4 that the model does not have"
    ):
        other.load_weights(tmp_path)
    np.testing.assert_array_equal(before[0], other.get_weights()[0])


def test_without_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "orbax.checkpoint", None)
    with pytest.raises(BackendMissing, match=r"pip install 'unifront\[orbax\]'"):
        uf.callbacks.OrbaxCheckpoint(tmp_path)


def test_a_broken_checkpoint_is_an_error_of_ours(tmp_path: Path) -> None:
    fit(model_of(), tmp_path)
    for file in (tmp_path / "2" / "pytree").rglob("*"):
        if file.is_file():
            file.write_bytes(b"broken")
    with pytest.raises(FileFormatError, match="cannot be read"):
        model_of().load_weights(tmp_path)


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="is a folder; a file is needed"):
        uf.load(tmp_path)
