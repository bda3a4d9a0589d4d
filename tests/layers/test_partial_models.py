"""Models from tensors in the midst of a graph, and inputs that may be left out."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.layers.judge import ask_keras
from tests.layers.partial import by_keras, parts
from tests.models import TRAINABLE
from unifront import layers, ops
from unifront.backends import installed
from unifront.errors import ArgumentError, DataError, ShapeError
from unifront.testing import GRADIENT, assert_close

X = np.arange(12, dtype=np.float32).reshape(4, 3)


@cache
def _keras_sees() -> dict[str, list[np.ndarray]]:
    seen: dict[str, list[np.ndarray]] = ask_keras(by_keras)
    return seen


@pytest.mark.parametrize("backend", TRAINABLE)
def test_parts_from_the_midst_are_those_of_keras(backend: str) -> None:
    expected = _keras_sees()
    found = parts(uf, backend=backend)
    assert found.keys() == expected.keys()
    for what, arrays in expected.items():
        assert len(found[what]) == len(arrays), what
        for ours, theirs in zip(found[what], arrays, strict=True):
            assert_close(ours, theirs, bounds=GRADIENT, what=f"{what}, {backend}")


def test_a_part_shares_layers_and_leaves_the_whole_as_it_was() -> None:
    x = uf.Input((3,))
    hidden = layers.Dense(4, name="hidden")(x)
    whole = uf.Model(x, layers.Dense(2, name="top")(hidden))
    before = whole.predict(X, backend="numpy")
    top = uf.Model(whole.get_layer("hidden").output, whole.output)
    assert top.input_shape == (None, 4)
    assert isinstance(top.layers[0], layers.InputLayer)
    assert [layer.name for layer in top.layers[1:]] == ["top"]
    assert top.get_layer("top") is whole.get_layer("top")
    assert whole.get_layer("top").output is whole.output
    assert [weight.path for weight in top.weights] == ["top/kernel", "top/bias"]
    assert_close(top.predict(uf.Model(x, hidden).predict(X, backend="numpy"), backend="numpy"), before)
    assert_close(whole.predict(X, backend="numpy"), before)


def test_a_part_is_told_cloned_and_saved(tmp_path: Path) -> None:
    x = uf.Input((None, 3))
    hidden = layers.LSTM(4, return_sequences=True)(x)
    part = uf.Model(hidden, layers.Dense(2)(ops.flip(hidden, 1) + hidden))
    data = np.random.default_rng(0).normal(size=(2, 5, 4)).astype(np.float32)
    expected = part.predict(data, backend="numpy")
    for again in (uf.models.clone_model(part), uf.models.model_from_json(part.to_json())):
        again.set_weights(part.get_weights())
        assert_close(again.predict(data, backend="numpy"), expected)
    part.save(tmp_path / "part.uf")
    assert_close(uf.load(tmp_path / "part.uf").predict(data, backend="numpy"), expected)


def test_sizes_in_the_midst_are_those_of_the_data() -> None:
    x = uf.Input((None, 3))
    short = layers.MaxPooling1D(2)(x)
    batch, time, _ = short.shape
    flat = ops.reshape(layers.Dense(4)(short), (batch, time * 4))
    for inputs in (short, [short]):
        model = uf.Model(inputs, flat)
        for steps in (2, 5):
            data = np.ones((2, steps, 3), np.float32)
            assert model.predict(data, backend="numpy").shape == (2, steps * 4)
            assert model(data).shape == (2, steps * 4)
    pooled = layers.GlobalAveragePooling1D()(x)
    spread = ops.broadcast_to(ops.expand_dims(pooled, 1), (batch, time, 3))
    with pytest.raises(ArgumentError, match=r"The size .* is counted from another input of the graph"):
        uf.Model(pooled, spread)


def test_what_does_not_lead_to_the_output_is_named() -> None:
    x, y = uf.Input((3,), name="x"), uf.Input((3,), name="y")
    hidden = layers.Dense(3)(x)
    with pytest.raises(
        ArgumentError, match="depends on the Input 'y', which is not among the model's inputs"
    ):
        uf.Model(hidden, hidden + y)
    with pytest.raises(ArgumentError, match=r"uf.Input tensors, or outputs of layers; not 3"):
        uf.Model(3, hidden)


class Plus(uf.Layer):
    """The sum of what there is."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.inner = layers.Dense(2)

    def call(self, x: Any, other: Any = None) -> Any:
        return self.inner(x if other is None else x + other)


def _optional(structure: str) -> tuple[uf.Model, Any]:
    x, other = uf.Input((3,), name="x"), uf.Input((3,), name="other", optional=True)
    y = Plus()(x, other)
    if structure == "dict":
        return uf.Model({"x": x, "other": other}, y), lambda a, b: {"x": a, "other": b}
    return uf.Model([x, other], y), lambda a, b: [a, b]


@pytest.mark.parametrize("structure", ["list", "dict"])
def test_an_optional_input_may_be_left_out(structure: str) -> None:
    model, given = _optional(structure)
    inner = model.get_layer("plus").inner
    without, full = np.asarray(inner(X)), np.asarray(inner(2 * X))
    assert_close(model(given(X, None)), without)
    assert_close(model(given(X, X)), full)
    for backend in installed():
        assert_close(model.predict(given(X, None), backend=backend), without)
        assert_close(model.predict(given(X, X), backend=backend), full)
    around = uf.Input((3,))
    assert_close(uf.Model(around, model(given(around, None)))(X), without)


class OwnStep(uf.Model):
    def train_step(self, data: Any) -> Any:
        return super().train_step(data)


@pytest.mark.parametrize(
    ("backend", "kind"),
    [
        *((name, "arrays") for name in installed() if name != "numpy"),
        *(("torch", kind) for kind in ("generator", "eager", "own step")),
    ],
)
def test_training_goes_without_an_optional_input(backend: str, kind: str) -> None:
    y = X[:, :2]
    model, given = _optional("dict")
    if kind == "own step":
        model = OwnStep(dict(zip(("x", "other"), model.inputs, strict=True)), model.outputs[0])
    inner = model.get_layer("plus").inner
    alone = uf.Sequential([uf.Input((3,)), layers.Dense(2)])
    alone.set_weights(inner.get_weights())
    for one in (model, alone):
        one.compile("sgd", "mse", run_eagerly=kind == "eager", backend=backend)
    data = (given(X, None), y) if kind != "generator" else (((given(X, None), y) for _ in range(1)),)
    held = (given(X, None), y)
    history = model.fit(*data, epochs=1, batch_size=len(X), verbose=0, validation_data=held).history
    wanted = alone.fit(X, y, epochs=1, batch_size=len(X), verbose=0, validation_data=(X, y)).history
    for name in wanted:
        assert_close(np.array(history[name], np.float32), np.array(wanted[name], np.float32))
    assert_close(inner.kernel.numpy(), alone.layers[0].kernel.numpy())
    assert_close(np.float32(model.evaluate(*held, verbose=0)), np.float32(alone.evaluate(X, y, verbose=0)))
    if kind == "generator":
        batches = [given(X, None), given(X, X)]
        assert_close(model.predict(iter(batches), verbose=0)[: len(X)], alone.predict(X, verbose=0))


def test_an_input_that_is_not_optional_may_not() -> None:
    model, given = _optional("dict")
    for call in (model, model.predict):
        with pytest.raises(ArgumentError, match="The input 'x' is not optional, but None was given"):
            call(given(None, X))
    plain = uf.Sequential([uf.Input((3,)), layers.Dense(1)])
    plain.compile("sgd", "mse")
    with pytest.raises(DataError, match="is not optional"):
        plain.fit([None], X[:, :1])


def test_a_config_tells_that_an_input_is_optional() -> None:
    model, given = _optional("list")
    with uf.saving.custom_object_scope({"Plus": Plus}):
        for again in (uf.models.clone_model(model), uf.models.model_from_json(model.to_json())):
            again.set_weights(model.get_weights())
            assert again.inputs[1].layer.optional
            assert not again.inputs[0].layer.optional
            assert_close(again(given(X, None)), model(given(X, None)))


def test_a_shape_that_does_not_fit_is_still_refused() -> None:
    model, given = _optional("list")
    with pytest.raises(ShapeError, match="The input 'other' is"):
        model(given(X, X[:, :2]))
