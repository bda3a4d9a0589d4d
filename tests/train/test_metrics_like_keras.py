"""All of ``keras.metrics``: names and parameters, and values over batches of unequal size, eagerly and in a compiled step
of each backend, judged by Keras."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.models import TRAINABLE
from tests.train.keras_judge import keras, value
from unifront import layers

RNG = np.random.default_rng(3)
EXAMPLES, CLASSES = 11, 3
BATCHES = (slice(0, 4), slice(4, 8), slice(8, 11))
WEIGHTS = RNG.random(EXAMPLES).astype(np.float32)
BOUND = 1e-6
"""Relative and absolute: both compute in float32."""

EVEN, UNEVEN = [0.0, 0.25, 0.5, 0.75, 1.0], [0.1, 0.45, 0.8]
LABELS = RNG.integers(0, CLASSES, EXAMPLES).astype(np.int32)


def _shares(logits: np.ndarray) -> np.ndarray:
    return (np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)).astype(np.float32)


NUMBERS = RNG.random((EXAMPLES, CLASSES)).astype(np.float32) + 0.5
PROBABILITIES = RNG.random((EXAMPLES, CLASSES)).astype(np.float32)
PROBABILITIES[0] = [0.0, 1.0, 0.5]  # on the edges of the buckets
DATA: dict[str, tuple[np.ndarray, np.ndarray]] = {
    "one_hot": (np.eye(CLASSES, dtype=np.float32)[LABELS], _shares(RNG.normal(size=(EXAMPLES, CLASSES)))),
    "labels": (LABELS, _shares(RNG.normal(size=(EXAMPLES, CLASSES)))),
    "answers": (RNG.integers(0, 2, (EXAMPLES, CLASSES)).astype(np.float32), PROBABILITIES),
    "numbers": (NUMBERS, (NUMBERS + 0.2 * RNG.random((EXAMPLES, CLASSES))).astype(np.float32)),
    "shares": (np.minimum(LABELS, 1), PROBABILITIES[:, 0]),
    "integers": (LABELS, RNG.integers(0, CLASSES, EXAMPLES).astype(np.int32)),
}
"""Targets and predictions of each kind."""

CASES: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "one_hot": [
        ("CategoricalAccuracy", {}), ("TopKCategoricalAccuracy", {"k": 2}), ("TopKCategoricalAccuracy", {"k": 1}),
        ("CategoricalCrossentropy", {}), ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.1}),
        ("KLDivergence", {}), ("CategoricalHinge", {}), ("CosineSimilarity", {}),
        ("FBetaScore", {"beta": 2.0}), ("FBetaScore", {"average": "micro", "threshold": 0.4}),
        ("FBetaScore", {"average": "macro", "beta": 0.5}), ("FBetaScore", {"average": "weighted"}),
        ("F1Score", {}), ("F1Score", {"threshold": 0.3}),
        ("OneHotIoU", {"num_classes": CLASSES, "target_class_ids": [0, 2]}),
        ("OneHotMeanIoU", {"num_classes": CLASSES, "ignore_class": 1}),
        ("Precision", {"top_k": 2}), ("Recall", {"top_k": 1, "class_id": 2}), ("Precision", {"class_id": -1}),
    ],
    "labels": [
        ("SparseCategoricalAccuracy", {}), ("SparseTopKCategoricalAccuracy", {"k": 2}),
        ("SparseCategoricalCrossentropy", {}), ("SparseCategoricalCrossentropy", {"ignore_class": 1}),
        ("SparseCategoricalCrossentropy", {"from_logits": True}),
    ],
    "answers": [
        ("BinaryAccuracy", {}), ("BinaryAccuracy", {"threshold": 0.3}), ("BinaryCrossentropy", {}),
        ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.2}), ("Hinge", {}), ("SquaredHinge", {}),
        ("Poisson", {}),
        *((count, {"thresholds": at}) for count in ("TruePositives", "FalsePositives", "TrueNegatives",
                                                    "FalseNegatives", "Precision", "Recall")
          for at in (None, UNEVEN, EVEN)),
        *(("AUC", {"curve": curve, "summation_method": method, "num_thresholds": 50})
          for curve in ("ROC", "PR", "PRGAIN") for method in ("interpolation", "majoring", "minoring")),
        ("AUC", {}), ("AUC", {"thresholds": UNEVEN}), ("AUC", {"thresholds": EVEN, "curve": "PR"}),
        ("AUC", {"label_weights": [1.0, 0.0, 2.0]}), ("AUC", {"from_logits": True, "num_thresholds": 20}),
        ("AUC", {"multi_label": True, "num_thresholds": 20}),
        ("AUC", {"multi_label": True, "thresholds": UNEVEN, "num_labels": CLASSES, "curve": "PR"}),
        ("AUC", {"multi_label": True, "label_weights": [1.0, 0.5, 2.0], "num_thresholds": 20}),
        ("SensitivityAtSpecificity", {"specificity": 0.6}), ("SpecificityAtSensitivity", {"sensitivity": 0.4}),
        ("PrecisionAtRecall", {"recall": 0.5}), ("RecallAtPrecision", {"precision": 0.6, "num_thresholds": 30}),
        ("RecallAtPrecision", {"precision": 0.5, "num_thresholds": 1, "class_id": 1}),
    ],
    "numbers": [
        ("MeanSquaredError", {}), ("RootMeanSquaredError", {}), ("MeanAbsoluteError", {}),
        ("MeanAbsolutePercentageError", {}), ("MeanSquaredLogarithmicError", {}), ("LogCoshError", {}),
        ("CosineSimilarity", {"axis": -1}), ("PearsonCorrelation", {}), ("ConcordanceCorrelation", {}),
        ("R2Score", {}), ("R2Score", {"class_aggregation": None}), ("R2Score", {"num_regressors": 3}),
        ("R2Score", {"class_aggregation": "variance_weighted_average"}),
    ],
    "shares": [("BinaryIoU", {}), ("BinaryIoU", {"target_class_ids": [1], "threshold": 0.3})],
    "integers": [
        ("Accuracy", {}), ("IoU", {"num_classes": CLASSES, "target_class_ids": [0, 1]}),
        ("MeanIoU", {"num_classes": CLASSES}), ("MeanIoU", {"num_classes": CLASSES, "ignore_class": 0}),
        ("MeanIoU", {"num_classes": 2}),
    ],
}  # fmt: skip
FLAT = [(kind, name, arguments) for kind, cases in CASES.items() for name, arguments in cases]


def _arguments(name: str, arguments: dict[str, Any], weighted: bool) -> dict[str, Any]:
    """Of IoU in floats where weights are."""
    return {**arguments, "dtype": "float32"} if weighted and "IoU" in name else arguments


def judged(kind: str, name: str, arguments: dict[str, Any], weighted: bool) -> np.ndarray:
    """What Keras says."""
    true, predicted = DATA[kind]
    metric = getattr(keras.metrics, name)(**_arguments(name, arguments, weighted))
    for rows in BATCHES:
        metric.update_state(true[rows], predicted[rows], WEIGHTS[rows] if weighted else None)
    return value(metric.result())


@pytest.fixture(scope="module")
def expected() -> dict[tuple[int, bool], np.ndarray]:
    return {
        (i, weighted): judged(*case, weighted) for i, case in enumerate(FLAT) for weighted in (False, True)
    }


def test_every_public_metric_is_judged() -> None:
    classes = {
        name
        for name, one in vars(keras.metrics).items()
        if isinstance(one, type) and not name.startswith("_")
    }
    apart = {"Metric", "Mean", "Sum", "MeanMetricWrapper", "SparseTopKCategoricalAccuracy"}
    assert classes - {name for _, name, _ in FLAT} <= apart


@pytest.mark.parametrize("name", [name for name in vars(keras.metrics) if not name.startswith("_")])
def test_names_and_parameters(name: str) -> None:
    judge = getattr(keras.metrics, name)
    if inspect.ismodule(judge):
        return
    assert name in uf.metrics.__all__
    ours = inspect.signature(getattr(uf.metrics, name)).parameters.values()
    wanted = inspect.signature(judge).parameters.values()
    assert [(one.name, one.default) for one in ours] == [(one.name, one.default) for one in wanted]


@pytest.mark.parametrize("weighted", [False, True], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("case", range(len(FLAT)), ids=[f"{name}-{given}" for _, name, given in FLAT])
def test_eagerly(case: int, weighted: bool, expected: Any) -> None:
    kind, name, arguments = FLAT[case]
    true, predicted = DATA[kind]
    metric = getattr(uf.metrics, name)(**_arguments(name, arguments, weighted))
    with uf.backend("torch"):
        for rows in BATCHES:
            metric.update_state(true[rows], predicted[rows], WEIGHTS[rows] if weighted else None)
        found = uf.ops.convert_to_numpy(metric.result())
    assert all(variable.home.startswith("torch") for variable in metric.variables)
    assert found.dtype == expected[case, weighted].dtype
    np.testing.assert_allclose(found, expected[case, weighted], rtol=BOUND, atol=BOUND)


def in_steps() -> Any:
    """Of each metric the first case both ways, the others weighted; one AUC, whose curves are the host's work."""
    seen: set[str] = set()
    for i, (kind, name, arguments) in enumerate(FLAT):
        if name not in seen:
            yield i, kind, name, arguments, False
        if name not in seen or "curve" not in arguments:
            yield i, kind, name, arguments, True
        seen.add(name)


@pytest.mark.parametrize("backend", TRAINABLE)
def test_in_a_compiled_step(backend: str, expected: Any) -> None:
    """All in one program, beside each other."""
    metrics: dict[bool, dict[str, list[Any]]] = {way: {kind: [] for kind in DATA} for way in (False, True)}
    for i, kind, name, arguments, weighted in in_steps():
        made = getattr(uf.metrics, name)(**_arguments(name, arguments, weighted), name=f"{i} {weighted}")
        metrics[weighted][kind].append(made)
    inputs = {
        kind: uf.Input(predicted.shape[1:], name=f"{kind} in", dtype=predicted.dtype.name)
        for kind, (_, predicted) in DATA.items()
    }
    model = uf.Model(inputs, {kind: layers.Identity(name=kind)(x) for kind, x in inputs.items()})
    model.compile(loss={"numbers": "mse"}, metrics=metrics[False], weighted_metrics=metrics[True])
    x = {f"{kind} in": predicted for kind, (_, predicted) in DATA.items()}
    y = {kind: true for kind, (true, _) in DATA.items()}
    found = model.evaluate(
        x, y, batch_size=4, sample_weight=WEIGHTS, return_dict=True, backend=backend, verbose=0
    )
    for i, kind, name, arguments, weighted in in_steps():
        np.testing.assert_allclose(
            found[f"{kind}_{i} {weighted}"], expected[i, weighted], rtol=BOUND, atol=BOUND,
            err_msg=f"{name} {arguments} {'weighted' if weighted else ''}",
        )  # fmt: skip
