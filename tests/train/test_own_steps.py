"""`train_step` and its like written by the user: once, with `uf` calls, and the same numbers on every backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.models import TRAINABLE
from unifront import errors, layers, ops
from unifront.testing import assert_close

RNG = np.random.default_rng(0)
IMAGES = RNG.random((24, 6)).astype(np.float64)
LABELS = RNG.integers(0, 3, 24)


def dense(units: int, size: int, **options: Any) -> Any:
    return uf.Sequential([uf.Input((size,), dtype="float64"), layers.Dense(units, **options)])


class Issue(uf.Model):
    """The step of the README, over a functional model."""

    def train_step(self, data: Any) -> Any:
        x, y = data

        def loss_of() -> Any:
            return self.compute_loss(x=x, y=y, y_pred=self(x, training=True))

        loss, grads = uf.value_and_grad(loss_of, wrt=self.trainable_variables)()
        self.optimizer.apply(grads, self.trainable_variables)
        return {"loss": loss}


class AutoEncoder(uf.Model):
    """A VAE without its noise, so that backends agree: three losses, three metrics, no targets."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = dense(4, 6), dense(6, 2, activation="sigmoid")
        self.total_tracker = uf.metrics.Mean(name="loss")
        self.kl_tracker = uf.metrics.Mean(name="kl_loss")

    @property
    def metrics(self) -> list[Any]:
        return [self.total_tracker, self.kl_tracker]

    def train_step(self, data: Any) -> Any:
        def loss_of() -> Any:
            code = self.encoder(data)
            mean, log_var = code[:, :2], code[:, 2:]
            kl = ops.mean(-0.5 * (1.0 + log_var - ops.square(mean) - ops.exp(log_var)))
            reconstruction = ops.mean(ops.square(self.decoder(mean) - data))
            return reconstruction + kl, kl

        (loss, kl), grads = uf.value_and_grad(loss_of, wrt=self.trainable_weights, has_aux=True)()
        self.optimizer.apply(grads, self.trainable_weights)
        self.total_tracker.update_state(loss)
        self.kl_tracker.update_state(kl)
        return {"loss": self.total_tracker.result(), "kl_loss": self.kl_tracker.result()}


class Gan(uf.Model):
    """WGAN-GP: two optimizers, the critic trained twice a step, and a gradient inside its loss."""

    def __init__(self) -> None:
        super().__init__()
        self.generator, self.critic = dense(6, 6, activation="tanh"), dense(1, 6, activation="tanh")

    def compile(self, d_optimizer: Any, g_optimizer: Any) -> None:  # type: ignore[override]
        super().compile()
        self.d_optimizer, self.g_optimizer = d_optimizer, g_optimizer

    def penalty(self, real: Any, fake: Any) -> Any:
        between = real * 0.3 + fake * 0.7
        _, slope = uf.value_and_grad(lambda x: ops.sum(self.critic(x, training=True)))(between)
        norm = ops.sqrt(ops.sum(ops.square(slope), axis=1))
        return ops.mean(ops.square(norm - 1.0))

    def train_step(self, real: Any) -> Any:
        noise = ops.flip(real, axis=1)

        def critic_loss() -> Any:
            fake = self.generator(noise, training=True)
            distance = ops.mean(self.critic(fake)) - ops.mean(self.critic(real))
            return distance + 10.0 * self.penalty(real, fake)

        def generator_loss() -> Any:
            return -ops.mean(self.critic(self.generator(noise, training=True)))

        for _ in range(2):
            d_loss, grads = uf.value_and_grad(critic_loss, wrt=self.critic)()
            self.d_optimizer.apply(grads, self.critic.trainable_weights)
        g_loss, grads = uf.value_and_grad(generator_loss, wrt=self.generator)()
        self.g_optimizer.apply_gradients(zip(grads, self.generator.trainable_weights, strict=True))
        return {"d_loss": d_loss, "g_loss": g_loss}


class Distiller(uf.Model):
    """A student that learns from labels and from a teacher, with metrics of `compile` and a step of evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.teacher, self.student = dense(3, 6), dense(3, 6)

    def call(self, x: Any) -> Any:
        return self.student(x)

    def train_step(self, data: Any) -> Any:
        x, y = data
        teaching = ops.softmax(self.teacher(x, training=False))

        def loss_of() -> Any:
            predicted = self(x, training=True)
            own = self.compute_loss(x=x, y=y, y_pred=predicted)
            other = -ops.mean(ops.sum(teaching * ops.log_softmax(predicted), axis=-1))
            return 0.3 * own + 0.7 * other, predicted

        (loss, predicted), grads = uf.value_and_grad(loss_of, wrt=self.student, has_aux=True)()
        self.optimizer.apply(grads, self.student.trainable_weights)
        self.compute_metrics(x, y, predicted)
        return {"distilled": loss, **self.get_metrics_result()}


def issue() -> Any:
    x = uf.Input((6,), dtype="float64")
    model = Issue(x, layers.Dense(3)(layers.BatchNormalization()(x)))
    model.compile("adam", uf.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model, (IMAGES, LABELS)


def auto_encoder() -> Any:
    model = AutoEncoder()
    model.compile(uf.optimizers.Adam(0.01))
    return model, (IMAGES,)


def gan() -> Any:
    model = Gan()
    model.compile(d_optimizer=uf.optimizers.Adam(0.01), g_optimizer=uf.optimizers.RMSprop(0.02))
    return model, (IMAGES,)


def distiller() -> Any:
    model = Distiller()
    loss = uf.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, metrics=["accuracy"])
    return model, (IMAGES, LABELS)


MODELS: dict[str, Callable[[], Any]] = {
    "issue": issue, "auto_encoder": auto_encoder, "gan": gan, "distiller": distiller
}  # fmt: skip


def history(make: Callable[[], Any], backend: str) -> tuple[Any, dict[str, list[float]]]:
    uf.set_seed(0)
    model, data = make()
    found = model.fit(*data, batch_size=8, epochs=4, shuffle=False, verbose=0, backend=backend)
    return model, found.history


@pytest.mark.parametrize("name", MODELS)
def test_equal_losses_on_every_backend(name: str) -> None:
    first, expected = history(MODELS[name], TRAINABLE[0])
    assert all(len(values) == 4 for values in expected.values())
    assert expected != {}
    losses = next(iter(expected.values()))
    assert losses[0] != losses[-1]
    for backend in TRAINABLE[1:]:
        model, found = history(MODELS[name], backend)
        assert found.keys() == expected.keys()
        for log, values in expected.items():
            assert found[log] == pytest.approx(values, rel=1e-9, abs=1e-12), (backend, log)
        for weight, other in zip(model.weights, first.weights, strict=True):
            assert_close(weight.numpy(), other.numpy(), bounds={"float64": 1e-9}, what=weight.path)


@pytest.mark.parametrize("backend", TRAINABLE)
def test_the_default_step_written_out_is_the_default_step(backend: str) -> None:
    _, own = history(issue, backend)

    def plain() -> Any:
        x = uf.Input((6,), dtype="float64")
        model = uf.Model(x, layers.Dense(3)(layers.BatchNormalization()(x)))
        model.compile("adam", uf.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model, (IMAGES, LABELS)

    last_batches = []
    uf.set_seed(0)
    model, (x, y) = plain()
    for _ in range(4):
        for start in range(0, 24, 8):
            logs = model.fit(x[start : start + 8], y[start : start + 8], verbose=0, backend=backend).history
        last_batches.append(logs["loss"][0])  # what the issue's step logs: the loss of the last batch
    assert own["loss"] == pytest.approx(last_batches, rel=1e-9)


def test_wgan_gp_by_hand_in_torch() -> None:
    torch = pytest.importorskip("torch")
    uf.set_seed(0)
    model, (images,) = gan()
    model.compile(d_optimizer=uf.optimizers.SGD(0.01), g_optimizer=uf.optimizers.SGD(0.02))
    own = [*model.generator.weights, *model.critic.weights]
    g, g_bias, c, c_bias = named = [torch.tensor(w.numpy(), requires_grad=True) for w in own]
    model.fit(images[:8], batch_size=8, verbose=0, backend="torch")
    real = torch.tensor(images[:8])
    noise = real.flip(1)

    def critic(x: Any) -> Any:
        return torch.tanh(x @ c + c_bias)

    for _ in range(2):
        fake = torch.tanh(noise @ g + g_bias)
        between = (real * 0.3 + fake * 0.7).detach().requires_grad_()
        (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        penalty = ((slope.square().sum(1).sqrt() - 1) ** 2).mean()
        loss = critic(fake).mean() - critic(real).mean() + 10 * penalty
        gradients = torch.autograd.grad(loss, [c, c_bias])
        with torch.no_grad():
            c -= 0.01 * gradients[0]
            c_bias -= 0.01 * gradients[1]
    loss = -critic(torch.tanh(noise @ g + g_bias)).mean()
    gradients = torch.autograd.grad(loss, [g, g_bias])
    with torch.no_grad():
        g -= 0.02 * gradients[0]
        g_bias -= 0.02 * gradients[1]
    for weight, expected in zip(own, named, strict=True):
        assert_close(weight.numpy(), expected.detach().numpy(), bounds={"float64": 1e-12}, what=weight.path)


@pytest.mark.parametrize("backend", TRAINABLE)
def test_test_step_and_predict_step_are_called(backend: str) -> None:
    class Own(uf.Model):
        def test_step(self, data: Any) -> Any:
            x, y = data
            return {"off": ops.mean(ops.abs(self(x, training=False) - y))}

        def predict_step(self, data: Any) -> Any:
            return self(data, training=False) * 2.0

    x = uf.Input((6,), dtype="float64")
    model = Own(x, layers.Dense(6)(x))
    model.compile("sgd", "mse")
    found = model.evaluate(IMAGES, IMAGES * 2, batch_size=24, backend=backend, return_dict=True)
    plain = IMAGES @ model.get_weights()[0] + model.get_weights()[1]
    assert found == {"off": pytest.approx(np.abs(plain - IMAGES * 2).mean(), rel=1e-9)}
    assert_close(model.predict(IMAGES, backend=backend), plain * 2)


@pytest.mark.parametrize("backend", TRAINABLE)
def test_compute_loss_is_called(backend: str) -> None:
    class Own(uf.Model):
        def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, **rest: Any) -> Any:
            return ops.mean(ops.abs(y - y_pred)) * 3.0

    x = uf.Input((6,), dtype="float64")
    model = Own(x, layers.Dense(6)(x))
    model.compile("sgd", "mse")
    before = IMAGES @ model.get_weights()[0] + model.get_weights()[1]
    expected = 3 * np.abs(IMAGES - before).mean()
    assert model.evaluate(IMAGES, IMAGES, batch_size=24, backend=backend) == pytest.approx(expected, rel=1e-9)
    logs = model.fit(IMAGES, IMAGES, batch_size=24, verbose=0, backend=backend).history
    assert logs["loss"] == [pytest.approx(expected, rel=1e-9)]


def returning(result: Any) -> uf.Model:
    class Own(uf.Model):
        def train_step(self, data: Any) -> Any:
            return result

    x = uf.Input((6,))
    model = Own(x, layers.Dense(1)(x))
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize(
    ("result", "match"),
    [
        (None, r"Own.train_step gives a dict of logs, not None"),
        ({}, r"Own.train_step gives a dict of logs, not \{\}"),
        ({"loss": "low"}, r"Own.train_step: the log 'loss' is a scalar or a metric, not 'low'"),
        ({"loss": np.ones(3)}, r"the log 'loss' has the shape \(3,\); a scalar is due"),
        ({"loss": 1.0}, r"there is nothing to train"),
    ],
    ids=["nothing", "empty", "text", "vector", "no update"],
)
def test_a_step_that_logs_nothing_of_use_is_refused(result: Any, match: str) -> None:
    with pytest.raises(errors.ArgumentError, match=match):
        returning(result).fit(IMAGES, IMAGES[:, :1], verbose=0, backend=TRAINABLE[0])


def test_what_leaks_out_of_the_differentiated_function_is_named() -> None:
    class Leaky(uf.Model):
        def train_step(self, data: Any) -> Any:
            x, y = data

            def loss_of() -> Any:
                self.leaked = self(x, training=True)
                return self.compute_loss(x=x, y=y, y_pred=self.leaked)

            _, grads = uf.value_and_grad(loss_of, wrt=self)()
            self.optimizer.apply(grads, self.trainable_weights)
            return {"off": ops.mean(self.leaked)}

    x = uf.Input((6,))
    model = Leaky(x, layers.Dense(1)(x))
    model.compile("sgd", "mse")
    with pytest.raises(errors.ArgumentError, match=r"made inside the function .*has_aux=True"):
        model.fit(IMAGES, IMAGES[:, :1], verbose=0, backend=TRAINABLE[0])


@pytest.mark.parametrize("backend", TRAINABLE)
def test_an_optimizer_that_overrides_apply_is_called(backend: str) -> None:
    class Halved(uf.optimizers.SGD):
        def apply(self, grads: Any, trainable_variables: Any = None) -> None:
            super().apply([gradient * 0.5 for gradient in grads], trainable_variables)

    found = []
    for optimizer in (Halved(0.2), uf.optimizers.SGD(0.1)):
        uf.set_seed(0)
        model = dense(2, 6)
        model.compile(optimizer, "mse", backend=backend)
        model.fit(IMAGES, IMAGES[:, :2], epochs=2, verbose=0)
        found.append(model.get_weights())
    for one, other in zip(*found, strict=True):
        assert_close(one, other)


@pytest.mark.parametrize("backend", TRAINABLE)
def test_a_loss_that_needs_no_targets_is_given_none(backend: str) -> None:
    class Autoencoder(uf.Model):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layers.Dense(6, dtype="float64")

        def call(self, x: Any) -> Any:
            return self.layer(x)

        def compute_loss(
            self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None
        ) -> Any:
            assert y is None
            return ops.mean(self.loss(x, y_pred))

    model = Autoencoder()
    model.compile("sgd", loss=uf.losses.MeanSquaredError(), backend=backend)
    losses = model.fit(IMAGES, epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    expected = np.mean((model.predict(IMAGES, verbose=0) - IMAGES) ** 2)
    assert model.evaluate(IMAGES, verbose=0) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("backend", TRAINABLE)
def test_targets_of_a_loss_of_ones_own_have_any_size(backend: str) -> None:
    def apart(y_true: Any, y_pred: Any) -> Any:
        return ops.mean(
            ops.square(ops.mean(y_pred, axis=(1, 2)) - ops.mean(ops.cast(y_true, y_pred.dtype), axis=1))
        )

    series = uf.Input((None, 3), dtype="float64")
    x = layers.Conv1D(4, 3, strides=2, padding="same")(series)
    model = uf.Model(series, layers.Dense(5)(x))
    model.compile("sgd", loss=apart, backend=backend)
    x, y = RNG.normal(size=(4, 20, 3)), RNG.integers(0, 4, (4, 7))
    model.fit(x, y, verbose=0)
    given = model.predict(x, verbose=0)
    assert_close(np.asarray(model.evaluate(x, y, verbose=0)), np.mean((given.mean((1, 2)) - y.mean(1)) ** 2))
    model.compile("sgd", "mse", backend=backend)
    with pytest.raises(errors.DataError, match="for these inputs its axis 1 has the size 10"):
        model.fit(x, np.ones((4, 7, 5)), verbose=0)


@pytest.mark.parametrize("backend", TRAINABLE)
def test_losses_and_metrics_compare_with_operators(backend: str) -> None:
    def masked(y_true: Any, y_pred: Any) -> Any:
        counts = ops.cast((y_true != 0) & ~(y_true == 3), y_pred.dtype)
        return ops.sum(counts * ops.square(y_true - y_pred)) / ops.sum(counts)

    def right(y_true: Any, y_pred: Any) -> Any:
        return ops.mean(ops.cast(ops.round(y_pred) == y_true, "float64"))

    model = dense(1, 4, kernel_initializer="ones")
    model.compile("sgd", masked, metrics=[right], backend=backend)
    found = model.evaluate(np.eye(4), np.array([[1.0], [0.0], [2.0], [3.0]]), verbose=0)
    assert_close(np.asarray(found), np.array([0.5, 0.25]))
