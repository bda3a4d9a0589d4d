"""`uf.parity`: a row for each layer and weight, and a wrong row in a backend's table is found where it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from rich.console import Console

import unifront as uf
from tests.models import MODELS, TRAINABLE
from unifront import errors, layers, ops
from unifront.backends import added_rows, get_backend
from unifront.opset.activation import RELU
from unifront.opset.reduce import ARGMAX


@pytest.mark.parametrize("name", MODELS)
def test_backends_agree(name: str) -> None:
    model, (x, _) = MODELS[name]("float64")
    before = [weight.home for weight in model.weights]
    found = uf.parity(model, x[:4], gradients=True)
    assert found.backends == tuple(TRAINABLE)
    assert found.worst_forward < 1e-12
    assert found.worst_gradient < 1e-8
    assert [weight.home for weight in model.weights] == before
    paths = {row.path.partition("/")[0] for row in found.forward}
    without = layers.Flatten, layers.InputLayer
    with_outputs = {layer.name for layer in model.layers if not isinstance(layer, without)}
    assert with_outputs <= paths
    assert [row.path for row in found.gradients] == [
        seen.name for seen in model.graph().variables if seen.trainable
    ]
    assert all(row.size > 0 for row in found.forward)


@pytest.mark.parametrize("backend", TRAINABLE)
def test_a_wrong_row_is_found(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    native = get_backend(backend)
    rows = added_rows(backend)  # they stand before the backend's own
    right = native.rows().table[RELU]
    monkeypatch.setitem(rows, RELU, lambda x: right(x) * 1.001)
    x = uf.Input((3,), name="x", dtype="float64")
    y = layers.Dense(4, kernel_initializer="ones", name="first")(x)
    y = layers.ReLU(name="rectifier")(y)
    model = uf.Model(x, layers.Dense(2, name="last")(y), name="planted")
    found = uf.parity(model, np.ones((2, 3)), backends=[backend])
    off = {row.path: row.differences[backend] for row in found.forward}
    assert off["first"] < 1e-12
    assert off["rectifier"] == pytest.approx(1e-3, rel=1e-2)
    assert off["last"] > 1e-6
    assert found.worst_forward == pytest.approx(1e-3, rel=0.5)


def test_printing() -> None:
    model, (x, _) = MODELS["mlp"]("float32")
    console = Console(record=True, width=120)
    uf.parity(model, x[:2], backends=[TRAINABLE[0]], gradients=True).print(console)
    text = console.export_text()
    for part in (
        "mlp: forward, from NumPy",
        "gradients, from their median",
        TRAINABLE[0],
        "dense_1/kernel",
        "largest",
    ):
        assert part in text
    assert "e-" in text or "0.0e+00" in text


def test_half_precision_and_integers_are_compared_too() -> None:
    words = uf.Input((3,), dtype="int32")
    model = uf.Model(words, layers.Embedding(5, 2)(words))
    assert uf.parity(model, np.ones((2, 3), np.int32)).worst_forward == 0


def test_what_no_layer_makes_is_compared_too(monkeypatch: pytest.MonkeyPatch) -> None:
    x = uf.Input((3,), name="x", dtype="float64")
    model = uf.Model(x, [ops.exp(x), ops.argmax(x, -1)], name="bare")
    native = get_backend(TRAINABLE[0])
    rows = added_rows(TRAINABLE[0])
    right = native.rows().table[ARGMAX]
    monkeypatch.setitem(rows, ARGMAX, lambda *x, **options: right(*x, **options) + 1)
    found = uf.parity(model, np.eye(3), backends=TRAINABLE[0])
    first, second = found.forward
    assert first.differences[TRAINABLE[0]] < 1e-12
    assert second.differences[TRAINABLE[0]] > 0.1
    assert [first.path, second.path] == list(model.graph().output_names)


def test_gradients_of_integers_are_refused() -> None:
    x = uf.Input((3,), name="x")
    model = uf.Model(x, ops.argmax(x, -1), name="numbers")
    with pytest.raises(errors.ArgumentError, match="'numbers' has no float output, and so no gradients"):
        uf.parity(model, np.eye(3), gradients=True)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"backends": ["thorch"]}, errors.UnknownName, "Unknown backend 'thorch'"),
        ({"x": np.ones((2, 7))}, errors.DataError, r"input 'features' .* has the shape \(2, 7\)"),
    ],
)
def test_what_is_refused(options: dict[str, Any], error: type[Exception], match: str) -> None:
    model, (x, _) = MODELS["mlp"]("float32")
    with pytest.raises(error, match=match):
        uf.parity(model, **{"x": x, **options})
