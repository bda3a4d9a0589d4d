"""What training does where a program written for Keras relies on it; Keras is the judge where it can be."""

from __future__ import annotations

import json
from typing import Any

import keras
import numpy as np
import pytest

import unifront as uf
from unifront import errors, layers, losses, metrics, optimizers
from unifront.testing import assert_close

BACKENDS = ["torch", "jax", "tensorflow"]
X = np.random.default_rng(1).normal(size=(8, 3)).astype("float32")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_model_without_trainable_weights_is_fitted(backend: str) -> None:
    image = uf.Input((3,))
    nothing = uf.Model(image, layers.ReLU()(image))
    frozen = uf.Sequential([uf.Input((3,)), layers.Dense(3)])
    frozen.trainable = False
    before = frozen.get_weights()
    for model in (nothing, frozen):
        model.compile("adam", "mse", metrics=["mae"])
        losses = model.fit(X, X, epochs=2, batch_size=4, verbose=0, backend=backend).history["loss"]
        assert len(losses) == 2
        assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert all(map(np.array_equal, before, frozen.get_weights()))
    theirs = keras.Sequential([keras.Input((3,)), keras.layers.ReLU()])
    theirs.compile("adam", "mse")
    nothing.compile("adam", "mse")
    expected = theirs.evaluate(X, X, verbose=0)
    assert nothing.fit(X, X, verbose=0, backend=backend).history["loss"][0] == pytest.approx(expected)


def test_data_for_inputs_that_the_model_has_not_are_passed_over_with_a_warning() -> None:
    features = uf.Input((3,), name="features")
    model = uf.Model(features, layers.Dense(1)(features))
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match="doesn't match the expected structure.*not used are 'more'"):
        found = model.predict({"features": X, "more": X})
    assert np.array_equal(found, model.predict(X))


def test_an_axis_of_size_one_too_many_is_left_out_of_the_data() -> None:
    model = uf.Sequential([uf.Input((3,)), layers.Dense(2)])
    assert np.array_equal(model.predict(X[..., None]), model.predict(X))


# ---------------------------------------------------------------- optimizers, losses and metrics as plain data

OPTIMIZERS = [
    optimizers.SGD(0.1, momentum=0.9, clipnorm=1.0), optimizers.Adam(optimizers.schedules.CosineDecay(0.1, 10)),
    optimizers.AdamW(), optimizers.RMSprop(use_ema=True, global_clipnorm=2.0),
]  # fmt: skip


@pytest.mark.parametrize("ours", OPTIMIZERS, ids=lambda one: type(one).__name__)
def test_optimizers_are_told_as_keras_tells_them(ours: Any) -> None:
    told = json.loads(json.dumps(optimizers.serialize(ours)))
    assert optimizers.deserialize(told).get_config() == ours.get_config()
    theirs = keras.optimizers.deserialize(told)
    assert type(theirs).__name__ == type(ours).__name__
    back = optimizers.get(json.loads(json.dumps(keras.optimizers.serialize(theirs)))).get_config()
    for name, value in ours.get_config().items():
        if name == "learning_rate" and isinstance(value, float):
            assert back[name] == pytest.approx(value)
        elif name not in ("learning_rate", "name"):
            assert back[name] == value


def test_an_optimizer_is_found_by_a_description_or_a_name_of_any_case() -> None:
    found = optimizers.get({"class_name": "adam", "config": {"weight_decay": 0.05}})
    assert isinstance(found, optimizers.Adam)
    assert found.weight_decay == 0.05
    assert isinstance(optimizers.get("AdamW"), optimizers.AdamW)
    assert optimizers.get(None) is None


def test_a_constant_rate_is_read_and_set_as_a_variable() -> None:
    optimizer = optimizers.SGD(0.1)
    assert optimizer.learning_rate == 0.1
    assert optimizer.learning_rate.value == np.float32(0.1)
    optimizer.learning_rate.assign(0.5)
    assert optimizer.learning_rate == 0.5
    assert optimizer.learning_rate.numpy() == np.float32(0.5)


def test_a_model_compiled_without_an_optimizer_is_evaluated_and_not_fitted() -> None:
    model = uf.Sequential([uf.Input((3,)), layers.Dense(3)])
    model.compile(None, "mse")
    assert model.evaluate(X, X, verbose=0) > 0
    with pytest.raises(errors.ArgumentError, match="compiled without an optimizer"):
        model.fit(X, X, verbose=0)


LOSSES = [
    losses.MeanSquaredError(reduction=None), losses.SparseCategoricalCrossentropy(ignore_class=3),
    losses.Huber(delta=0.5, name="bent"), losses.CategoricalCrossentropy(label_smoothing=0.1),
]  # fmt: skip


@pytest.mark.parametrize("ours", LOSSES, ids=lambda one: type(one).__name__)
def test_losses_are_told_as_keras_tells_them(ours: Any) -> None:
    told = json.loads(json.dumps(losses.serialize(ours)))
    found = losses.get(told)
    assert (type(found), found.get_config()) == (type(ours), ours.get_config())
    theirs = keras.losses.deserialize(told)
    back = losses.deserialize(json.loads(json.dumps(keras.losses.serialize(theirs))))
    assert (type(back), back.reduction) == (type(ours), ours.reduction)


def test_metrics_are_told_as_keras_tells_them() -> None:
    told = json.loads(json.dumps(metrics.serialize(metrics.BinaryAccuracy(threshold=0.2, name="hits"))))
    for found in (metrics.deserialize(told), keras.metrics.deserialize(told)):
        assert (type(found).__name__, found.name) == ("BinaryAccuracy", "hits")
    assert metrics.deserialize(told).threshold == 0.2


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mean_squared_error", {}), ("mean_absolute_error", {}), ("huber", {"delta": 0.3}),
        ("binary_crossentropy", {"label_smoothing": 0.1}), ("categorical_crossentropy", {"axis": 1}),
    ],
)  # fmt: skip
def test_losses_are_functions_too(name: str, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    true, pred = rng.uniform(0.1, 0.9, (2, 2, 3, 4)).astype("float32")
    expected = np.asarray(getattr(keras.losses, name)(true, pred, **options))
    assert_close(getattr(losses, name)(true, pred, **options), expected)


def test_a_sparse_loss_finds_the_classes_at_its_axis() -> None:
    pred = np.random.default_rng(0).uniform(0.1, 0.9, (2, 5, 3)).astype("float32")
    labels = np.array([[0, 4, 2], [1, 3, 3]])
    expected = np.asarray(keras.losses.sparse_categorical_crossentropy(labels, pred, axis=1))
    assert_close(losses.sparse_categorical_crossentropy(labels, pred, axis=1), expected)
    assert float(losses.SparseCategoricalCrossentropy(axis=1)(labels, pred)) == pytest.approx(
        expected.mean(), 1e-5
    )


def test_a_loss_computes_in_its_dtype_and_may_stay_unreduced() -> None:
    loss = losses.MeanSquaredError(reduction=None, dtype="float16")
    found = loss(X, X * 0)
    assert found.dtype == "float16"
    assert_close(found, np.square(X).mean(-1).astype("float16"))


def test_a_loss_heeds_the_mask_of_its_predictions() -> None:
    steps = np.array([[[0, 0], [1, 2]]], "float32")
    masked = layers.Masking()(steps)
    assert float(losses.MeanSquaredError()(np.zeros_like(steps), masked)) == pytest.approx(2.5)


# ---------------------------------------------------------------- what compile takes


def _two(library: Any) -> Any:
    x = library.Input((3,))
    a = library.layers.Dense(1, name="a", kernel_initializer="ones")(x)
    b = library.layers.Dense(1, name="b", kernel_initializer="ones")(x)
    return library.Model(x, [a, b])


COMPILED: dict[str, dict[str, Any]] = {
    "a list of one loss": {"loss": {"a": ["mse"], "b": ["mae"]}},
    "several losses of one output": {"loss": ["mse", ["mse", "mae"]]},
    "one metric weighted and not": {
        "loss": "mse", "metrics": {"a": ["mse"], "b": ["mse", "mae"]}, "weighted_metrics": {"a": "mse", "b": ["mse"]},
    },
}  # fmt: skip


@pytest.mark.parametrize("case", COMPILED)
def test_losses_and_metrics_of_outputs(case: str) -> None:
    y, weight = [X[:, :1], X[:, 1:2]], np.arange(8.0)
    found = []
    for library in (uf, keras):
        model = _two(library)
        model.compile("sgd", **COMPILED[case])
        if "weighted_metrics" in COMPILED[case]:
            found.append(
                model.fit(X, y, sample_weight=weight if library is uf else [weight] * 2, verbose=0).history
            )
        else:
            found.append(model.fit(X, y, verbose=0).history)
    assert set(found[0]) == set(found[1])
    for name, value in found[1].items():
        if case == "several losses of one output" and name == "b_loss":
            continue  # Keras shows the last of them; here it is their sum, as in the loss
        assert found[0][name] == pytest.approx(value, rel=1e-5), name
