"""Every loss with its options, and data for it: what the tests beside this file go through."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

RNG = np.random.default_rng(0)
BATCH, TIME, CLASSES = 5, 4, 3


class Case(NamedTuple):
    """A loss of `uf.losses` and Keras, its arguments, targets and predictions, and how well Keras judges in float64."""

    name: str
    arguments: dict[str, Any]
    true: np.ndarray
    predicted: np.ndarray
    bound: float = 1e-9

    @property
    def title(self) -> str:
        return f"{self.name}({', '.join(f'{k}={v}' for k, v in self.arguments.items())})"


def softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    powers = np.exp(x - x.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


LOGITS = RNG.normal(size=(BATCH, TIME, CLASSES)) * 2
PROBABILITIES = softmax(LOGITS)
LABELS = RNG.integers(0, CLASSES, (BATCH, TIME)).astype(np.int32)
ONE_HOT = np.eye(CLASSES)[LABELS]
SOFT = softmax(RNG.normal(size=(BATCH, TIME, CLASSES)))
YES_NO = RNG.integers(0, 2, (BATCH, TIME, CLASSES)).astype(np.float64)
REAL = RNG.normal(size=(BATCH, TIME, CLASSES))
SIGNS = YES_NO * 2 - 1
LARGE = REAL * 1e6
EMBEDDINGS = RNG.normal(size=(8, 6))
EMBEDDINGS /= np.linalg.norm(EMBEDDINGS, axis=-1, keepdims=True)
GROUPS = np.array([0, 1, 2, 0, 1, 2, 3, 0], np.int32)
SEQUENCES = np.array([[1, 2, 2, 0], [3, 0, 0, 0], [2, 1, 3, 1]], np.int32)
EMITTED = RNG.normal(size=(3, 9, 4))

CASES = [
    Case("MeanSquaredError", {}, REAL, LOGITS),
    Case("MeanSquaredError", {}, LARGE, LOGITS),
    Case("MeanAbsoluteError", {}, REAL, LOGITS),
    Case("MeanAbsolutePercentageError", {}, REAL, LOGITS),
    Case("MeanAbsolutePercentageError", {}, YES_NO, LOGITS),
    Case("MeanSquaredLogarithmicError", {}, np.abs(REAL), PROBABILITIES),
    Case("MeanSquaredLogarithmicError", {}, REAL, LOGITS),
    Case("CosineSimilarity", {}, REAL, LOGITS),
    Case("CosineSimilarity", {"axis": 1}, REAL, LOGITS),
    Case("Huber", {}, REAL, LOGITS),
    Case("Huber", {"delta": 0.3}, REAL, LOGITS),
    Case("LogCosh", {}, REAL, LOGITS, 1e-8),  # Keras has log(2) in float32
    Case("LogCosh", {}, LARGE, LOGITS),
    Case("Hinge", {}, SIGNS, LOGITS),
    Case("Hinge", {}, YES_NO, LOGITS),
    Case("SquaredHinge", {}, YES_NO, LOGITS),
    Case("SquaredHinge", {}, REAL, LOGITS),
    Case("CategoricalHinge", {}, ONE_HOT, LOGITS),
    Case("KLDivergence", {}, SOFT, PROBABILITIES),
    Case("KLDivergence", {}, ONE_HOT, PROBABILITIES),
    Case("Poisson", {}, np.round(np.abs(REAL) * 3), PROBABILITIES * 4),
    Case("BinaryCrossentropy", {}, YES_NO, PROBABILITIES),
    Case("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.2}, YES_NO, LOGITS),
    Case("BinaryCrossentropy", {"label_smoothing": 0.2, "axis": 1}, YES_NO, PROBABILITIES),
    Case("BinaryFocalCrossentropy", {}, YES_NO, PROBABILITIES),
    Case("BinaryFocalCrossentropy", {"apply_class_balancing": True, "alpha": 0.7}, YES_NO, PROBABILITIES),
    Case("BinaryFocalCrossentropy", {"gamma": 3.0, "from_logits": True}, YES_NO, LOGITS),
    Case("BinaryFocalCrossentropy", {"label_smoothing": 0.1, "axis": 1}, YES_NO, PROBABILITIES),
    Case("CategoricalCrossentropy", {}, ONE_HOT, PROBABILITIES),
    Case("CategoricalCrossentropy", {}, SOFT, 3 * PROBABILITIES),
    Case("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, ONE_HOT, LOGITS),
    Case("CategoricalCrossentropy", {"axis": 1}, softmax(REAL, 1), softmax(LOGITS, 1)),
    Case("CategoricalFocalCrossentropy", {}, ONE_HOT, PROBABILITIES),
    Case("CategoricalFocalCrossentropy", {"alpha": 0.4, "gamma": 1.5, "from_logits": True}, ONE_HOT, LOGITS),
    Case("CategoricalFocalCrossentropy", {"alpha": [0.1, 0.5, 0.9]}, ONE_HOT, PROBABILITIES),
    Case("CategoricalFocalCrossentropy", {"label_smoothing": 0.1}, ONE_HOT, PROBABILITIES),
    Case("SparseCategoricalCrossentropy", {}, LABELS, PROBABILITIES),
    Case("SparseCategoricalCrossentropy", {"from_logits": True}, LABELS, LOGITS),
    Case("SparseCategoricalCrossentropy", {"from_logits": True, "ignore_class": 1}, LABELS, LOGITS),
    Case("SparseCategoricalCrossentropy", {"ignore_class": 0}, LABELS, PROBABILITIES),
    Case("CategoricalGeneralizedCrossEntropy", {}, LABELS[:, 0], PROBABILITIES[:, 0]),
    Case("CategoricalGeneralizedCrossEntropy", {"q": 0.2}, LABELS, PROBABILITIES),
    Case("Dice", {}, YES_NO, PROBABILITIES),
    Case("Dice", {"axis": (1, 2)}, YES_NO, PROBABILITIES),
    Case("Tversky", {}, YES_NO, PROBABILITIES),
    Case("Tversky", {"alpha": 0.2, "beta": 0.7, "axis": (1, 2)}, YES_NO, PROBABILITIES),
    Case("Circle", {}, GROUPS, EMBEDDINGS),
    Case("Circle", {"gamma": 5.0, "margin": 0.2, "remove_diagonal": False}, GROUPS, EMBEDDINGS),
    Case("CTC", {}, SEQUENCES, EMITTED, 1e-6),  # TensorFlow computes it in float32
]
