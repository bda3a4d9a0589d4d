"""What training does where a program written for Keras relies on it; Keras is the judge where it can be."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import unifront as uf
from unifront import layers

BACKENDS = ["torch", "jax", "tensorflow"]
X = np.random.default_rng(1).normal(size=(8, 3)).astype("float32")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_model_without_trainable_weights_is_fitted(backend: str) -> None:
    image = uf.Input((3,))
    nothing = uf.Model(image, layers.ReLU()(image))
    frozen = uf.Sequential([uf.Input((3,)), layers.Dense(3)])
    frozen.trainable = False
    before = frozen.get_weights()
    for model in (nothing, frozen):
        model.compile("adam", "mse", metrics=["mae"])
        losses = model.fit(X, X, epochs=2, batch_size=4, verbose=0, backend=backend).history["loss"]
        assert len(losses) == 2
        assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert all(map(np.array_equal, before, frozen.get_weights()))
    theirs = keras.Sequential([keras.Input((3,)), keras.layers.ReLU()])
    theirs.compile("adam", "mse")
    nothing.compile("adam", "mse")
    expected = theirs.evaluate(X, X, verbose=0)
    assert nothing.fit(X, X, verbose=0, backend=backend).history["loss"][0] == pytest.approx(expected)


def test_data_for_inputs_that_the_model_has_not_are_passed_over_with_a_warning() -> None:
    features = uf.Input((3,), name="features")
    model = uf.Model(features, layers.Dense(1)(features))
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match="doesn't match the expected structure.*not used are 'more'"):
        found = model.predict({"features": X, "more": X})
    assert np.array_equal(found, model.predict(X))


def test_an_axis_of_size_one_too_many_is_left_out_of_the_data() -> None:
    model = uf.Sequential([uf.Input((3,)), layers.Dense(2)])
    assert np.array_equal(model.predict(X[..., None]), model.predict(X))
