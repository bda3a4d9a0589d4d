"""With ``uf.set_rng("portable")`` what is random in training is the same on every backend."""

from __future__ import annotations

import numpy as np
import pytest

import unifront as uf
from unifront import layers
from unifront.backends import installed
from unifront.errors import UnknownName

TRAINABLE = [name for name in installed() if name != "numpy"]


@pytest.fixture
def portable():
    uf.set_rng("portable")
    yield
    uf.set_rng("native")


def ten_steps(backend: str, *random: uf.Layer) -> np.ndarray:
    uf.set_seed(3)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 6, 6, 2)), rng.normal(size=(40, 1))
    image = uf.Input((6, 6, 2), dtype="float64")
    hidden = image
    for layer in random:
        hidden = layer(hidden)
    hidden = layers.Dense(8, activation="tanh", dtype="float64")(layers.Flatten()(hidden))
    model = uf.Model(image, layers.Dense(1, dtype="float64")(hidden))
    model.compile("adam", "mse")
    model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0, backend=backend)
    return np.concatenate([weight.ravel() for weight in model.get_weights()])


def made():
    return layers.RandomFlip(dtype="float64"), layers.Dropout(0.4), layers.GaussianNoise(0.1)


def test_dropout_flips_and_noise_are_the_same_on_all_backends(portable):
    found = {name: ten_steps(name, *made()) for name in TRAINABLE}
    first = found[TRAINABLE[0]]
    assert np.abs(first - ten_steps(TRAINABLE[0])).max() > 1e-3, "nothing was random"
    for name in TRAINABLE:
        np.testing.assert_allclose(found[name], first, rtol=0, atol=1e-9, err_msg=name)


def test_evaluation_between_backends_and_the_way_back(portable):
    x = np.ones((4, 50), np.float32)
    model = uf.Sequential([uf.Input((50,)), layers.Dropout(0.5)])
    uf.set_seed(1)
    first = model(x, training=True)
    assert 0.3 < np.mean(np.asarray(first) == 0) < 0.7
    uf.set_rng("native")
    uf.set_seed(1)
    assert not np.array_equal(model(x, training=True), first)


def test_another_generator_is_refused():
    with pytest.raises(UnknownName, match="Unknown rng 'philox'"):
        uf.set_rng("philox")
