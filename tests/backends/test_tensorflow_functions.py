"""Weights, optimizers and metrics in a ``tf.function`` of the user's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unifront as uf
from unifront import layers
from unifront.testing import GRADIENT, assert_close

tf = pytest.importorskip("tensorflow")

X = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
Y = X.sum(1, keepdims=True)


def made(trainable: bool = True) -> uf.Model:
    uf.set_seed(0)
    model = uf.Sequential(
        [uf.Input((4,)), layers.Dense(3, activation="tanh"), layers.BatchNormalization(), layers.Dense(1)]
    )
    model.layers[0].trainable = trainable
    model.compile("sgd", "mse", backend="tensorflow")
    return model


def _set(model: uf.Model) -> None:
    model.set_weights([weight + 1 for weight in model.get_weights()])


CHANGES: dict[str, Any] = {
    "set": _set,
    "fit": lambda model: model.fit(X, Y, verbose=0),
    "fit elsewhere": lambda model: model.fit(X, Y, verbose=0, backend="torch"),
    "batch": lambda model: model.train_on_batch(X, Y),
    "assign": lambda model: model.weights[0].assign(np.ones((4, 3))),
    "assign its own": lambda model: model.weights[0].assign(-tf.ones((4, 3))),
    "moved": lambda model: (_set(model), model.to("host")),
}
FUNCTIONS: dict[str, Any] = {
    "function": lambda model: tf.function(lambda x: model(x)),
    "in a function": lambda model: tf.function(tf.function(lambda x: model(x))),
    "in a condition": lambda model: tf.function(lambda x: tf.cond(x[0, 0] < 1e9, lambda: model(x), lambda: 2.0 * model(x))),
    "by XLA": lambda model: tf.function(lambda x: model(x), jit_compile=True),
}  # fmt: skip


@pytest.mark.parametrize("function", FUNCTIONS)
def test_each_run_has_the_weights_of_today(function: str) -> None:
    model = made()
    called = FUNCTIONS[function](model)
    called(tf.constant(X))
    for change in CHANGES.values():
        before = called(tf.constant(X)).numpy()
        change(model)
        found = called(tf.constant(X)).numpy()
        assert not np.array_equal(found, before)
        assert_close(found, model.predict(X, verbose=0), bounds=GRADIENT)


def test_weights_that_train_since_are_read_too() -> None:
    model = made(trainable=False)
    called = tf.function(lambda x: model(x))
    called(tf.constant(X))
    model.layers[0].trainable = True
    model.compile("sgd", "mse", backend="tensorflow")
    model.fit(X, Y, verbose=0)
    assert_close(called(tf.constant(X)).numpy(), model.predict(X, verbose=0), bounds=GRADIENT)


def test_statistics_and_metrics_are_written_by_each_run() -> None:
    model, mean = made(), uf.metrics.Mean()
    norm = model.layers[1]

    @tf.function
    def run(x: Any) -> Any:
        mean.update_state(tf.reduce_mean(x))
        return model(x, training=True)

    first = norm.moving_mean.numpy()
    run(tf.constant(X))
    second = norm.moving_mean.numpy()
    run(tf.constant(X + 1))
    assert not np.array_equal(first, second)
    assert not np.array_equal(second, norm.moving_mean.numpy())
    assert_close(np.float32(mean.result()), X.mean() + 0.5, bounds=GRADIENT)
    mean.reset_state()
    run(tf.constant(X))
    assert_close(np.float32(mean.result()), X.mean(), bounds=GRADIENT)


OPTIMIZERS: dict[str, Any] = {
    "SGD": lambda: uf.optimizers.SGD(0.1, momentum=0.9),
    "Adam": lambda: uf.optimizers.Adam(0.01, clipnorm=0.1),
    "schedule": lambda: uf.optimizers.Adam(uf.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)),
    "averages": lambda: uf.optimizers.AdamW(0.01, use_ema=True, ema_overwrite_frequency=2),
    "accumulation": lambda: uf.optimizers.RMSprop(0.01, gradient_accumulation_steps=2),
    "by formula": lambda: uf.optimizers.Muon(0.01),
}


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_an_optimizer_takes_the_steps_that_it_takes_outside(kind: str) -> None:
    found = []
    for traced in (False, True):
        model, optimizer = made(), OPTIMIZERS[kind]()

        def step(x: Any, y: Any, model: Any = model, optimizer: Any = optimizer) -> None:
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(tf.square(model(x) - y))
            gradients = tape.gradient(loss, model.trainable_weights)
            optimizer.apply(gradients, model.trainable_weights)

        run = tf.function(step) if traced else step
        for i in range(5):
            if i == 3 and optimizer.schedule is None:
                optimizer.learning_rate = 0.002
            run(tf.constant(X), tf.constant(Y))
        values = [model.get_weights(), int(optimizer.iterations), float(optimizer.learning_rate)]
        model.compile(optimizer, "mse", backend="tensorflow")
        model.fit(X, Y, batch_size=12, verbose=0)  # goes on from there
        found.append((*values, model.get_weights(), int(optimizer.iterations)))
    for eager, traced in zip(*found, strict=True):
        for one, other in zip(*(v if isinstance(v, list) else [v] for v in (eager, traced)), strict=True):
            assert_close(np.asarray(other), np.asarray(one), bounds=GRADIENT)


def test_slices_of_a_table_are_its_gradient() -> None:
    table, optimizer = uf.Variable(np.ones((5, 2), np.float32)), uf.optimizers.SGD(1.0)
    with uf.backend("tensorflow"), tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.gather(table.value, [1, 1, 3]))
    (gradient,) = tape.gradient(loss, [table])
    assert isinstance(gradient, tf.IndexedSlices)
    optimizer.apply([gradient], [table])
    assert_close(table.numpy()[:, 0], np.float32([1, -1, 1, 0, 1]))


def test_a_saved_model_has_the_weights(tmp_path: Any) -> None:
    model = made()

    class Served(tf.Module):
        def __init__(self) -> None:
            self.values = [weight.native("tensorflow") for weight in model.weights]

        @tf.function(input_signature=[tf.TensorSpec((None, 4))])
        def serve(self, x: Any) -> Any:
            return model(x)

    served = Served()
    served.serve(X)
    _set(model)
    served.serve(X)
    tf.saved_model.save(served, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    assert_close(loaded.serve(X).numpy(), model.predict(X, verbose=0), bounds=GRADIENT)


def test_sizes_that_follow_from_a_shape_are_sizes() -> None:
    @tf.function(autograph=False)
    def run(x: Any) -> Any:
        count = tf.shape(x)[0]
        return uf.random.normal((2 * count + 1, tf.shape(x)[1]), seed=1), uf.ops.zeros((count // 2, 3))

    drawn, zeros = run(tf.constant(X))
    assert (drawn.shape, zeros.shape) == ((25, 4), (6, 3))


def test_a_constant_of_one_trace_of_jaxs_is_not_met_in_the_next() -> None:
    jax = pytest.importorskip("jax")

    @jax.jit
    def run(x: Any) -> Any:
        return uf.ops.where(uf.ops.equal(uf.ops.sum(x), 0.0), 1.0, uf.ops.sum(x) * 2.0)

    for count in (2, 3, 4, 2, 3):  # each a trace of its own
        assert float(run(jax.numpy.ones(count))) == 2.0 * count
        assert float(run(jax.numpy.zeros(count))) == 1.0
