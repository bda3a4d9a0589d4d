"""Every metric over several batches, with and without weights, judged by Keras; what ``"accuracy"`` means."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.models import TRAINABLE
from tests.train.keras_judge import keras, value
from unifront import errors, layers
from unifront.train import metrics
from unifront.train.metrics.registry import for_output

RNG = np.random.default_rng(1)
CLASSES = 3
BOUND = 1e-6  # Keras's metrics compute in float32

# metric, its arguments, kind of targets
CASES: list[tuple[str, dict[str, Any], str]] = [
    ("SparseCategoricalAccuracy", {}, "labels"),
    ("SparseCategoricalAccuracy", {}, "column of labels"),
    ("CategoricalAccuracy", {}, "one-hot"),
    ("BinaryAccuracy", {}, "yes or no"),
    ("BinaryAccuracy", {"threshold": 0.3}, "yes or no"),
    ("MeanSquaredError", {}, "real"),
    ("MeanAbsoluteError", {}, "real"),
]


def batches(kind: str, steps: tuple[int, ...]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Targets and predictions of three batches of different sizes."""
    found = []
    for size in (4, 6, 1):
        shape = (size, *steps)
        predicted = RNG.random((*shape, CLASSES))
        labels = RNG.integers(0, CLASSES, shape).astype(np.int32)
        true = {
            "labels": labels,
            "column of labels": labels[..., None],
            "one-hot": np.eye(CLASSES)[labels],
            "yes or no": RNG.integers(0, 2, (*shape, CLASSES)).astype(np.float64),
            "real": RNG.normal(size=(*shape, CLASSES)),
        }[kind]
        found.append((true, predicted))
    return found


def ours(metric: metrics.Metric, data: Any, weights: Any, masks: Any = (None,) * 3) -> float:
    for (true, predicted), weight, mask in zip(data, weights, masks, strict=True):
        factor = weight
        if mask is not None:
            factor = np.reshape(weight, weight.shape + (1,) * (mask.ndim - weight.ndim)) * mask
        with uf.backend("numpy"):
            metric.update_state(true, predicted, factor)
    return float(metric.result_of({id(v): v.numpy() for v in metric.variables}))


@pytest.mark.parametrize("steps", [(), (5,)], ids=["vectors", "sequences"])
@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize(("name", "arguments", "kind"), CASES)
def test_agrees_with_keras(
    name: str, arguments: dict[str, Any], kind: str, weighted: bool, steps: tuple[int, ...]
) -> None:
    data = batches(kind, steps)
    weights = [RNG.random(len(true)) if weighted else None for true, _ in data]
    judge = getattr(keras.metrics, name)(**arguments)
    for (true, predicted), weight in zip(data, weights, strict=True):
        judge.update_state(true, predicted, sample_weight=weight)
    found = ours(getattr(uf.metrics, name)(**arguments), data, weights)
    assert found == pytest.approx(float(value(judge.result())), rel=BOUND)


@pytest.mark.parametrize("per_step", [False, True], ids=["by example", "by step"])
def test_masked_steps_do_not_count(per_step: bool) -> None:
    data = batches("labels", (5,))
    masks = [RNG.random(true.shape) > 0.4 for true, _ in data]
    weights = [RNG.random(true.shape if per_step else len(true)) for true, _ in data]
    judge = keras.metrics.SparseCategoricalAccuracy()
    for (true, predicted), mask, weight in zip(data, masks, weights, strict=True):
        spread = weight if per_step else weight[:, None]
        judge.update_state(true, predicted, sample_weight=np.broadcast_to(spread, true.shape) * mask)
    found = ours(uf.metrics.SparseCategoricalAccuracy(), data, weights, masks)
    assert found == pytest.approx(float(value(judge.result())), rel=BOUND)


def test_no_weight_at_all_is_zero() -> None:
    data = batches("labels", ())
    assert ours(uf.metrics.SparseCategoricalAccuracy(), data, [np.zeros(len(t)) for t, _ in data]) == 0


@pytest.mark.parametrize(
    ("true", "predicted"),
    [((4,), (4, 1)), ((4, 1), (4, 1)), ((4,), (4, 3)), ((4, 1), (4, 3)), ((4, 3), (4, 3)),
     ((4, 5), (4, 5, 3)), ((4, 5, 3), (4, 5, 3)), ((4, 5, 1), (4, 5, 1))],
)  # fmt: skip
@pytest.mark.parametrize("name", ["accuracy", "acc"])
def test_accuracy_means_what_it_means_in_keras(
    name: str, true: tuple[int, ...], predicted: tuple[int, ...]
) -> None:
    from keras.src.trainers.compile_utils import get_metric

    judge = get_metric(name, np.zeros(true), np.zeros(predicted))
    found = for_output(name, true, predicted)
    assert (type(found).__name__, found.name) == (type(judge).__name__, judge.name)


@pytest.mark.parametrize("dtype", ["int64", "float32", "bool"])
def test_one_hot_targets_of_any_dtype_are_categorical(dtype: str) -> None:
    x = uf.Input((4,))
    model = uf.Model(x, layers.Dense(CLASSES, activation="softmax")(x))
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
    data = RNG.normal(size=(20, 4)).astype(np.float32)
    labels = RNG.integers(0, CLASSES, 20)
    _, accuracy = model.evaluate(data, np.eye(CLASSES)[labels].astype(dtype), backend="numpy")
    assert accuracy == pytest.approx((model.predict(data, backend="numpy").argmax(-1) == labels).mean())


def test_a_function_is_a_metric() -> None:
    def error(true: Any, predicted: Any) -> Any:
        return uf.ops.mean(uf.ops.abs(uf.ops.subtract(true, predicted)), axis=-1)

    metric = for_output(error, (4, 3), (4, 3))
    data = batches("real", ())
    assert metric.name == "error"
    assert ours(metric, data, [None] * 3) == pytest.approx(
        np.concatenate([np.abs(true - predicted).mean(-1) for true, predicted in data]).mean()
    )


def test_what_is_refused() -> None:
    with pytest.raises(errors.UnknownName, match=r"Unknown metric 'acuracy'.*Did you mean 'accuracy'"):
        for_output("acuracy", (4,), (4, 3))
    with pytest.raises(errors.ArgumentError, match=r"A metric is a name.*not 3"):
        for_output(3, (4,), (4, 3))
    with pytest.raises(errors.ArgumentError, match="BinaryAccuracy: threshold is a number .* not 'high'"):
        uf.metrics.BinaryAccuracy(threshold="high")
    with pytest.raises(errors.ArgumentError, match=r"Metric does not define update_state\(\)"):
        metrics.Metric(name="nothing").update_state(1.0, 2.0)


class Confusion(uf.metrics.Metric):
    """Counts of pairs of label and prediction: a state that is a matrix of integers."""

    def __init__(self, classes: int) -> None:
        super().__init__(name="confusion")
        self.matrix = self.add_weight((classes, classes), dtype="int32", name="matrix")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        classes = self.matrix.shape[0]
        true = uf.ops.one_hot(y_true, classes, dtype="int32")
        found = uf.ops.one_hot(uf.ops.argmax(y_pred, axis=-1), classes, dtype="int32")
        self.matrix.assign_add(uf.ops.einsum("bi,bj->ij", true, found))

    def result(self) -> Any:
        hits = uf.ops.sum(uf.ops.multiply(self.matrix, np.eye(self.matrix.shape[0], dtype=np.int32)))
        return uf.ops.divide(hits, uf.ops.sum(self.matrix))


@pytest.mark.parametrize("backend", TRAINABLE)
def test_a_metric_of_the_users_keeps_a_matrix(backend: str) -> None:
    x = uf.Input((4,))
    model = uf.Model(x, layers.Dense(CLASSES)(x))
    metric = Confusion(CLASSES)
    loss = uf.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, metrics=["accuracy", metric])
    data, labels = RNG.normal(size=(21, 4)).astype(np.float32), RNG.integers(0, CLASSES, 21)
    logs = model.fit(data, labels, epochs=2, batch_size=8, verbose=0, backend=backend).history
    assert logs["confusion"] == pytest.approx(logs["accuracy"], rel=1e-6)
    found = model.evaluate(data, labels, backend=backend, return_dict=True)
    assert found["confusion"] == pytest.approx(found["accuracy"], rel=1e-6)
    predicted = model.predict(data, backend=backend).argmax(-1)
    expected = np.zeros((CLASSES, CLASSES), int)
    np.add.at(expected, (labels, predicted), 1)
    assert np.array_equal(metric.matrix.numpy(), expected)  # of the last pass alone: each starts anew


@pytest.mark.parametrize("name", ["MeanIoU", "OneHotMeanIoU"])
def test_more_classes_than_a_matrix_of_counts_has(name: str) -> None:
    with pytest.raises(
        errors.ArgumentError, match=f"{name}: num_classes is a positive int up to 46340, not 2147483647"
    ):
        getattr(uf.metrics, name)(2**31 - 1)
