"""`Model.lower`: hand-written loops of each framework train what it gives, with the losses of `fit`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.models import MODELS, cross_entropy

STEPS, RATE = 5, 0.05


class Losses(uf.callbacks.Callback):
    """The loss of each step."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        assert logs is not None
        self.values.append(logs["loss"])


def made(name: str) -> tuple[uf.Model, np.ndarray, np.ndarray]:
    uf.set_seed(6)
    model, (x, y) = MODELS[name]("float64")
    model.trace(True)
    return model, x, y.astype(np.int64)


def fitted(name: str, backend: str) -> tuple[list[float], dict[str, np.ndarray]]:
    model, x, y = made(name)
    model.compile(uf.optimizers.SGD(RATE), loss=cross_entropy())
    losses = Losses()
    model.fit(
        x, y, batch_size=len(x), epochs=STEPS, shuffle=False, verbose=0, callbacks=[losses], backend=backend
    )
    return losses.values, {weight.path: weight.numpy() for weight in model.weights}


def by_torch(model: uf.Model, x: np.ndarray, y: np.ndarray) -> tuple[list[float], dict[str, np.ndarray]]:
    import torch

    net = model.lower("torch")
    net.train()
    optimizer = torch.optim.SGD(net.parameters(), lr=RATE)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(torch.from_numpy(x)), torch.from_numpy(y))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(p.numel() for p in net.parameters()) == sum(np.prod(w.shape) for w in model.trainable_weights)
    net.eval()
    with torch.no_grad():
        return losses, {"output": net(torch.from_numpy(x)).numpy()}


def by_jax(model: uf.Model, x: np.ndarray, y: np.ndarray) -> tuple[list[float], dict[str, np.ndarray]]:
    import jax
    import optax

    net = model.lower("jax")
    params, state = net.params, net.state
    with jax.enable_x64(True):
        optimizer = optax.sgd(RATE)
        slots = optimizer.init(params)

        def loss_of(params: Any, state: Any) -> Any:
            logits, new_state = net.apply(params, state, x, training=True, key=jax.random.key(0))
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean(), new_state

        @jax.jit
        def step(params: Any, state: Any, slots: Any) -> Any:
            (loss, state), gradients = jax.value_and_grad(loss_of, has_aux=True)(params, state)
            updates, slots = optimizer.update(gradients, slots, params)
            return optax.apply_updates(params, updates), state, slots, loss

        losses = []
        for _ in range(STEPS):
            params, state, slots, loss = step(params, state, slots)
            losses.append(float(loss))
        logits, _ = net.apply(params, state, x, training=False)
    return losses, {"output": np.asarray(logits)}


def by_tensorflow(model: uf.Model, x: np.ndarray, y: np.ndarray) -> tuple[list[float], dict[str, np.ndarray]]:
    import tensorflow as tf

    net = model.lower("tensorflow")

    @tf.function
    def step() -> Any:
        with tf.GradientTape() as tape:
            logits = net(x, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
        for variable, gradient in zip(
            net.trainable_variables, tape.gradient(loss, net.trainable_variables), strict=True
        ):
            variable.assign_sub(RATE * tf.convert_to_tensor(gradient))
        return loss

    losses = [float(step()) for _ in range(STEPS)]
    return losses, {"output": net(x, training=False).numpy()}


LOOPS: dict[str, Callable[..., Any]] = {"torch": by_torch, "jax": by_jax, "tensorflow": by_tensorflow}


@pytest.mark.parametrize("name", ["cnn", "masked"])
@pytest.mark.parametrize("backend", LOOPS)
def test_a_hand_written_loop_trains_as_fit_does(name: str, backend: str) -> None:
    losses, weights = fitted(name, backend)
    model, x, y = made(name)
    before = model.get_weights()
    found, result = LOOPS[backend](model, x, y)
    np.testing.assert_allclose(found, losses, rtol=1e-9)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    trained, _, _ = made(name)
    trained.set_weights(list(weights.values()))
    expected = trained.predict(x, backend="numpy")
    np.testing.assert_allclose(result["output"], expected, rtol=0, atol=1e-8 * np.abs(expected).max())


def test_a_lowered_model_is_saved_and_served_by_tensorflow(tmp_path: Path) -> None:
    import tensorflow as tf

    model, x, _ = made("cnn")
    tf.saved_model.save(model.lower("tensorflow"), str(tmp_path / "cnn"))
    served = tf.saved_model.load(str(tmp_path / "cnn"))
    for batch in (x, x[:3]):
        expected = model.predict(batch, backend="numpy")
        found = served(tf.constant(batch), training=False).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-12 * np.abs(expected).max())


def test_lowered_to_numpy_it_is_a_function() -> None:
    model, x, _ = made("mlp")
    net = model.lower("numpy")
    found = net(x)
    np.testing.assert_allclose(found, model.predict(x, backend="numpy"), atol=1e-12)
