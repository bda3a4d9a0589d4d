"""What bounds the cost of hostile files leaves room for large models."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

import unifront as uf
from tests.saving.files import entries_of, zipped
from unifront import layers
from unifront.ir.text import MAX_WORK

LAYERS = 10_000


def graph_of(key: str, count: int) -> str:
    """As it is written for so many dense layers with activations."""
    lines = [f'graph "deep"(%0 "x": float32[batch, 4]{key}) {{']
    first = 1 if not key else 2
    for i in range(count):
        lines.append(f'  variable %{first + 2 * i} "dense_{i}/kernel": float32[4, 4] trainable')
        lines.append(f'  variable %{first + 2 * i + 1} "dense_{i}/bias": float32[4] trainable')
    last, at = 0, first + 2 * count
    for i in range(count):
        kernel = first + 2 * i
        lines.append(
            f'  %{at}: float32[batch, 4] = dense(%{last}, %{kernel}, %{kernel + 1}) {{}} "dense_{i}"'
        )
        lines.append(f'  %{at + 1}: float32[batch, 4] = relu(%{at}) {{}} "dense_{i}"')
        last, at = at + 1, at + 2
    return "\n".join([*lines, f'  return %{last} "y"', "}"])


def deep(tmp_path: Path, count: int) -> Path:
    model = uf.Sequential([uf.Input((4,), name="x"), layers.Dense(4)], name="deep")
    path = tmp_path / "deep.uf"
    model.save(path)
    weights = {}
    for i in range(count):
        weights[f"dense_{i}/kernel"] = np.eye(4, dtype=np.float32)
        weights[f"dense_{i}/bias"] = np.zeros(4, np.float32)
    texts = {"inference.graph": graph_of("", count), "training.graph": graph_of(', %1 "key": key[]', count)}
    told = {
        "layers": [[f"dense_{i}", "Dense", True] for i in range(count)],
        "weights": [[name, True] for name in weights],
        "order": list(range(count)),
        "training": [],
        "inference": [],
    }
    texts["layers.json"] = json.dumps(told)
    entries = entries_of(path.read_bytes())
    path.write_bytes(
        zipped(
            {
                **entries,
                **{name: text.encode() for name, text in texts.items()},
                "weights.safetensors": save(weights),
            }
        )
    )
    return path


def test_a_model_of_ten_thousand_layers_loads(tmp_path: Path) -> None:
    model = uf.load(deep(tmp_path, LAYERS))
    assert len(model.weights) == 2 * LAYERS


def test_a_graph_that_is_too_large_is_neither_read_nor_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unifront.ir.text.MAX_WORK", MAX_WORK // 20)
    with pytest.raises(
        uf.errors.FileFormatError, match=r"graph cannot be read: Line \d+: the graph is too large to be read"
    ):
        uf.load(deep(tmp_path, LAYERS // 10))
    monkeypatch.setattr("unifront.ir.text.MAX_WORK", 200)
    model = uf.Sequential([uf.Input((4,)), layers.Dense(4), layers.Dense(4), layers.Dense(4)], name="small")
    with pytest.raises(
        uf.errors.ArgumentError,
        match=r"The model 'small' cannot be saved: its training.graph could not be read again: Line \d+: the graph is too large",
    ):
        model.save(tmp_path / "small.uf")
    assert not (tmp_path / "small.uf").exists()


@pytest.mark.slow
def test_a_model_of_the_zoo_with_hundreds_of_megabytes(tmp_path: Path) -> None:
    model = uf.zoo.create("resnet152")
    model.save(tmp_path / "resnet.uf")
    assert (tmp_path / "resnet.uf").stat().st_size > 200 * 2**20
    loaded = uf.load(tmp_path / "resnet.uf")
    for ours, theirs in zip(model.weights[::50], loaded.weights[::50], strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
