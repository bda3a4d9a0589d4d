"""Recurrent layers that keep their states: from batch to batch, in every way that a model is run."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.layers.judge import BACKENDS
from unifront import layers
from unifront.backends import installed
from unifront.errors import ArgumentError
from unifront.testing import assert_close

X = np.random.default_rng(0).normal(size=(2, 6, 3)).astype("float32")
TWO = np.concatenate(
    [X[:, :3], X[:, 3:]]
)  # batches of two rows, each of which goes on where the last one ended
Y = np.zeros((4, 2), np.float32)

KINDS: dict[str, Any] = {
    "LSTM": lambda **options: layers.LSTM(2, **options),
    "GRU, scanned": lambda **options: layers.GRU(2, activation="relu", **options),
    "cells": lambda **options: layers.RNN([layers.SimpleRNNCell(3), layers.LSTMCell(2)], **options),
}


def model_of(kind: str) -> tuple[Any, Any, Any]:
    """A stateful model, its layer, and a model with the same weights that keeps nothing."""
    uf.set_seed(1)
    layer = KINDS[kind](stateful=True)
    model = uf.Sequential([uf.Input((3, 3), batch_size=2), layer])
    plain = uf.Sequential([uf.Input((None, 3)), KINDS[kind]()])
    plain.set_weights(model.get_weights())
    return model, layer, plain


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", installed())
def test_predict_goes_on_where_the_last_batch_ended(kind: str, backend: str) -> None:
    model, layer, plain = model_of(kind)
    found = model.predict(TWO, batch_size=2, backend=backend)
    assert_close(found[:2], plain.predict(X[:, :3], backend="numpy"))
    assert_close(found[2:], plain.predict(X, backend="numpy"))
    assert_close(
        model.predict(X[:, :3], batch_size=2, backend=backend),
        plain.predict(np.concatenate([X, X[:, :3]], 1), backend="numpy"),
    )
    layer.reset_state()
    assert_close(model.predict(TWO, batch_size=2, backend=backend), found)


@pytest.mark.parametrize("backend", BACKENDS)
def test_fit_and_evaluate_keep_the_states(backend: str) -> None:
    model, layer, plain = model_of("LSTM")
    model.compile(uf.optimizers.SGD(0.0), loss="mse")
    model.fit(TWO, Y, batch_size=2, epochs=1, shuffle=False, verbose=0, backend=backend)
    x = uf.Input((None, 3))
    last = uf.Model(x, layers.LSTM(2, return_state=True)(x))
    last.set_weights(plain.get_weights())
    for state, expected in zip(layer.states, last.predict(X, backend="numpy")[1:], strict=True):
        assert_close(state.numpy(), expected)
    model.evaluate(TWO, Y, batch_size=2, verbose=0, backend=backend)
    for state, expected in zip(
        layer.states, last.predict(np.concatenate([X, X], 1), backend="numpy")[1:], strict=True
    ):
        assert_close(state.numpy(), expected)


def test_eager_calls_and_hybridized_ones_keep_the_states() -> None:
    model, layer, plain = model_of("LSTM")
    expected = plain.predict(X, backend="numpy")
    for _ in range(2):
        layer.reset_state()
        layer(X[:, :3])
        assert_close(np.asarray(layer(X[:, 3:])), expected)
        model.hybridize()


def test_no_gradient_comes_from_the_batch_before() -> None:
    import torch

    layer = layers.GRU(2, stateful=True)
    x = torch.tensor(X[:, :3], requires_grad=True)
    layer(x)
    layer(torch.tensor(X[:, 3:])).sum().backward()
    assert x.grad is None


def test_states_are_no_weights() -> None:
    _, layer, plain = model_of("LSTM")
    assert len(layer.weights) == len(plain.weights) == 3
    assert layer.count_params() == plain.count_params()


def test_a_copy_and_a_file_keep_states_of_their_own(tmp_path: Path) -> None:
    model, _, plain = model_of("LSTM")
    model.predict(X[:, :3], batch_size=2, backend="numpy")
    copied = copy.deepcopy(model)
    model.save(tmp_path / "model.uf")
    again = uf.load(tmp_path / "model.uf")
    expected = plain.predict(X, backend="numpy")
    for one in (copied, again, model):  # each goes on by itself
        assert_close(one.predict(X[:, 3:], batch_size=2, backend="numpy"), expected)


def test_both_directions_keep_states() -> None:
    layer = layers.Bidirectional(layers.GRU(2, stateful=True))
    first = layer(X)
    assert not np.allclose(layer(X), first)
    layer.reset_state()
    np.testing.assert_array_equal(layer(X), first)
    with pytest.raises(ArgumentError, match="bidirectional is not stateful"):
        layers.Bidirectional(layers.GRU(2)).reset_state()


def test_states_begin_as_the_cell_says() -> None:
    class Counting(uf.Layer):
        state_size = 1

        def get_initial_state(self, batch_size: Any = None) -> list[Any]:
            return [uf.ops.full((batch_size, 1), 5.0)]

        def call(self, inputs: Any, states: Any) -> Any:
            return states[0], [states[0] + 1.0]

    model = uf.Sequential([uf.Input((3, 3), batch_size=2), layers.RNN(Counting(), stateful=True)])
    assert model.predict(TWO, batch_size=2, backend="numpy")[:, 0].tolist() == [7.0, 7.0, 10.0, 10.0]


def test_a_free_batch_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"^lstm: LSTM is stateful, .* batch_size"):
        uf.Sequential([uf.Input((3, 3)), layers.LSTM(2, stateful=True)])


def test_another_batch_is_refused() -> None:
    layer = layers.LSTM(2, stateful=True)
    layer(X)
    with pytest.raises(ArgumentError, match="the batch size is that of its states, 2, not 1"):
        layer(X[:1])
