"""Steps by hand, `run_eagerly`, and what a model says of how it was compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.models import TRAINABLE
from tests.train.keras_judge import copy_weights, keras
from unifront import errors, layers, ops
from unifront.testing import assert_close

RNG = np.random.default_rng(0)
X = RNG.random((10, 4)).astype("float32")
Y = RNG.random((10, 1)).astype("float32")
LABELS = RNG.integers(0, 3, 10)


def dense(kit: Any, units: int = 1, **options: Any) -> Any:
    model = kit.Sequential(
        [kit.Input((4,)), kit.layers.Dense(units, activation="softmax" if units > 1 else None)]
    )
    model.compile(**{"optimizer": kit.optimizers.SGD(0.1), "loss": "mse", "metrics": ["mae"], **options})
    return model


# ---------------------------------------------------------------- one batch


def test_steps_by_hand_are_those_of_keras() -> None:
    """Two batches of unequal size, weighted."""
    options = {
        "loss": "sparse_categorical_crossentropy",
        "metrics": ["accuracy"],
        "weighted_metrics": ["accuracy"],
    }
    ours, theirs = dense(uf, 3, backend="torch", **options), dense(keras, 3, **options)
    copy_weights(ours, theirs)
    for rows in (slice(0, 6), slice(6, 10)):
        weight = np.linspace(0.5, 2, len(X[rows])).astype("float32")
        for given in ({"sample_weight": weight}, {"class_weight": {0: 1.0, 1: 3.0, 2: 0.5}}):
            found = ours.train_on_batch(X[rows], LABELS[rows], return_dict=True, **given)
            expected = theirs.train_on_batch(X[rows], LABELS[rows], return_dict=True, **given)
            assert found.keys() == expected.keys()
            for name, value in expected.items():
                assert_close(np.float32(found[name]), np.float32(value), what=name)
    found, expected = (model.test_on_batch(X, LABELS, return_dict=True) for model in (ours, theirs))
    for name, value in expected.items():
        assert_close(np.float32(found[name]), np.float32(value), what=name)
    assert_close(ours.predict_on_batch(X[:3]), theirs.predict_on_batch(X[:3]))
    for mine, judge in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert_close(mine, judge)


@pytest.mark.parametrize("backend", TRAINABLE)
def test_steps_by_hand_are_those_of_fit(backend: str) -> None:
    uf.set_seed(0)
    by_hand, fitted = (
        dense(uf, optimizer="adam", backend=backend),
        dense(uf, optimizer="adam", backend=backend),
    )
    fitted.set_weights(by_hand.get_weights())
    logs = fitted.fit(X, Y, batch_size=4, shuffle=False, verbose=0).history
    parts = [by_hand.train_on_batch(X[i : i + 4], Y[i : i + 4]) for i in range(0, 10, 4)]
    mean = np.average(np.float32(parts), axis=0, weights=[4, 4, 2]).astype("float32")
    assert_close(mean, np.float32([logs["loss"][0], logs["mae"][0]]))
    for a, b in zip(by_hand.get_weights(), fitted.get_weights(), strict=True):
        assert np.array_equal(a, b)


def test_between_two_steps_weights_and_metrics_are_the_models() -> None:
    model = dense(uf, backend="torch")
    model.train_on_batch(X, Y)
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    logs = model.test_on_batch(X, Y, return_dict=True)
    assert_close(np.float32(logs["loss"]), np.square(Y).mean())
    assert model.get_metrics_result() == logs
    model.reset_metrics()
    assert model.get_metrics_result() == {"loss": 0, "mae": 0}


def test_a_loss_alone_is_a_number() -> None:
    assert isinstance(dense(uf, metrics=None, backend="torch").train_on_batch(X, Y), float)


def test_what_steps_by_hand_refuse() -> None:
    with pytest.raises(errors.ArgumentError, match="is not compiled"):
        uf.Sequential([uf.Input((4,)), layers.Dense(1)]).train_on_batch(X, Y)
    with pytest.raises(errors.DataError, match="labels from 0 to 7.*3 classes"):
        dense(uf, 3, loss="sparse_categorical_crossentropy").train_on_batch(X, np.full(10, 7) * (LABELS > 0))
    with pytest.raises(errors.ArgumentError, match="sample_weight and class_weight are not given together"):
        dense(uf).train_on_batch(X, Y, np.ones(10), {0: 1.0})


# ---------------------------------------------------------------- plain Python


class Looking(uf.Model):
    """A model, a loss and a step that look at values."""

    def __init__(self, seen: list[float] | None) -> None:
        super().__init__()
        self.seen = seen
        self.hidden = layers.Dense(5, activation="tanh", kernel_regularizer="l2")
        self.dropout = layers.Dropout(0.5)
        self.last = layers.Dense(1)

    def call(self, x: Any, training: bool = False) -> Any:
        hidden = self.hidden(x)
        if self.seen is not None and bool(ops.max(hidden) < 2):
            self.seen.append(float(ops.stop_gradient(ops.max(hidden))))
        return self.last(self.dropout(hidden, training=training))

    def train_step(self, data: Any) -> Any:
        logs = super().train_step(data)
        if self.seen is not None:
            self.seen.append(float(np.asarray(data[0]).sum()))
        return logs


@pytest.mark.parametrize("backend", TRAINABLE)
def test_run_eagerly_gives_the_numbers_of_compiled_steps(backend: str) -> None:
    results, seen = [], []
    for eagerly in (False, True):

        def loss(true: Any, predicted: Any, eagerly: bool = eagerly) -> Any:
            if eagerly:
                seen.append(float(ops.max(true)))
            return ops.mean(ops.square(true - predicted), axis=-1)

        uf.set_seed(0)
        model = Looking(seen if eagerly else None)
        model.compile(uf.optimizers.Adam(0.01), loss, metrics=["mae"], run_eagerly=eagerly, backend=backend)
        data = (X[:8], Y[:8])
        history = model.fit(*data, batch_size=4, epochs=2, verbose=0, validation_data=data).history
        model.reset_metrics()
        logs = model.train_on_batch(X[:4], Y[:4], return_dict=True)
        evaluated, predicted = model.evaluate(*data, batch_size=4), model.predict(X[:8], batch_size=4)
        results.append((history, logs, evaluated, predicted, model.get_weights()))
    assert len(seen) > 12
    (history, logs, *compiled), (same_history, same_logs, *eager) = results
    assert history.keys() == same_history.keys()
    for name in history:
        assert_close(np.float32(same_history[name]), np.float32(history[name]), what=name)
    assert_close(np.float32(list(same_logs.values())), np.float32(list(logs.values())))
    for one, other in zip(eager[:2], compiled[:2], strict=True):
        assert_close(np.float32(one), np.float32(other))
    for one, other in zip(eager[2], compiled[2], strict=True):
        assert_close(one, other)


@pytest.mark.parametrize("sizes", [(4, 3, 1), (1, 4)])
def test_run_eagerly_with_labels_in_batches_of_any_size(sizes: tuple[int, ...]) -> None:
    """What metrics hold stays when a batch has more labels than the one before."""
    labels = np.arange(10) % 3
    histories = []
    for eagerly in (False, True):
        uf.set_seed(0)
        model = uf.Sequential([uf.Input((4,)), layers.Dense(3, activation="softmax")])
        loss = "sparse_categorical_crossentropy"
        model.compile("sgd", loss, metrics=["accuracy"], run_eagerly=eagerly, backend="torch")
        batches = ((X[:n], labels[:n]) for n in sizes)
        histories.append(model.fit(batches, verbose=0).history)
    assert histories[0].keys() == histories[1].keys()
    for name, values in histories[0].items():
        assert_close(np.float32(histories[1][name]), np.float32(values), what=name)


def test_run_eagerly_may_be_set_afterwards_and_excludes_jit_compile() -> None:
    model = dense(uf)
    assert not model.run_eagerly
    model.run_eagerly = True
    assert model.run_eagerly
    with pytest.warns(UserWarning, match="`jit_compile` cannot also be True"):
        dense(uf, run_eagerly=True, jit_compile=True)
    with pytest.raises(errors.ArgumentError, match="jit_compile is 'auto', True or False, not 'xla'"):
        dense(uf, jit_compile="xla")


# ---------------------------------------------------------------- how it was compiled


def test_callbacks_are_called_once_for_the_steps_of_an_execution() -> None:
    class Noting(uf.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.begun: list[int] = []
            self.ended: list[int] = []

        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            self.begun.append(batch)

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.ended.append(batch)

    model = dense(uf, steps_per_execution=2, backend="torch")
    model.fit(X, Y, batch_size=2, verbose=0, callbacks=[noting := Noting()])
    assert (noting.begun, noting.ended) == ([0, 2, 4], [1, 3, 4])
    with pytest.raises(errors.ArgumentError, match="steps_per_execution is a positive int, not 0"):
        dense(uf, steps_per_execution=0)


def test_how_a_model_was_compiled_is_plain_data_both_ways() -> None:
    model = dense(
        uf, loss={"dense": uf.losses.Huber(delta=0.5)}, weighted_metrics=["mse"], steps_per_execution=3
    )
    model.compile(
        uf.optimizers.Adam(0.02), uf.losses.Huber(delta=0.5), metrics=["mae"], steps_per_execution=3
    )
    told = model.get_compile_config()
    theirs = dense(keras)
    theirs.compile_from_config(told)
    again = dense(uf)
    again.compile_from_config(theirs.get_compile_config())
    assert float(theirs.optimizer.learning_rate) == pytest.approx(0.02)
    assert float(again.optimizer.learning_rate) == pytest.approx(0.02)
    again.compile_from_config(told)
    assert again.loss.delta == 0.5
    assert (again.compiled, again.steps_per_execution, again.jit_compile) == (True, 3, "auto")
    fresh = uf.Sequential([uf.Input((4,)), layers.Dense(1)])
    assert (fresh.compiled, fresh.get_compile_config(), fresh.loss) == (False, {}, None)
    fresh.compile_from_config({})
    assert not fresh.compiled


def test_names_and_variables_of_metrics() -> None:
    model = dense(uf, backend="torch")
    model.train_on_batch(X, Y)
    assert model.metrics_names == ["loss", "mae"]
    assert [v.path for v in model.metrics_variables[:2]] == ["loss/total", "loss/count"]
    assert len(model.metrics_variables) == 4


# ---------------------------------------------------------------- no targets


@pytest.mark.parametrize("backend", TRAINABLE)
def test_without_targets_the_losses_of_layers_are_the_loss(backend: str) -> None:
    class Penalty(layers.Layer):
        def call(self, x: Any) -> Any:
            self.add_loss(ops.mean(ops.square(x)))
            return x

    x = uf.Input((4,))
    model = uf.Model(x, Penalty()(layers.Dense(2, name="dense")(x)))
    model.compile(uf.optimizers.SGD(0.1), backend=backend)
    before = model.predict(X)
    loss = model.fit(X, batch_size=10, verbose=0).history["loss"]
    assert_close(np.float32(loss), np.float32([np.square(before).mean()]))
    assert model.evaluate(X) < loss[0]


# ---------------------------------------------------------------- values apart from the model


def test_the_loss_as_a_pure_function_under_jit_and_grad() -> None:
    import jax

    model = dense(uf, metrics=None)
    weights = [w.value for w in model.trainable_weights]

    @jax.jit
    def loss(params: Any, states: Any) -> Any:
        predicted, _ = model.stateless_call(params, [], X, training=True)
        return model.stateless_compute_loss(params, [], states, X, Y, predicted)[0]

    states = [np.float32(0), np.float32(0)]
    kernel, bias = (np.asarray(w) for w in model.get_weights())
    error = X @ kernel + bias - Y
    with uf.backend("jax"):
        value, slopes = jax.value_and_grad(loss)([jax.numpy.asarray(np.asarray(w)) for w in weights], states)
    assert_close(np.asarray(value), np.square(error).mean())
    assert_close(np.asarray(slopes[0]), 2 * X.T @ error / len(X))
    with pytest.raises(errors.ArgumentError, match="2 trainable variables; 1 values were given"):
        model.stateless_compute_loss(weights[:1], [], states, X, Y, Y)


def test_values_in_dicts_by_path() -> None:
    model, other = dense(uf, backend="torch"), dense(uf, backend="torch")
    model.fit(X, Y, verbose=0)
    state = model.get_state_tree(value_format="numpy_array")
    assert set(state) == {
        "trainable_variables", "non_trainable_variables", "optimizer_variables", "metrics_variables"
    }  # fmt: skip
    name = model.layers[0].name
    assert_close(state["trainable_variables"][name]["kernel"], model.get_weights()[0])
    other.set_state_tree({"trainable_variables": {other.layers[0].name: state["trainable_variables"][name]}})
    assert_close(other.get_weights()[0], model.get_weights()[0])
    with pytest.raises(errors.UnknownName, match="path in trainable_variables 'dense_x/kernel'"):
        model.set_state_tree({"trainable_variables": {"dense_x": {"kernel": 0}}})
    with pytest.raises(errors.UnknownName, match="Unknown value_format"):
        model.get_state_tree(value_format="list")


# ---------------------------------------------------------------- overrides


def _class_with(**methods: Any) -> type:
    return type("Own", (uf.Model,), methods)


@pytest.mark.parametrize(
    ("methods", "match"),
    [
        (
            {"make_train_function": lambda self: None},
            "Own.make_train_function would never be called.*train_step",
        ),
        (
            {"predict_step": lambda self, state, data: None},
            r"predict_step\(self, data\): missing.*no state to pass on",
        ),
        (
            {"compute_loss": lambda self, y, y_pred: None},
            r"compute_loss\(self, x, y, y_pred, sample_weight\)",
        ),
        ({"compute_metrics": lambda self, y: None}, r"compute_metrics\(self, x, y, y_pred, sample_weight\)"),
    ],
)
def test_an_override_that_would_not_be_called_is_refused_when_the_class_is_made(
    methods: Any, match: str
) -> None:
    with pytest.raises(errors.ArgumentError, match=match):
        _class_with(**methods)


def test_compute_loss_need_not_take_training() -> None:
    def compute_loss(self: Any, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        return 2.0 * ops.mean(y_pred)

    x = uf.Input((4,))
    model = _class_with(compute_loss=compute_loss)(x, layers.Dense(1)(x))
    model.compile("sgd", "mse", backend="torch")
    assert_close(np.float32(model.evaluate(X, Y)), 2 * model.predict(X).mean())


@pytest.mark.parametrize("shape", [(10,), (10, 1), (10, 4)])
def test_weights_of_examples_and_of_steps(shape: tuple[int, ...]) -> None:
    weight = RNG.random(shape).astype("float32")
    steps, targets = RNG.random((10, 4, 2)).astype("float32"), RNG.random((10, 4, 3)).astype("float32")
    ours, theirs = (kit.Sequential([kit.Input((4, 2)), kit.layers.Dense(3, name="d")]) for kit in (uf, keras))
    copy_weights(ours, theirs)
    for model in (ours, theirs):
        model.compile("sgd", "mse", weighted_metrics=["mae"])
    spread = weight if shape == (10, 4) else np.broadcast_to(weight.reshape(10, 1), (10, 4)).copy()
    found = ours.evaluate(steps, targets, sample_weight=weight, batch_size=4, backend="torch")
    expected = theirs.evaluate(steps, targets, sample_weight=spread, batch_size=4, verbose=0)
    assert_close(np.float32(found), np.float32(expected))
