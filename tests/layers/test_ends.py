"""The ends of layers and models, the order of layers, features taken from inside: judged by Keras."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.layers.judge import OURS, ask_keras
from tests.layers.model_facts import TEXTS, facts, keras_facts
from tests.models import TRAINABLE
from unifront import errors, layers, ops
from unifront.testing import assert_close

X = np.random.default_rng(4).normal(size=(6, 5)).astype(np.float32)


@pytest.mark.parametrize("what", TEXTS)
def test_layers_and_ends_are_those_of_keras(what: str) -> None:
    assert facts(OURS, TEXTS[what]) == ask_keras(keras_facts, TEXTS[what])


def test_weights_keep_their_paths_when_layers_are_ordered() -> None:
    """Names go by the calls, so that a model's weights are called (and drawn) as before."""
    x = uf.Input((5,))
    short = layers.Dense(2)(x)
    long = layers.Dense(2)(layers.Dense(3)(x))
    model = uf.Model(x, [short, long])
    assert [layer.name for layer in model.layers] == ["input", "dense_1", "dense", "dense_2"]
    assert model.get_layer("dense").output is short


@pytest.mark.parametrize("backend", TRAINABLE)
def test_features_from_inside_a_model(backend: str) -> None:
    x = uf.Input((5,), name="x")
    hidden = layers.Dense(4, activation="relu", name="hidden")(x)
    model = uf.Model(x, layers.Dense(2, name="top")(ops.multiply(hidden, 2.0)), name="whole")
    features = uf.Model(model.input, [model.get_layer("hidden").output, model.output])
    found, top = features.predict(X, backend=backend)
    np.testing.assert_allclose(found, model.get_layer("hidden")(X), atol=1e-6)
    np.testing.assert_allclose(top, model.predict(X, backend="numpy"), atol=1e-5)
    assert features.weights == model.weights
    later = uf.Input((4,), name="later")
    assert uf.Model(later, model.get_layer("top")(later)).predict(found, backend=backend).shape == (6, 2)
    assert model.get_layer("top").output is model.output  # of its first call


def test_features_from_inside_a_nested_model() -> None:
    inner = uf.Sequential(
        [uf.Input((5,)), layers.Dense(4, name="a"), layers.Dense(3, name="b")], name="inner"
    )
    x = uf.Input((5,), name="x")
    model = uf.Model(x, layers.Dense(1)(inner(x)))
    a = model.get_layer("inner/a")
    assert a is inner.get_layer("a")
    part = uf.Model(inner.inputs, a.output)  # `input` is x, as in Keras
    np.testing.assert_allclose(part(X), a(X), atol=1e-6)
    whole = uf.Model(x, layers.Dense(2)(part(x)))
    assert whole.weights[0] is a.weights[0]


def test_a_sequential_has_ends_from_its_first_data_on() -> None:
    model = uf.Sequential([layers.Dense(4, name="a"), layers.Dense(3, name="b")], name="later")
    for ask in (lambda: model.input, lambda: model.output, lambda: model.input_shape):
        with pytest.raises(errors.NotBuiltError, match="'later' has no symbolic input and output"):
            ask()
    assert not hasattr(model, "output")  # as in Keras, the error is an AttributeError
    expected = model.predict(X, backend="numpy")
    assert (model.input_shape, model.output_shape) == ((None, 5), (None, 3))
    half = uf.Model(model.inputs, model.get_layer("a").output)
    np.testing.assert_allclose(model.get_layer("b")(half.predict(X, backend="numpy")), expected, atol=1e-6)
    model.add(layers.Dense(2))
    assert model.output_shape == (None, 2)
    model.pop()
    assert model.output is model.get_layer("b").output
    built = uf.Sequential([layers.Dense(4)])
    built.build((None, 5))
    assert built.output_shape == (None, 4)


def test_a_sequential_that_gives_several_tensors_runs_without_ends() -> None:
    model = uf.Sequential([layers.LSTM(2, return_state=True)])
    assert len(model.predict(np.ones((3, 4, 5), np.float32), backend="numpy")) == 3
    assert not hasattr(model, "output")


def test_a_layer_without_a_call_has_no_ends() -> None:
    layer = layers.Dense(3, name="lonely")
    for name in ("input", "output"):
        with pytest.raises(
            errors.NotBuiltError, match="^The layer 'lonely' was never called on symbolic tensors"
        ):
            getattr(layer, name)
    layer(X)
    assert not hasattr(layer, "output")


def test_a_layer_may_have_an_attribute_called_output() -> None:
    class Net(uf.Model):
        def __init__(self) -> None:
            super().__init__()
            self.input, self.output = layers.Dense(4), layers.Dense(2)

        def call(self, x: Any) -> Any:
            return self.output(self.input(x))

    model = Net()
    assert model.predict(X, backend="numpy").shape == (6, 2)
    assert [weight.path for weight in model.weights][::2] == ["input/kernel", "output/kernel"]


def test_an_input_layer_is_an_input() -> None:
    layer = layers.InputLayer((7,), batch_size=2, dtype="int32", name="words")
    assert (layer.batch_shape, layer.dtype.name, layer.name) == ((2, 7), "int32", "words")
    assert layer.output.layer is layer
    model = uf.Model(layer.output, layers.Embedding(4, 2)(layer.output))
    assert model.layers[0] is layer is model.get_layer("words")
    assert model.output_shape == (2, 7, 2)
    with pytest.raises(errors.ArgumentError, match="takes a shape"):
        layers.InputLayer()


def test_a_layer_called_as_the_input_of_its_sequential_is_found() -> None:
    """Keras allows it there; in a model of the functional API such names are refused."""
    model = uf.Sequential([uf.Input((5,), name="same"), layers.Dense(2, name="same")])
    assert isinstance(model.get_layer("same"), layers.Dense)


def test_the_shape_of_an_output_without_an_argument_that_may_be_left_out() -> None:
    layer = layers.MultiHeadAttention(2, 3)
    assert layer.compute_output_shape((None, 4, 8), (None, 2, 8), None) == (None, 4, 8)


@pytest.mark.parametrize(
    ("layer", "supports"),
    [
        (layers.Masking(), True),
        (layers.Embedding(3, 2), False),
        (layers.Embedding(3, 2, mask_zero=True), True),
    ],
)
def test_which_layers_say_that_masks_pass(layer: uf.Layer, supports: bool) -> None:
    assert layer.supports_masking is supports


def test_a_layer_without_a_computation_is_not_implemented() -> None:
    with pytest.raises(NotImplementedError, match="Layer does not define call"):
        uf.Layer()(np.ones((1, 2), np.float32))


def test_the_ends_of_a_sequential_in_another_model_are_those_of_its_call() -> None:
    inner = uf.Sequential([uf.Input((4,)), layers.Dense(3), layers.Dense(2)])
    assert inner.output is inner.outputs[0]
    x = uf.Input((4,))
    h = inner(x)
    outer = uf.Model(x, layers.Dense(1)(h))
    assert (inner.input, inner.output) == (x, h)
    assert inner.outputs[0] is not h
    data = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    found = uf.Model(outer.inputs, [layer.output for layer in outer.layers]).predict(data, verbose=0)
    for one, judge in zip(found, (data, inner(data), outer(data)), strict=True):
        assert_close(one, judge)
