"""What metrics keep: taken along, given from outside, started again; batches that are empty, odd or in 16 bits; errors."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow as tf
import torch

import unifront as uf
from tests.models import TRAINABLE
from tests.train.test_metrics_like_keras import DATA, FLAT
from unifront import errors, layers, ops
from unifront.backends import get_backend, installed
from unifront.testing import assert_close
from unifront.train.progress import show_logs

ids = [f"{name}-{given}" for _, name, given in FLAT]
CONVERT = {"torch": torch.as_tensor, "jax": jnp.asarray, "tensorflow": tf.constant}
TRUE, PREDICTED = np.array([0, 1, 1], np.float32), np.array([0.2, 0.6, 0.4], np.float32)


def made(case: int) -> tuple[Any, np.ndarray, np.ndarray]:
    kind, name, arguments = FLAT[case]
    return getattr(uf.metrics, name)(**arguments), *DATA[kind]


def number(result: Any) -> np.ndarray:
    return ops.convert_to_numpy(result)


@pytest.fixture(autouse=True)
def on_torch() -> Any:
    with uf.backend("torch"):
        yield


@pytest.mark.parametrize("case", range(len(FLAT)), ids=ids)
def test_copies_and_plain_data(case: int) -> None:
    metric, true, predicted = made(case)
    metric.update_state(true, predicted)
    for other in (pickle.loads(pickle.dumps(metric)), copy.deepcopy(metric)):
        np.testing.assert_array_equal(number(other.result()), number(metric.result()))
    told = json.loads(json.dumps(uf.metrics.serialize(metric)))
    again = uf.metrics.deserialize(told)
    assert (type(again), again.get_config()) == (type(metric), metric.get_config())
    assert not any(variable.numpy().any() for variable in again.variables)


@pytest.mark.parametrize("case", range(len(FLAT)), ids=ids)
def test_lists_empty_batches_and_reset(case: int) -> None:
    metric, true, predicted = made(case)
    metric.update_state(true, predicted)
    before = number(metric.result())
    metric.update_state(true[:0], predicted[:0])
    np.testing.assert_allclose(number(metric.result()), before, rtol=1e-6)
    metric.reset_state()
    assert not any(variable.numpy().any() for variable in metric.variables)
    metric.update_state(true.tolist(), predicted.tolist())
    np.testing.assert_allclose(number(metric.result()), before, rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "name", "arguments"),
    [
        ("answers", "AUC", {"from_logits": True}), ("answers", "Precision", {"top_k": 2}), ("shares", "BinaryIoU", {}),
        ("numbers", "R2Score", {}), ("one_hot", "F1Score", {}), ("labels", "SparseCategoricalAccuracy", {}),
    ],
)  # fmt: skip
def test_the_state_follows_the_predictions(kind: str, name: str, arguments: dict[str, Any]) -> None:
    metric, (true, predicted) = getattr(uf.metrics, name)(**arguments), DATA[kind]
    metric.update_state(true, jnp.asarray(predicted))
    assert {variable.home.partition(":")[0] for variable in metric.variables} == {"jax"}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["BinaryCrossentropy", "AUC", "MeanSquaredError", "Precision", "R2Score"])
def test_predictions_in_16_bits(name: str, dtype: Any) -> None:
    metric, wide = getattr(uf.metrics, name)(), getattr(uf.metrics, name)()
    true, predicted = DATA["numbers" if name == "R2Score" else "answers"]
    low = torch.as_tensor(predicted).to(dtype)
    metric.update_state(torch.as_tensor(true), low)
    wide.update_state(torch.as_tensor(true), low.float())
    assert metric.variables[0].dtype == "float32"
    np.testing.assert_allclose(number(metric.result()), number(wide.result()), rtol=1e-6)


@pytest.mark.parametrize("backend", TRAINABLE)
@pytest.mark.parametrize("thresholds", [[0.3, 0.5], [0.0, 0.5, 1.0]], ids=["uneven", "even"])
def test_nan_is_above_no_threshold(backend: str, thresholds: list[float]) -> None:
    convert = CONVERT[backend]
    metric = uf.metrics.TruePositives(thresholds=thresholds)
    metric.update_state(convert(TRUE), convert(np.array([0.9, np.nan, 0.4], np.float32)))
    wanted = [float(threshold < 0.4) for threshold in thresholds]
    assert metric.accumulator.numpy().tolist() == wanted


@pytest.mark.parametrize("backend", TRAINABLE)
def test_stateless_calls(backend: str) -> None:
    convert = CONVERT[backend]
    metric, other = uf.metrics.AUC(num_thresholds=10), uf.metrics.AUC(num_thresholds=10)
    with uf.backend(backend):
        state = metric.stateless_reset_state()
        for _ in range(2):
            state = metric.stateless_update_state(state, convert(TRUE), convert(PREDICTED))
        assert {type(value) for value in state} == {type(convert(TRUE))}
        found = metric.stateless_result(state)
    other.update_state(TRUE, PREDICTED)
    assert float(found) == pytest.approx(float(other.result()))
    assert not any(variable.numpy().any() for variable in metric.variables)
    with pytest.raises(errors.ArgumentError, match="AUC keeps 4 variables; values for 1 were given"):
        metric.stateless_update_state(state[:1], TRUE, PREDICTED)


def test_stateless_calls_are_traced() -> None:
    metric = uf.metrics.BinaryAccuracy()
    start = [np.float32(1), np.float32(2)]
    for update in (
        jax.jit(lambda s, y, p: metric.stateless_update_state(s, y, p)),
        uf.jit(lambda s, y, p: metric.stateless_update_state(s, y, p)),
    ):
        total, count = update([jnp.asarray(s) for s in start], jnp.asarray(TRUE), jnp.asarray(PREDICTED))
        assert (float(total), float(count)) == (3, 5)
    assert not any(variable.numpy().any() for variable in metric.variables)
    assert float(jax.jit(metric.stateless_result)([jnp.asarray(3.0), jnp.asarray(5.0)])) == pytest.approx(0.6)


class Both(uf.metrics.Metric):
    """A metric with parts, a list of variables and a dict of results."""

    def __init__(self, name: str = "both") -> None:
        super().__init__(name=name)
        self.parts = {"sum": uf.metrics.Sum(), "more": [uf.metrics.Mean()]}
        self.batches = [self.add_weight(name="batches", initializer="ones")]

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.parts["sum"].update_state(y_pred)
        self.parts["more"][0].update_state(y_pred)
        self.batches[0].assign(self.batches[0] + 1)

    def result(self) -> dict[str, Any]:
        return {
            "total": self.parts["sum"].result(), "batches": self.batches[0],
            "mean": self.parts["more"][0].result(),
        }  # fmt: skip


def test_parts_belong_to_a_metric() -> None:
    metric = Both()
    assert [v.path for v in metric.variables] == ["both/batches", "sum/total", "mean/total", "mean/count"]
    metric.update_state(None, np.array([1.0, 3.0], np.float32))
    assert [v.numpy() for v in metric.variables] == [2, 4, 4, 2]
    metric.reset_state()
    assert [v.numpy() for v in metric.variables] == [1, 0, 0, 0]  # as before the first batch


@pytest.mark.parametrize("backend", TRAINABLE)
def test_logs_of_several_numbers(backend: str) -> None:
    x = uf.Input((3,))
    model = uf.Model(x, layers.Activation("linear")(x))
    model.compile(loss="mse", metrics=[Both(), uf.metrics.F1Score()])
    true, predicted = DATA["one_hot"]
    logs = model.evaluate(predicted, true, batch_size=4, return_dict=True, backend=backend, verbose=0)
    assert logs["total"] == pytest.approx(predicted.sum(), rel=1e-6)
    assert (logs["batches"], logs["mean"]) == (4, pytest.approx(predicted.mean(), rel=1e-6))
    score = uf.metrics.F1Score()
    score.update_state(true, predicted)
    np.testing.assert_allclose(logs["f1_score"], number(score.result()), rtol=1e-6)


def test_several_numbers_are_shown() -> None:
    assert show_logs({"loss": 0.5, "f1": np.array([0.25, 1e-4])}) == "loss 0.5000  f1 [0.2500 1.00e-04]"


def test_masked_steps_do_not_count() -> None:
    model = uf.Sequential([layers.Masking(), layers.Dense(1, kernel_initializer="ones")])
    x = np.array([[[1.0], [0.0]], [[2.0], [3.0]]], np.float32)  # the second step of the first does not count
    predicted = model(torch.as_tensor(x))
    metric = uf.metrics.MeanAbsoluteError()
    metric.update_state(np.zeros((2, 2, 1), np.float32), predicted)
    assert float(metric.result()) == pytest.approx(2.0)


class Batches(uf.metrics.Metric):
    """One that knows no weights."""

    def __init__(self) -> None:
        super().__init__(name="batches")
        self.count = self.add_weight(name="count")

    def update_state(self, y_true: Any, y_pred: Any) -> None:
        self.count.assign_add(ops.full((), 1, self.dtype, like=y_pred))

    def result(self) -> Any:
        return self.count


def test_a_metric_without_weights_in_a_model_with_masks() -> None:
    steps = uf.Input((3, 2))
    model = uf.Model(steps, layers.Dense(1)(layers.Masking()(steps)))
    x, y = np.ones((4, 3, 2), np.float32), np.zeros((4, 3, 1), np.float32)
    x[:, 2] = 0
    model.compile(loss="mse", metrics=[Batches()])
    assert model.evaluate(x, y, batch_size=2, verbose=0, backend="numpy", return_dict=True)["batches"] == 2
    model.compile(loss="mse", weighted_metrics=[Batches()])
    with pytest.raises(
        errors.ArgumentError, match=r"Metric 'batches'.*Batches.update_state takes no sample weights"
    ):
        model.evaluate(x, y, sample_weight=np.ones(4, np.float32), verbose=0, backend="numpy")


def test_sums_and_means_by_step() -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    weights = np.array([[1, 0, 0], [0, 1, 1]], np.float32)
    assert float(uf.metrics.Sum()(values, weights)) == 0 + 4 + 5
    assert float(uf.metrics.Mean()(values, weights)) == pytest.approx(3.0)
    assert float(uf.metrics.Mean()(3.0, sample_weight=7.0)) == 3.0
    mean = uf.metrics.Mean(dtype="float16")
    assert (ops.dtype(mean([1, 2])), mean.dtype) == ("float16", "float16")


class Forgetful(uf.metrics.Metric):
    def __init__(self) -> None:
        pass


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Forgetful().variables, r"Forgetful has no state yet: call super\(\).__init__\(\) first"),
        (lambda: uf.metrics.AUC(curve="RC"), "Unknown curve of AUC 'RC'.*Did you mean 'PR'|Unknown curve of AUC 'RC'"),
        (lambda: uf.metrics.AUC(num_labels=2), "num_labels is for multi_label=True"),
        (lambda: uf.metrics.AUC(multi_label=True)(TRUE, PREDICTED), r"predictions are \[batch, labels\]; .*\(3,\)"),
        (lambda: uf.metrics.Precision(thresholds=[0.2, 1.2]), r"thresholds is a number in \[0, 1\], or a list"),
        (lambda: uf.metrics.Recall(class_id=3)(DATA["answers"][0], DATA["answers"][1]), r"no class 3 in predictions"),
        (lambda: uf.metrics.Recall(class_id=0)(TRUE, PREDICTED), r"class_id needs predictions \[batch, classes\]"),
        (lambda: uf.metrics.IoU(2, [2]), r"target_class_ids is a list of some of the 2 classes, not \[2\]"),
        (lambda: uf.metrics.F1Score()(TRUE, PREDICTED), r"F1Score takes targets and predictions \[batch, classes\]"),
        (lambda: uf.metrics.R2Score()(TRUE, PREDICTED), r"R2Score takes targets and predictions \[batch, outputs\]"),
        (lambda: uf.metrics.Accuracy()(TRUE, PREDICTED[:2]), r"targets have the shape \(3,\), the predictions \(2,\)"),
        (lambda: uf.metrics.MeanSquaredError()([[1.0]], [[2.0]], [[[1.0, 2.0]]]), r"sample weights have the shape \(1, 1, 2\)"),
        (lambda: uf.metrics.get("acuracy"), "Unknown metric 'acuracy'.*Did you mean 'accuracy'"),
    ],
)  # fmt: skip
def test_errors(call: Any, message: str) -> None:
    with pytest.raises(errors.UnifrontError, match=message):
        call()


def test_what_is_warned_of() -> None:
    with pytest.warns(UserWarning, match=r"R2Score: 3 numbers are too few .* num_regressors=5"):
        score = uf.metrics.R2Score(num_regressors=5)(TRUE[:, None], PREDICTED[:, None])
    assert float(score) == pytest.approx(float(uf.metrics.R2Score()(TRUE[:, None], PREDICTED[:, None])))
    with pytest.warns(UserWarning, match="MeanIoU counts in int32: casting takes its fraction off"):
        uf.metrics.MeanIoU(2)([0, 1], [0, 1], np.array([0.5, 1.5]))


def test_functions_names_and_classes() -> None:
    assert isinstance(uf.metrics.get("MSE"), uf.metrics.MeanSquaredError)
    assert isinstance(uf.metrics.get(uf.metrics.Mean), uf.metrics.Mean)
    assert uf.metrics.get(None) is None
    assert uf.metrics.get(uf.metrics.binary_accuracy) is uf.metrics.binary_accuracy
    wrapped = uf.metrics.MeanMetricWrapper(uf.metrics.binary_accuracy, name="right", threshold=0.3)
    again = uf.metrics.deserialize(uf.metrics.serialize(wrapped))
    again.update_state(TRUE, PREDICTED)
    assert (again.name, float(again.result())) == ("right", 1.0)


@pytest.mark.parametrize("wide", [[], [np.ones(2, np.float64)]])
@pytest.mark.parametrize("name", installed())
def test_first_states_are_arrays_of_their_own(name: str, wide: list[Any]) -> None:
    """A step may write over each of them."""
    backend = get_backend(name)
    wanted = [np.zeros((), np.float32), np.zeros((), np.float32), np.arange(3, dtype=np.int32), *wide]
    found = [one for _ in range(3) for one in backend.small(wanted)]
    for one, value in zip(found, wanted * 3, strict=True):
        assert_close(backend.numpy(one), value)
    assert len({id(one) for one in found}) == len(found)
    if name == "jax":
        assert len({one.unsafe_buffer_pointer() for one in found}) == len(found)
