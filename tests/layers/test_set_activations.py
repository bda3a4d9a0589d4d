"""An activation that is set after its layer was made: the layer is as one made with it."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import unifront as uf
from unifront import errors, layers
from unifront.testing import assert_close

X = {
    shape: np.random.default_rng(0).normal(size=shape).astype("float32")
    for shape in ((2, 4), (2, 5, 4), (2, 5, 6, 4))
}
CASES = [
    ("Dense", lambda a: layers.Dense(3, activation=a), X[2, 4]),
    ("EinsumDense", lambda a: layers.EinsumDense("abc,cd->abd", (None, 3), activation=a), X[2, 5, 4]),
    ("Activation", layers.Activation, X[2, 4]),
    ("Conv2D", lambda a: layers.Conv2D(2, 3, activation=a), X[2, 5, 6, 4]),
    ("Conv1DTranspose", lambda a: layers.Conv1DTranspose(2, 3, activation=a), X[2, 5, 4]),
    ("DepthwiseConv2D", lambda a: layers.DepthwiseConv2D(2, activation=a), X[2, 5, 6, 4]),
    ("SeparableConv1D", lambda a: layers.SeparableConv1D(2, 2, activation=a), X[2, 5, 4]),
    ("SimpleRNN", lambda a: layers.SimpleRNN(3, activation=a), X[2, 5, 4]),
    ("LSTM", lambda a: layers.LSTM(3, activation=a), X[2, 5, 4]),
    ("GRU", lambda a: layers.GRU(3, activation=a), X[2, 5, 4]),
    ("LSTM-recurrent", lambda a: layers.LSTM(3, recurrent_activation=a), X[2, 5, 4]),
    ("ConvLSTM1D-recurrent", lambda a: layers.ConvLSTM1D(2, 2, recurrent_activation=a), X[2, 5, 6, 4]),
    ("RNN", lambda a: layers.RNN(layers.LSTMCell(3, activation=a)), X[2, 5, 4]),
]  # fmt: skip


@pytest.mark.parametrize(("case", "made", "x"), CASES, ids=[case for case, *_ in CASES])
def test_a_layer_with_it_set_is_one_made_with_it(case: str, made: Any, x: np.ndarray) -> None:
    before = "linear" if case == "Activation" else None
    name = "recurrent_activation" if "recurrent" in case else "activation"
    model = uf.Sequential([uf.Input(x.shape[1:]), made("relu")])
    layer, eager = model.layers[0], made("relu")
    first = model.predict(x, verbose=0, backend="numpy")
    for value in (None, "sigmoid", uf.activations.tanh):
        wanted = made(before if value is None else "sigmoid" if value == "sigmoid" else "tanh")
        for one in (wanted, eager):
            one(x)
            one.set_weights(layer.get_weights())
        for one in (layer, eager):
            holder = one.cell if case == "RNN" else one
            setattr(holder, name, value)
        assert_close(np.asarray(eager(x)), np.asarray(wanted(x)))
        assert_close(model.predict(x, verbose=0, backend="numpy"), np.asarray(wanted(x)))
        theirs, ours = wanted.get_config(), layer.get_config()
        assert {**theirs, "name": ""} == {**ours, "name": "", "dtype": theirs["dtype"]}
    setattr(layer.cell if case == "RNN" else layer, name, "relu")
    assert_close(model.predict(x, verbose=0, backend="numpy"), first)


def test_training_goes_on_with_it() -> None:
    model = uf.Sequential([uf.Input((4,)), layers.Dense(3, activation="relu", name="last")])
    theirs = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="relu")])
    theirs.set_weights(model.get_weights())
    model.get_layer("last").activation = None
    theirs.layers[0].activation = None
    for one in (model, theirs):
        one.compile("sgd", "mse")
        one.fit(X[2, 4], np.full((2, 3), -1, "float32"), epochs=3, verbose=0)
    assert_close(model.get_weights()[0], theirs.get_weights()[0])


def test_a_layer_with_weights_may_be_set() -> None:
    layer = layers.Dense(3)
    layer.activation = layers.PReLU()
    layer(X[2, 4])
    assert len(layer.weights) == 3


@pytest.mark.parametrize("layer", [layers.Dense(3), layers.LSTM(3)])
def test_what_is_no_activation_is_refused(layer: Any) -> None:
    with pytest.raises(errors.UnknownName, match="Unknown activation 'rely'. Did you mean 'relu'"):
        layer.activation = "rely"
    with pytest.raises(errors.ArgumentError, match="activation"):
        layer.activation = 3
