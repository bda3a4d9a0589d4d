"""Small models of 16-bit floats on every backend: the outputs of the reference, and training as in float32."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import unifront as uf
from unifront import layers
from unifront.backends import installed
from unifront.dtypes import dtype_of

BACKENDS = [name for name in installed() if name != "numpy"]
RNG = np.random.default_rng(0)
IMAGES, WORDS = RNG.normal(size=(16, 6, 6, 2)), RNG.integers(0, 11, size=(16, 5)).astype("int32")
LABELS = RNG.integers(0, 3, size=16)


def cnn(dtype: str) -> tuple[uf.Model, np.ndarray]:
    x = uf.Input((6, 6, 2), dtype=dtype)
    y = layers.Conv2D(4, 3, padding="same", activation="relu", dtype=dtype)(x)
    y = layers.MaxPooling2D()(layers.BatchNormalization(dtype=dtype)(y))
    return uf.Model(x, layers.Dense(3, dtype=dtype)(layers.Flatten()(y))), IMAGES.astype(
        dtype_of(dtype).numpy
    )


def rnn(dtype: str) -> tuple[uf.Model, np.ndarray]:
    x = uf.Input((None,), dtype="int32")
    y = layers.LSTM(4, dtype=dtype)(layers.Embedding(11, 5, mask_zero=True, dtype=dtype)(x))
    return uf.Model(x, layers.Dense(3, dtype=dtype)(y)), WORDS


def volumes(dtype: str) -> tuple[uf.Model, np.ndarray]:
    """Both poolings over three axes: some frameworks have no kernels for 16 bits on a CPU."""
    x = uf.Input((2, 3, 6, 2), dtype=dtype)
    y = layers.Conv3D(4, 2, padding="same", dtype=dtype)(x)
    y = layers.AveragePooling3D((1, 1, 2), dtype=dtype)(layers.MaxPooling3D((1, 2, 1), dtype=dtype)(y))
    return uf.Model(x, layers.Dense(3, dtype=dtype)(layers.Flatten()(y))), IMAGES.reshape(
        16, 2, 3, 6, 2
    ).astype(dtype_of(dtype).numpy)


MODELS = {"cnn": cnn, "rnn": rnn, "volumes": volumes}


@cache
def losses(name: str, dtype: str, backend: str) -> list[float]:
    uf.set_seed(0)
    model, x = MODELS[name](dtype)
    model.compile(uf.optimizers.Adam(0.01), loss=uf.losses.SparseCategoricalCrossentropy(from_logits=True))
    history = model.fit(x, LABELS, epochs=3, batch_size=8, shuffle=False, verbose=0, backend=backend)
    return history.history["loss"]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_inference_is_that_of_the_reference(backend: str, name: str, dtype: str) -> None:
    uf.set_seed(0)
    model, x = MODELS[name](dtype)
    found, expected = (model.predict(x, backend=where) for where in (backend, "numpy"))
    assert found.dtype == dtype_of(dtype).numpy
    np.testing.assert_allclose(
        found.astype("f4"), expected.astype("f4"), atol=2e-2 * float(np.abs(expected).max())
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_training_follows_that_in_float32(backend: str, name: str, dtype: str) -> None:
    """Adam's squares are too small for float16: computed in it, they are zero, and the loss goes up."""
    expected = losses(name, "float32", backend)
    np.testing.assert_allclose(losses(name, dtype, backend), expected, rtol=4e-2)
