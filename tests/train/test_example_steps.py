"""Models of the kind of Keras's examples with a `train_step` of their own, whole: layers as those have them, random
numbers drawn in the step, optimizers for parts. The same losses from the same weights on every backend.

After the examples "Variational AutoEncoder", "DCGAN to generate face images" and "Self-supervised contrastive learning
with SimSiam" (keras.io/examples), made small.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.models import TRAINABLE
from unifront import layers, ops
from unifront.testing import assert_close

RNG = np.random.default_rng(0)
IMAGES = RNG.random((16, 8, 8, 1))
CODE = 2


@pytest.fixture(autouse=True)
def float64_and_portable_numbers() -> Any:
    uf.set_rng("portable")
    uf.set_floatx("float64")
    yield
    uf.set_floatx("float32")
    uf.set_rng("native")


class Sampling(layers.Layer):
    """A point of the distribution that the encoder gives."""

    def call(self, inputs: Any) -> Any:
        mean, log_var = inputs
        epsilon = uf.random.normal(ops.shape(mean))
        return mean + ops.exp(0.5 * log_var) * epsilon


class Variational(uf.Model):
    def __init__(self) -> None:
        super().__init__()
        image = uf.Input((8, 8, 1))
        x = layers.Conv2D(4, 3, activation="relu", strides=2, padding="same")(image)
        x = layers.Dense(6, activation="relu")(layers.Flatten()(x))
        mean, log_var = layers.Dense(CODE, name="mean")(x), layers.Dense(CODE, name="log_var")(x)
        self.encoder = uf.Model(image, [mean, log_var, Sampling()([mean, log_var])])
        code = uf.Input((CODE,))
        x = layers.Reshape((4, 4, 2))(layers.Dense(32, activation="relu")(code))
        x = layers.Conv2DTranspose(4, 3, activation="relu", strides=2, padding="same")(x)
        self.decoder = uf.Model(code, layers.Conv2DTranspose(1, 3, activation="sigmoid", padding="same")(x))
        self.trackers = [uf.metrics.Mean(name=name) for name in ("loss", "reconstruction", "kl")]

    @property
    def metrics(self) -> list[Any]:
        return self.trackers

    def train_step(self, data: Any) -> Any:
        def loss_of() -> Any:
            mean, log_var, code = self.encoder(data, training=True)
            entropy = ops.binary_crossentropy(data, self.decoder(code, training=True))
            reconstruction = ops.mean(ops.sum(ops.mean(entropy, axis=-1), axis=(1, 2)))
            kl = -0.5 * (1 + log_var - ops.square(mean) - ops.exp(log_var))
            kl = ops.mean(ops.sum(kl, axis=1))
            return reconstruction + kl, (reconstruction, kl)

        (loss, parts), grads = uf.value_and_grad(loss_of, wrt=self.trainable_weights, has_aux=True)()
        self.optimizer.apply_gradients(zip(grads, self.trainable_weights, strict=True))
        for tracker, value in zip(self.trackers, (loss, *parts), strict=True):
            tracker.update_state(value)
        return {tracker.name: tracker.result() for tracker in self.trackers}


class Gan(uf.Model):
    """Both networks learn in a step, each by its optimizer; labels are noisy, codes and labels drawn in the step."""

    def __init__(self) -> None:
        super().__init__()
        self.discriminator = uf.Sequential([
            uf.Input((8, 8, 1)),
            layers.Conv2D(4, 4, strides=2, padding="same"), layers.LeakyReLU(negative_slope=0.2),
            layers.Conv2D(6, 4, strides=2, padding="same"), layers.LeakyReLU(negative_slope=0.2),
            layers.Flatten(), layers.Dropout(0.2), layers.Dense(1, activation="sigmoid"),
        ])  # fmt: skip
        self.generator = uf.Sequential([
            uf.Input((CODE,)),
            layers.Dense(2 * 2 * 4), layers.Reshape((2, 2, 4)),
            layers.Conv2DTranspose(6, 4, strides=2, padding="same"), layers.LeakyReLU(negative_slope=0.2),
            layers.Conv2DTranspose(4, 4, strides=2, padding="same"), layers.LeakyReLU(negative_slope=0.2),
            layers.Conv2D(1, 5, padding="same", activation="sigmoid"),
        ])  # fmt: skip

    def compile(self, d_optimizer: Any, g_optimizer: Any, loss_fn: Any) -> None:  # type: ignore[override]  # as there
        super().compile()
        self.d_optimizer, self.g_optimizer, self.loss_fn = d_optimizer, g_optimizer, loss_fn
        self.d_tracker, self.g_tracker = uf.metrics.Mean(name="d_loss"), uf.metrics.Mean(name="g_loss")

    @property
    def metrics(self) -> list[Any]:
        return [self.d_tracker, self.g_tracker]

    def train_step(self, real: Any) -> Any:
        size = ops.shape(real)[0]
        code = uf.random.normal((size, CODE))
        both = ops.concatenate([self.generator(code), real], axis=0)
        labels = ops.concatenate([ops.ones((size, 1)), ops.zeros((size, 1))], axis=0)
        labels = labels + 0.05 * uf.random.uniform(ops.shape(labels))

        def discriminator_loss() -> Any:
            return self.loss_fn(labels, self.discriminator(both, training=True))

        d_loss, grads = uf.value_and_grad(discriminator_loss, wrt=self.discriminator.trainable_weights)()
        self.d_optimizer.apply(grads, self.discriminator.trainable_weights)
        code = uf.random.normal((size, CODE))
        misleading = ops.zeros((size, 1))

        def generator_loss() -> Any:
            return self.loss_fn(misleading, self.discriminator(self.generator(code, training=True)))

        g_loss, grads = uf.value_and_grad(generator_loss, wrt=self.generator.trainable_weights)()
        self.g_optimizer.apply(grads, self.generator.trainable_weights)
        self.d_tracker.update_state(d_loss)
        self.g_tracker.update_state(g_loss)
        return {"d_loss": self.d_tracker.result(), "g_loss": self.g_tracker.result()}


class SimSiam(uf.Model):
    """Two views of each image: what is predicted from one is to be like the projection of the other, held still."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = uf.Sequential([
            uf.Input((8, 8, 1)),
            layers.Conv2D(4, 3, strides=2, use_bias=False), layers.BatchNormalization(), layers.ReLU(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(6, use_bias=False), layers.BatchNormalization(), layers.ReLU(),
            layers.Dense(6, use_bias=False), layers.BatchNormalization(),
        ])  # fmt: skip
        self.predictor = uf.Sequential([
            uf.Input((6,)), layers.Dense(3, use_bias=False), layers.ReLU(), layers.BatchNormalization(),
            layers.Dense(6),
        ])  # fmt: skip

    def train_step(self, data: Any) -> Any:
        one, two = data

        def negative_cosine(p: Any, z: Any) -> Any:
            z = ops.normalize(ops.stop_gradient(z), axis=1)
            return -ops.mean(ops.sum(ops.normalize(p, axis=1) * z, axis=1))

        def loss_of() -> Any:
            z1, z2 = self.encoder(one, training=True), self.encoder(two, training=True)
            p1, p2 = self.predictor(z1, training=True), self.predictor(z2, training=True)
            return negative_cosine(p1, z2) / 2 + negative_cosine(p2, z1) / 2

        learned = [*self.encoder.trainable_weights, *self.predictor.trainable_weights]
        loss, grads = uf.value_and_grad(loss_of, wrt=learned)()
        self.optimizer.apply_gradients(zip(grads, learned, strict=True))
        return {"loss": loss}


def variational() -> Any:
    model = Variational()
    model.compile(uf.optimizers.Adam(0.01))
    return model, (IMAGES,)


def gan() -> Any:
    model = Gan()
    model.compile(
        d_optimizer=uf.optimizers.Adam(1e-3), g_optimizer=uf.optimizers.Adam(2e-3),
        loss_fn=uf.losses.BinaryCrossentropy(),
    )  # fmt: skip
    return model, (IMAGES,)


def sim_siam() -> Any:
    model = SimSiam()
    steps = uf.optimizers.schedules.CosineDecay(0.03, decay_steps=8)
    model.compile(uf.optimizers.SGD(steps, momentum=0.6))
    return model, (IMAGES + 0.1 * RNG.random(IMAGES.shape), IMAGES[:, :, ::-1].copy())


@pytest.mark.parametrize("make", [variational, gan, sim_siam])
def test_an_example_trains_alike_on_every_backend(make: Callable[[], Any]) -> None:
    found = []
    uf.set_seed(0)
    model, data = make()
    start = model.get_weights()
    for backend in TRAINABLE:
        uf.set_seed(0)
        model, _ = make()
        for weight, value in zip(model.weights, start, strict=True):
            weight.assign(value)
        history = model.fit(*data, batch_size=8, epochs=3, shuffle=False, verbose=0, backend=backend).history
        found.append((history, {weight.path: weight.numpy() for weight in model.weights}))
    expected, weights = found[0]
    for log, values in expected.items():
        assert len(set(values)) == 3, log  # it learns, and what is drawn is drawn anew
        assert np.isfinite(values).all()
    for weight in model.trainable_weights:
        assert weight.type.dtype.name == "float64"
    for history, others in found[1:]:
        assert history.keys() == expected.keys()
        for log, values in expected.items():
            assert history[log] == pytest.approx(values, rel=1e-9, abs=1e-12), log
        for path, value in weights.items():
            assert_close(others[path], value, bounds={"float64": 1e-9}, what=path)


@pytest.mark.parametrize("backend", TRAINABLE)
def test_constants_of_a_size_that_is_only_named(backend: str) -> None:
    """In a step nothing needs to be given to say whose size it is: not in it, nor in what it differentiates."""

    class Own(uf.Model):
        def train_step(self, data: Any) -> Any:
            size = ops.shape(data)[0]

            def loss_of() -> Any:
                return ops.sum(self(data) * ops.ones((size, 1))) + ops.sum(ops.zeros(size))

            loss, grads = uf.value_and_grad(loss_of, wrt=self.trainable_weights)()
            self.optimizer.apply(grads, self.trainable_weights)
            positions = ops.sum(ops.arange(size))
            return {"loss": loss, "filled": ops.sum(ops.full((size, 2), 3.0)), "positions": positions}

    x = uf.Input((2,))
    model = Own(x, layers.Dense(1)(x))
    model.compile("sgd")
    for size in (6, 5):  # the same step
        found = model.fit(np.ones((size, 2)), batch_size=size, verbose=0, backend=backend).history
        assert (found["filled"], found["positions"]) == ([6.0 * size], [size * (size - 1) / 2])
