"""`uf.remat`: the same numbers and gradients, computed twice."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
import tensorflow as tf
import torch

import unifront as uf
from unifront import ops
from unifront.backends import placement
from unifront.testing import assert_close

W = np.random.default_rng(0).normal(size=(3, 3)).astype("float32")
X = np.random.default_rng(1).normal(size=(2, 3)).astype("float32")


def loss(x: Any) -> Any:
    return ops.sum(ops.square(ops.tanh(ops.matmul(x, W))))


def expected() -> np.ndarray:
    t = np.tanh(X @ W)
    return (2 * t * (1 - t**2)) @ W.T


def torch_gradient(function: Any) -> Any:
    x = torch.tensor(X, requires_grad=True)
    function(x).backward()
    return x.grad.numpy()


def tensorflow_gradient(function: Any) -> Any:
    x = tf.constant(X)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return tape.gradient(y, x).numpy()


NATIVE = {
    "torch": torch_gradient,
    "jax": lambda function: np.asarray(jax.grad(function)(jax.numpy.asarray(X))),
    "tensorflow": tensorflow_gradient,
}


@pytest.mark.parametrize("backend", NATIVE)
def test_the_frameworks_own_gradient_passes(backend: str) -> None:
    assert_close(NATIVE[backend](uf.remat(loss)), expected(), bounds={"float32": 1e-5})


def test_the_function_runs_again_for_the_gradient() -> None:
    runs = []

    def counted(x: Any) -> Any:
        runs.append(1)
        return loss(x)

    x = torch.tensor(X, requires_grad=True)
    y = uf.remat(counted)(x)
    assert len(runs) == 1
    y.backward()
    assert len(runs) == 2
    with torch.no_grad():
        uf.remat(counted)(x)
    assert len(runs) == 3


@pytest.mark.parametrize("backend", NATIVE)
def test_in_a_graph_it_nests_and_has_second_derivatives(backend: str) -> None:
    def slope(x: Any) -> Any:
        return ops.sum(ops.square(uf.value_and_grad(uf.remat(uf.remat(loss)))(x)[1]))

    def plain(x: Any) -> Any:
        return ops.sum(ops.square(uf.value_and_grad(loss)(x)[1]))

    place = placement(backend)
    both = uf.jit(lambda x: (uf.value_and_grad(slope)(x), uf.value_and_grad(plain)(x)))
    (_, again), (_, kept) = both(place.backend.array(X))
    assert_close(place.backend.numpy(again), place.backend.numpy(kept))


@pytest.mark.parametrize("backend", [*NATIVE, "numpy"])
def test_structures_options_and_integers_pass(backend: str) -> None:
    def function(pair: Any, *, scale: float, name: str) -> Any:
        assert name == "x"
        return {"rows": ops.take(pair[0], pair[1], axis=0) * scale, "sum": ops.sum(pair[1]), "none": None}

    place = placement(backend)
    given = [place.backend.array(X), place.backend.array(np.array([1, 1, 0], "int32"))]
    found = uf.remat(function)(given, scale=2.0, name="x")
    assert_close(place.backend.numpy(found["rows"]), 2 * X[[1, 1, 0]])
    assert place.backend.numpy(found["sum"]) == 2
    assert found["none"] is None


def test_on_symbolic_tensors_with_free_sizes() -> None:
    x = uf.Input((None, 3))
    model = uf.Model(x, uf.remat(lambda x: ops.concatenate([x, ops.tanh(x)], axis=1))(x))
    data = np.ones((2, 5, 3), "float32")
    assert_close(model.predict(data, verbose=0), np.concatenate([data, np.tanh(data)], 1))


def test_onnx_has_what_is_inside(tmp_path: Any) -> None:
    x = uf.Input((3,))
    model = uf.Model(x, uf.remat(loss)(x) + ops.sum(x, axis=-1))
    model.export(tmp_path / "model.onnx", verify=True)
