"""`Model.fit` judged by Keras's: equal weights, batches and options give equal histories and weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.models import TRAINABLE
from tests.train.keras_judge import copy_weights, keras
from unifront import layers

pytestmark = pytest.mark.usefixtures("keras_in_float64")
RNG = np.random.default_rng(6)
FEATURES, IMAGES = RNG.normal(size=(41, 6)), RNG.normal(size=(41, 6, 6, 2))
LABELS = (FEATURES[:, :3].argmax(axis=1)).astype(np.int32)
LOSSES = 1e-6
"""Keras keeps its running means in float32; the weights are judged at 1e-8."""


def mlp(kit: Any, source: Any, model: Any) -> Any:
    y = kit.Dense(8, activation="tanh", name="hidden", kernel_regularizer="l2")(source)
    return model(source, kit.Dense(3, activation="softmax", name="classes")(y))


def cnn(kit: Any, source: Any, model: Any) -> Any:
    y = kit.Conv2D(4, 3, padding="same", activation="relu")(source)
    y = kit.BatchNormalization(momentum=0.9)(y)
    y = kit.Conv2D(5, 3, strides=2, padding="valid")(y)
    y = kit.AveragePooling2D(2)(y)
    return model(source, kit.Dense(3, activation="softmax", name="classes")(kit.Flatten()(y)))


MODELS: dict[str, tuple[Callable[..., Any], np.ndarray]] = {"mlp": (mlp, FEATURES), "cnn": (cnn, IMAGES)}


def pair(name: str, **options: Any) -> tuple[Any, Any, np.ndarray]:
    """Our model and Keras's with equal weights, compiled in the same way; and the inputs."""
    build, x = MODELS[name]
    uf.set_seed(5)
    ours = build(layers, uf.Input(x.shape[1:], dtype="float64"), uf.Model)
    judge = build(keras.layers, keras.Input(x.shape[1:], dtype="float64"), keras.Model)
    copy_weights(ours, judge)
    options = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"], **options}
    ours.compile(uf.optimizers.SGD(2**-4, momentum=0.9), **options)
    judge.compile(keras.optimizers.SGD(2**-4, momentum=0.9), run_eagerly=True, **options)
    return ours, judge, x


def assert_same(ours: Any, judge: Any, found: Any, expected: Any) -> None:
    assert sorted(found.history) == sorted(expected.history)
    assert found.epoch == expected.epoch
    for key, values in expected.history.items():
        assert found.history[key] == pytest.approx(values, rel=LOSSES, abs=1e-7), key
    for a, b in zip(ours.get_weights(), judge.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


@pytest.mark.parametrize("backend", TRAINABLE)
@pytest.mark.parametrize("name", MODELS)
def test_history_and_weights_are_those_of_keras(name: str, backend: str) -> None:
    ours, judge, x = pair(name)
    options = {"batch_size": 8, "epochs": 3, "shuffle": False, "verbose": 0, "validation_split": 0.2}
    found = ours.fit(x, LABELS, backend=backend, **options)
    assert_same(ours, judge, found, judge.fit(x, LABELS, **options))
    assert sorted(found.history) == ["accuracy", "loss", "val_accuracy", "val_loss"]


@pytest.mark.parametrize("backend", TRAINABLE)
@pytest.mark.parametrize("name", MODELS)
def test_a_last_batch_of_one_example(name: str, backend: str) -> None:
    ours, judge, x = pair(name)
    options = {"batch_size": 8, "epochs": 2, "shuffle": False, "verbose": 0}
    found = ours.fit(x, LABELS, backend=backend, **options)
    assert_same(ours, judge, found, judge.fit(x, LABELS, **options))
    assert ours.optimizer.iterations == 12


WEIGHTS = RNG.random(41)
HELD_OUT = (FEATURES[:13], LABELS[:13])
OPTIONS: dict[str, dict[str, Any]] = {
    "sample_weight": {"sample_weight": WEIGHTS},
    "class_weight": {"class_weight": {0: 2.0, 1: 0.5, 2: 1.5}},
    "some_class_weights": {"class_weight": {1: 3.0}},
    "no_sample_weight": {"sample_weight": np.zeros(41)},
    "no_class_weight": {"class_weight": {0: 0.0, 1: 0.0, 2: 0.0}},
    "one_class_weight_zero": {"class_weight": {0: 0.0}},
    "sample_weight_split": {"sample_weight": WEIGHTS, "validation_split": 0.25},
    "class_weight_split": {"class_weight": {0: 2.0, 1: 0.5, 2: 1.5}, "validation_split": 0.25},
    "validation_data": {"validation_data": HELD_OUT, "validation_batch_size": 5},
    "validation_weights": {"validation_data": (*HELD_OUT, WEIGHTS[:13])},
    "validation_steps": {"validation_data": HELD_OUT, "validation_steps": 1},
    "validation_of_one": {"validation_split": 0.001},
    "training_on_one": {"validation_split": 0.97},
    "validation_freq": {"validation_data": HELD_OUT, "validation_freq": 2},
    "validation_of_some_epochs": {"validation_data": HELD_OUT, "validation_freq": [1, 3]},
    "initial_epoch": {"initial_epoch": 1},
    "steps_per_epoch": {"steps_per_epoch": 2, "epochs": 2},
    "one_batch": {"batch_size": 41},
    "batch_larger_than_data": {"batch_size": 100},
}


@pytest.mark.parametrize("case", OPTIONS)
def test_options_do_what_they_do_in_keras(case: str) -> None:
    ours, judge, x = pair("mlp", weighted_metrics=["accuracy"] if "weight" in case else None)
    given = {"batch_size": 8, "epochs": 3, "shuffle": False, "verbose": 0, **OPTIONS[case]}
    found = ours.fit(x, LABELS, backend=TRAINABLE[0], **given)
    assert_same(ours, judge, found, judge.fit(x, LABELS, **given))


def test_sample_and_class_weights_are_multiplied() -> None:
    """Keras refuses both at once."""
    losses = []
    for weights in (
        {"sample_weight": WEIGHTS, "class_weight": {2: 3.0}},
        {"sample_weight": np.where(LABELS == 2, 3 * WEIGHTS, WEIGHTS)},
    ):
        ours, _, x = pair("mlp")
        losses.append(ours.fit(x, LABELS, shuffle=False, verbose=0, backend=TRAINABLE[0], **weights).history)
    assert losses[0] == losses[1]


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float16", "float64"])
@pytest.mark.parametrize("shape", [(41,), (41, 1)], ids=["flat", "column"])
def test_labels_of_any_dtype_as_in_keras(shape: tuple[int, ...], dtype: str) -> None:
    ours, judge, x = pair("mlp")
    y, options = LABELS.reshape(shape).astype(dtype), {"batch_size": 8, "shuffle": False, "verbose": 0}
    found = ours.fit(x, y, backend=TRAINABLE[0], **options)
    assert_same(ours, judge, found, judge.fit(x, LABELS, **options))


@pytest.mark.parametrize(
    "metrics",
    [
        ["acc", "sparse_categorical_accuracy"],
        [uf.metrics.SparseCategoricalAccuracy(name="right"), "accuracy"],
        ["accuracy", "accuracy"],
    ],
    ids=["names", "objects", "twice"],
)
def test_names_of_metrics_are_those_of_keras(metrics: list[Any]) -> None:
    theirs = [
        keras.metrics.SparseCategoricalAccuracy(name=m.name) if not isinstance(m, str) else m for m in metrics
    ]
    ours, judge, x = pair("mlp", metrics=metrics)
    judge.compile("sgd", "sparse_categorical_crossentropy", metrics=theirs)
    found = ours.evaluate(x, LABELS, return_dict=True, backend="numpy")
    expected = judge.evaluate(x, LABELS, return_dict=True, verbose=0)
    assert sorted(found) == sorted(expected)
    assert found == pytest.approx(expected, rel=LOSSES)
    assert ours.evaluate(x, LABELS, backend="numpy")[0] == pytest.approx(expected["loss"], rel=LOSSES)


def two_headed(kit: Any, source: Callable[..., Any], model: Any) -> Any:
    first, second = source((4,), name="first"), source((2,), name="second")
    y = kit.Concatenate()([first, second])
    y = kit.Dense(5, activation="tanh")(y)
    classes = kit.Dense(3, activation="softmax", name="classes")(y)
    return model([first, second], [classes, kit.Dense(1, name="amount")(y)])


CE, MSE = "sparse_categorical_crossentropy", "mse"
HEADS: dict[str, dict[str, Any]] = {
    "lists": {"loss": [CE, MSE], "loss_weights": [1.0, 0.25], "metrics": [["accuracy"], ["mae"]]},
    "dicts": {
        "loss": {"classes": CE, "amount": MSE},
        "loss_weights": {"classes": 0.5, "amount": 2.0},
        "metrics": {"classes": ["accuracy"], "amount": "mae"},
    },
    "some": {"loss": [CE, MSE], "metrics": {"classes": "accuracy"}},
    "weighted": {"loss": [CE, MSE], "weighted_metrics": [["accuracy"], ["mae", "mse"]]},
}  # fmt: skip


@pytest.mark.parametrize("case", HEADS)
def test_several_inputs_and_outputs_as_in_keras(case: str) -> None:
    ours = two_headed(layers, lambda shape, name: uf.Input(shape, name=name, dtype="float64"), uf.Model)
    judge = two_headed(keras.layers, keras.Input, keras.Model)
    copy_weights(ours, judge)
    ours.compile(uf.optimizers.SGD(2**-4), **HEADS[case])
    judge.compile(keras.optimizers.SGD(2**-4), **HEADS[case])
    x = [FEATURES[:, :4], FEATURES[:, 4:]]
    y = [LABELS, FEATURES.sum(axis=1)]
    options = {"batch_size": 8, "epochs": 2, "shuffle": False, "verbose": 0}
    found = ours.fit(x, y, backend=TRAINABLE[0], **options)
    assert_same(ours, judge, found, judge.fit(x, y, **options))
    named = dict(zip(("first", "second"), x, strict=True)), dict(zip(("classes", "amount"), y, strict=True))
    again = ours.evaluate(*named, return_dict=True, backend="numpy")
    assert again == pytest.approx(judge.evaluate(x, y, return_dict=True, verbose=0), rel=1e-5)
    outputs = ours.predict(named[0], backend="numpy")
    for output, expected in zip(outputs, judge.predict(x, verbose=0), strict=True):
        np.testing.assert_allclose(output, expected, rtol=0, atol=1e-6)
