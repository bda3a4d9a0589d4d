"""Data that `fit` reads where they lie, on devices whose memory is the host's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unifront as uf
from unifront import layers
from unifront.backends import get_backend, installed
from unifront.testing import GRADIENT, assert_close

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 6)).astype(np.float32)
Y = RNG.integers(0, 3, 24)


def _in_records(array: np.ndarray) -> np.ndarray:
    """Fields of records, which are no whole number of elements apart."""
    records = np.zeros(len(array), [("other", "u1"), ("own", array.dtype, array.shape[1:])])
    records["own"] = array
    found: np.ndarray = records["own"]
    return found


LIES = {
    "one after the other": lambda array: array,
    "by columns": np.asfortranarray,
    "backwards": lambda array: np.ascontiguousarray(array[::-1])[::-1],
    "with gaps": lambda array: np.repeat(array, 2, axis=0)[::2],
    "for reading only": lambda array: np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape),
    "at an odd byte": lambda array: (
        np.frombuffer(bytearray(1) + array.tobytes(), np.uint8)[1:].view(array.dtype).reshape(array.shape)
    ),
    "in records": lambda array: _in_records(array),
    "in float64": lambda array: array.astype(np.float64) if array.dtype.kind == "f" else array,
}


def weights_of(x: Any, y: Any, backend: str) -> list[np.ndarray]:
    uf.set_seed(0)
    model = uf.Sequential([uf.Input((6,)), layers.Dense(4, "tanh"), layers.Dense(3)])
    model.compile(uf.optimizers.SGD(0.1), uf.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, batch_size=5, epochs=3, verbose=0, backend=backend)
    return list(model.get_weights())


@pytest.mark.parametrize("backend", [name for name in installed() if name != "numpy"])
@pytest.mark.parametrize("lies", LIES)
def test_it_is_the_same_however_they_lie(lies: str, backend: str) -> None:
    x, y = LIES[lies](X), LIES[lies](Y)
    before = x.copy(), y.copy()
    for one, other in zip(weights_of(x, y, backend), weights_of(X, Y, backend), strict=True):
        assert_close(one, other, bounds=GRADIENT)
    assert (before[0] == x).all()
    assert (before[1] == y).all()


@pytest.mark.parametrize("backend", [name for name in installed() if name in ("torch", "jax")])
def test_they_are_not_copied(backend: str) -> None:
    there = get_backend(backend).readable(X)
    if get_backend(backend).devices()[0] == "cpu":
        assert np.shares_memory(np.asarray(there), X)
    assert_close(get_backend(backend).numpy(get_backend(backend).array(X)), X)


@pytest.mark.parametrize("backend", [name for name in installed() if name != "numpy"])
def test_what_changes_between_calls_counts(backend: str) -> None:
    uf.set_seed(0)
    x, y = np.ones((8, 2), np.float32), np.ones((8, 1), np.float32)
    model = uf.Sequential([uf.Input((2,)), layers.Dense(1)])
    model.compile(uf.optimizers.SGD(0.0), "mae")
    for value in (2.0, 5.0):
        y[...] = value
        found = model.fit(x, y, batch_size=3, verbose=0, backend=backend).history["loss"][0]
        assert found == pytest.approx(float(np.abs(y - model.predict(x, verbose=0)).mean()), rel=1e-5)


@pytest.mark.parametrize("backend", installed())
@pytest.mark.parametrize("lies", LIES)
def test_a_backend_reads_them_however_they_lie(lies: str, backend: str) -> None:
    x = LIES[lies](X)
    assert_close(np.asarray(get_backend(backend).readable(x)), x)
