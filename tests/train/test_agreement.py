"""The same steps give the same losses and weights on every backend, and training moves between them."""

from __future__ import annotations

import numpy as np
import pytest

import unifront as uf
from tests.models import MODELS, TRAINABLE, cross_entropy

OPTIMIZERS = {
    "sgd": lambda: uf.optimizers.SGD(0.05, weight_decay=0.01),
    "nesterov": lambda: uf.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "adam": lambda: uf.optimizers.Adam(0.01),
    "adamw": lambda: uf.optimizers.AdamW(0.01, global_clipnorm=0.5),
}


class Losses(uf.callbacks.Callback):
    """The running mean loss after every batch."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        assert logs is not None
        self.values.append(logs["loss"])


def ten_steps(name: str, dtype: str, optimizer: str, backend: str) -> tuple[list[float], list[np.ndarray]]:
    uf.set_seed(1)
    model, (x, y) = MODELS[name](dtype)
    model.compile(OPTIMIZERS[optimizer](), loss=cross_entropy())
    losses = Losses()
    model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=[losses], backend=backend)
    assert len(losses.values) == model.optimizer.iterations == 10
    return losses.values, model.get_weights()


CASES = [(name, "adam") for name in MODELS] + [("mlp", name) for name in OPTIMIZERS if name != "adam"]


@pytest.mark.parametrize(("dtype", "bound"), [("float64", 1e-9), ("float32", 1e-5)])
@pytest.mark.parametrize(("name", "optimizer"), CASES)
def test_ten_steps_give_the_same_losses_on_every_backend(
    name: str, optimizer: str, dtype: str, bound: float
) -> None:
    first, *others = [ten_steps(name, dtype, optimizer, backend) for backend in TRAINABLE]
    assert len(others) == len(TRAINABLE) - 1
    for losses, weights in others:
        np.testing.assert_allclose(losses, first[0], rtol=bound, atol=0)
        if dtype == "float64":
            for a, b in zip(weights, first[1], strict=True):
                np.testing.assert_allclose(a, b, rtol=0, atol=1e-8 * max(1.0, np.abs(b).max()))


def test_training_that_moves_between_backends_equals_training_on_one() -> None:
    def train(backends: list[str]) -> list[np.ndarray]:
        uf.set_seed(2)
        model, (x, y) = MODELS["cnn"]("float64")
        model.compile(uf.optimizers.Adam(0.01), loss=cross_entropy())
        for backend in backends:
            model.fit(x, y, batch_size=8, epochs=1, verbose=0, backend=backend)
            assert model.weights[0].home.startswith(backend)
        return model.get_weights()

    alone = train([TRAINABLE[0]] * len(TRAINABLE))
    moved = train(TRAINABLE)
    for a, b in zip(moved, alone, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-9)


@pytest.mark.parametrize("backend", TRAINABLE)
@pytest.mark.parametrize("name", list(MODELS))
def test_evaluate_and_predict_agree_with_numpy(name: str, backend: str) -> None:
    uf.set_seed(3)
    model, (x, y) = MODELS[name]("float64")
    model.compile("sgd", loss=cross_entropy(), metrics=["accuracy"])
    options = {"batch_size": 20}  # one size, since JAX compiles for each
    model.fit(x, y, verbose=0, backend=backend, **options)
    judge = model.evaluate(x, y, backend="numpy", **options)
    np.testing.assert_allclose(model.evaluate(x, y, backend=backend, **options), judge, rtol=1e-12)
    outputs, expected = model.predict(x, backend=backend, **options), model.predict(x, backend="numpy")
    assert outputs.dtype == np.float64
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-12 * np.abs(expected).max())
