"""Every loss, in all its options, judged by Keras in float64; what losses refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.train.keras_judge import keras, value
from unifront import errors
from unifront.testing import assert_close

RNG = np.random.default_rng(0)
BATCH, TIME, CLASSES = 5, 4, 3


def _softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)


LOGITS = RNG.normal(size=(BATCH, TIME, CLASSES)) * 2
PROBABILITIES = _softmax(LOGITS)
SURE = np.where(PROBABILITIES > 0.6, 1.0, np.where(PROBABILITIES < 0.1, 0.0, PROBABILITIES))
LABELS = RNG.integers(0, CLASSES, (BATCH, TIME)).astype(np.int32)
ONE_HOT = np.eye(CLASSES)[LABELS]
SOFT = _softmax(RNG.normal(size=(BATCH, TIME, CLASSES)))
YES_NO = RNG.integers(0, 2, (BATCH, TIME, CLASSES)).astype(np.float64)
REAL = RNG.normal(size=(BATCH, TIME, CLASSES))

# class, arguments, targets, predictions
CASES: list[tuple[str, dict[str, Any], np.ndarray, np.ndarray]] = [
    ("MeanSquaredError", {}, REAL, LOGITS),
    ("MeanAbsoluteError", {}, REAL, LOGITS),
    ("Huber", {}, REAL, LOGITS),
    ("Huber", {"delta": 0.3}, REAL, LOGITS),
    ("SparseCategoricalCrossentropy", {}, LABELS, PROBABILITIES),
    ("SparseCategoricalCrossentropy", {}, LABELS, SURE),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, LABELS, LOGITS),
    ("SparseCategoricalCrossentropy", {"from_logits": True, "ignore_class": 1}, LABELS, LOGITS),
    ("SparseCategoricalCrossentropy", {"ignore_class": 0}, LABELS, PROBABILITIES),
    (
        "SparseCategoricalCrossentropy",
        {"from_logits": True, "ignore_class": -1},
        np.where(LABELS == 2, -1, LABELS),
        LOGITS,
    ),
    ("CategoricalCrossentropy", {}, ONE_HOT, PROBABILITIES),
    ("CategoricalCrossentropy", {}, SOFT, 3 * PROBABILITIES),
    ("CategoricalCrossentropy", {"from_logits": True}, SOFT, LOGITS),
    ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, ONE_HOT, LOGITS),
    ("CategoricalCrossentropy", {"label_smoothing": 0.1}, ONE_HOT, PROBABILITIES),
    ("BinaryCrossentropy", {}, YES_NO, PROBABILITIES),
    ("BinaryCrossentropy", {}, YES_NO, SURE),
    ("BinaryCrossentropy", {"from_logits": True}, YES_NO, LOGITS),
    ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.2}, YES_NO, LOGITS),
    ("BinaryCrossentropy", {"label_smoothing": 0.2}, YES_NO, PROBABILITIES),
]
MASK = RNG.random((BATCH, TIME)) > 0.4
WEIGHTS: dict[str, np.ndarray | None] = {
    "unweighted": None,
    "by example": RNG.random(BATCH),
    "by example, a column": RNG.random((BATCH, 1)),
    "by step": RNG.random((BATCH, TIME)),
}
REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "none", "mean_with_sample_weight")


BOUNDS = {"float64": 1e-6}
"""Keras 3.15 on PyTorch takes the mean of float64 numbers in float32, so this is what it can judge."""
pytestmark = pytest.mark.usefixtures("keras_in_float64")


def _ids(case: Any) -> str:
    return f"{case[0]}-{case[1]}" if isinstance(case, tuple) else str(case)


@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("case", CASES, ids=_ids)
def test_agrees_with_keras(case: Any, weight: str, masked: bool) -> None:
    name, arguments, true, predicted = case
    mask = MASK if masked else None
    for reduction in REDUCTIONS:
        ours = getattr(uf.losses, name)(reduction=reduction, **arguments)
        judge = getattr(keras.losses, name)(reduction=reduction, **arguments)
        y_pred = keras.ops.convert_to_tensor(predicted)
        if mask is not None:
            y_pred._keras_mask = keras.ops.convert_to_tensor(mask)
        given = WEIGHTS[weight]
        spread = given  # Keras does not spread weights of examples over steps by itself
        if given is not None:
            spread = np.broadcast_to(given if given.ndim == 2 else given[:, None], (BATCH, TIME)).copy()
        expected = value(judge(true, y_pred, sample_weight=spread))
        found = np.asarray(ours(true, predicted, sample_weight=given, mask=mask))
        assert_close(found, expected, bounds=BOUNDS, what=f"{name} {arguments} {reduction}")


@pytest.mark.parametrize("weight", ["unweighted", "by example"])
@pytest.mark.parametrize("name", ["MeanSquaredError", "BinaryCrossentropy"])
@pytest.mark.parametrize(("true", "predicted"), [((5,), (5, 1)), ((5, 1), (5, 1)), ((5, 1), (5,))])
def test_a_last_axis_of_size_one_may_be_missing(
    name: str, weight: str, true: tuple[int, ...], predicted: tuple[int, ...]
) -> None:
    y_true, y_pred = YES_NO[:, 0, 0].reshape(true), PROBABILITIES[:, 0, 0].reshape(predicted)
    if predicted == (5,):  # Keras takes the mean over the batch here, which is no loss for each example
        y_pred = y_pred[:, None]
    judge = getattr(keras.losses, name)(reduction="sum")
    expected = value(judge(y_true, y_pred, sample_weight=WEIGHTS[weight]))
    found = getattr(uf.losses, name)(reduction="sum")(y_true, y_pred, sample_weight=WEIGHTS[weight])
    assert_close(np.asarray(found), expected, bounds=BOUNDS)


def test_labels_may_stand_in_a_column_and_be_floats() -> None:
    loss = uf.losses.SparseCategoricalCrossentropy(from_logits=True)
    expected = np.asarray(loss(LABELS[:, 0], LOGITS[:, 0]))
    assert_close(np.asarray(loss(LABELS[:, :1], LOGITS[:, 0])), expected)
    assert_close(np.asarray(loss(LABELS[:, 0].astype(np.float64), LOGITS[:, 0])), expected)


def test_all_masked_is_zero() -> None:
    loss = uf.losses.MeanSquaredError()
    assert float(loss(REAL, LOGITS, mask=np.zeros((BATCH, TIME), bool))) == 0
    ignoring = uf.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=1)
    assert float(ignoring(np.ones_like(LABELS), LOGITS)) == 0


def test_a_function_is_a_loss() -> None:
    loss = uf.losses.LossFunctionWrapper(
        lambda true, predicted: uf.ops.sum(uf.ops.square(true - predicted), axis=-1)
    )
    assert_close(np.asarray(loss(REAL, LOGITS)), np.square(REAL - LOGITS).sum(-1).mean())


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (
            lambda: uf.losses.get("cross_entropy"),
            errors.UnknownName,
            r"Unknown loss 'cross_entropy'.*binary_crossentropy",
        ),
        (
            lambda: uf.losses.get("mean_squared_eror"),
            errors.UnknownName,
            "Did you mean 'mean_squared_error'",
        ),
        (lambda: uf.losses.get(3), errors.ArgumentError, r"A loss is a name.*not 3"),
        (
            lambda: uf.losses.MeanSquaredError(reduction="average"),
            errors.UnknownName,
            "Unknown reduction of MeanSquaredError 'average'",
        ),
        (lambda: uf.losses.Loss()(REAL, REAL), errors.ArgumentError, r"Loss does not define call\(\)"),
        (
            lambda: uf.losses.MeanSquaredError()(REAL[:, 0], LOGITS),
            errors.ShapeError,
            r"targets have the shape \(5, 3\), the predictions \(5, 4, 3\)",
        ),
        (
            lambda: uf.losses.MeanSquaredError()(REAL[..., :2], LOGITS),
            errors.ShapeError,
            r"targets have the shape \(5, 4, 2\), the predictions \(5, 4, 3\)",
        ),
        (
            lambda: uf.losses.SparseCategoricalCrossentropy()(ONE_HOT, LOGITS),
            errors.ShapeError,
            r"labels of shape \(5, 4, 3\) do not fit predictions of shape \(5, 4, 3\)",
        ),
        (
            lambda: uf.losses.MeanSquaredError()(REAL, LOGITS, sample_weight=np.ones((BATCH, TIME + 1))),
            errors.ShapeError,
            r"\(5, 5\)",
        ),
        (
            lambda: uf.losses.CategoricalCrossentropy(label_smoothing=2.0),
            errors.ArgumentError,
            r"label_smoothing is a number in \[0, 1\], not 2\.0",
        ),
        (
            lambda: uf.losses.BinaryCrossentropy(label_smoothing="some"),
            errors.ArgumentError,
            r"BinaryCrossentropy: label_smoothing is a number in \[0, 1\], not 'some'",
        ),
        (lambda: uf.losses.Huber(delta=0), errors.ArgumentError, "Huber: delta is a number .* not 0"),
        (
            lambda: uf.losses.SparseCategoricalCrossentropy(ignore_class="pad"),
            errors.ArgumentError,
            "SparseCategoricalCrossentropy: ignore_class is an int, not 'pad'",
        ),
    ],
)
def test_what_is_refused(make: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make()
