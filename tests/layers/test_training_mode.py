"""What layers do only while training: noise, and the share of it that gradients see."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.layers.judge import OURS, ask_keras, floatx
from tests.layers.keras_worker import recurrent_with_dropout
from unifront import layers, ops
from unifront.backends import HostKey, installed, placement
from unifront.dtypes import float64, key
from unifront.ir.types import TensorType
from unifront.opset.tensor import Builder
from unifront.testing import FORWARD, assert_close
from unifront.trace import CallContext, call_context, current_context, trace

BACKENDS = [name for name in installed() if name != "numpy"]
ONES = np.ones((400, 8), np.float32)


@pytest.mark.parametrize("backend", installed())
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_dropout_drops_its_rate_and_keeps_the_mean(backend: str, rate: float) -> None:
    place = placement(backend)
    uf.set_seed(3)
    with uf.backend(backend):
        y = place.backend.numpy(layers.Dropout(rate)(place.backend.array(ONES), training=True))
    kept = y != 0
    np.testing.assert_allclose(y[kept], 1 / (1 - rate), rtol=1e-6)
    assert abs(1 - kept.mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / y.size)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("text", "shape", "one_draw"),
    [
        ("Dropout(0.5)", (4, 5), None),
        ("Dropout(0.5, noise_shape=(None, 1))", (40, 5), 1),
        ("SpatialDropout1D(0.5)", (8, 6, 5), 1),
        ("SpatialDropout2D(0.5)", (8, 3, 3, 5), (1, 2)),
        ("SpatialDropout2D(0.5, data_format='channels_first')", (8, 5, 3, 3), (2, 3)),
    ],
)
def test_the_gradient_of_dropout_is_its_own_mask(
    text: str, shape: tuple[int, ...], one_draw: Any, backend: str
) -> None:
    layer = eval(text, OURS)
    x = np.random.default_rng(1).normal(size=shape) + 3

    def function(x: Any) -> list[Any]:
        y = layer(x)
        return [ops.sum(y), y]

    traced = trace(function, {"x": TensorType(float64, shape)}, training=True)
    place = placement(backend)
    program = place.backend.value_and_grad(traced.graph, ["x"], place.device)
    results = program([place.backend.array(x, place.device), place.backend.key(5, place.device)], [])
    _, y, slope = (place.backend.numpy(result) for result in results)
    assert_close(y / x, slope, bounds={**FORWARD, "float64": 1e-12}, what="mask")
    assert set(np.round(np.unique(slope), 6)) == {0.0, 2.0}
    if one_draw is not None:
        assert (np.ptp(slope, axis=one_draw) == 0).all()


def test_draws_differ_between_calls_layers_and_seeds_and_repeat_with_them() -> None:
    def draws(seed: int) -> list[np.ndarray]:
        uf.set_seed(seed)
        one, own = layers.Dropout(0.5), layers.Dropout(0.5, seed=4)
        return [one(ONES, training=True), one(ONES, training=True), own(ONES, training=True)]

    first, again, other = draws(1), draws(1), draws(2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_noise_has_its_standard_deviation(backend: str) -> None:
    place = placement(backend)
    layer = layers.GaussianNoise(0.5, seed=1)
    with uf.backend(backend):
        y = place.backend.numpy(layer(place.backend.array(0 * ONES), training=True))
        still = place.backend.numpy(layer(place.backend.array(ONES)))
    assert abs(y.std() - 0.5) < 0.04
    assert abs(y.mean()) < 0.04
    assert np.array_equal(still, ONES)


@pytest.fixture
def fixed_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every dropout multiplies by the same numbers."""

    def dropout(x: Any, key: Any, *, rate: float, noise_shape: Any = None) -> Any:
        shape = noise_shape or x.shape
        return ops.multiply(x, mask_of(tuple(shape)))

    monkeypatch.setattr(ops, "dropout", dropout)


def mask_of(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(shape[-1]).integers(0, 2, (shape[0], shape[-1])).reshape(shape) * 2.0


@pytest.mark.usefixtures("fixed_masks")
@pytest.mark.parametrize(
    "text", ["SimpleRNN(3, {})", "LSTM(3, {})", "GRU(3, {})", "GRU(3, reset_after=False, {})"]
)
@pytest.mark.parametrize(
    "share", ["dropout=0.5", "recurrent_dropout=0.5", "dropout=0.5, recurrent_dropout=0.5"]
)
def test_recurrent_layers_drop_the_same_features_at_all_steps_as_in_keras(text: str, share: str) -> None:
    x = np.random.default_rng(1).normal(size=(4, 5, 2))
    text = text.format(f"{share}, return_sequences=True")
    with floatx("float64"):
        ours = eval(text, OURS)
        ours(x)
        masks = {"dropout": mask_of((4, 2)), "recurrent_dropout": mask_of((4, 3))}
        weights, expected = ask_keras(recurrent_with_dropout, text, x, masks)
        ours.set_weights(weights)
        assert_close(ours(x, training=True), expected, what=text)


@pytest.mark.parametrize("backend", BACKENDS)
def test_recurrent_dropout_trains(backend: str) -> None:
    x = uf.Input((5, 2))
    model = uf.Model(x, layers.LSTM(3, dropout=0.2, recurrent_dropout=0.3)(x))
    model.compile("adam", loss="mse")
    data = np.random.default_rng(1).normal(size=(8, 5, 2))
    losses = model.fit(data, np.zeros((8, 3)), epochs=3, verbose=0, backend=backend).history["loss"]
    assert np.isfinite(losses).all()
    assert losses[-1] != losses[0]


def test_a_layer_told_to_train_draws_in_inference() -> None:
    x = uf.Input((300,), name="x")
    model = uf.Model(x, layers.Dropout(0.5)(x, training=True))
    assert model.graph().input_names == ("x", "key")
    uf.set_seed(3)
    first, second = (model.predict(np.ones((1, 300)), backend="numpy") for _ in range(2))
    assert set(first.flat) == {0, 2}
    assert (first != second).any()


def test_the_graph_of_inference_has_a_key_only_if_it_draws() -> None:
    x = uf.Input((3,), name="x")
    model = uf.Model(x, layers.Dropout(0.5)(x))
    assert model.graph().input_names == ("x",)
    assert model.graph(training=True).input_names == ("x", "key")


def test_a_key_is_drawn_for_each_use() -> None:
    builder = Builder("keys")
    with call_context(CallContext(training=True, key=builder.input("key", TensorType(key)))):
        context = current_context()
        assert context is not None
        first, second = context.random_key(), context.random_key()
    assert first.value != second.value
    assert HostKey(1).fold_in(1) != HostKey(1).fold_in(2)
