"""Softmax and cross-entropies: errors, extremes, decompositions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unifront as uf
from unifront import ops, testing
from unifront.backends import get_backend, installed
from unifront.errors import DTypeError, ShapeError
from unifront.reference import row_of

FAMILY = ("softmax", "log_softmax", "softmax_cross_entropy", "sigmoid_cross_entropy")
CASES = [case for case in testing.cases() if case.spec.name in FAMILY]


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (
            lambda: ops.softmax(np.zeros((2, 3)), 2),
            ShapeError,
            "axis 2 is out of range for a tensor of rank 2",
        ),
        (
            lambda: ops.sparse_softmax_cross_entropy(np.zeros((2, 3)), np.zeros(2)),
            DTypeError,
            "labels are class numbers, integers, not float64",
        ),
        (
            lambda: ops.sparse_softmax_cross_entropy(np.zeros((2, 3)), np.zeros((2, 1), int)),
            ShapeError,
            r"labels of shape \(2, 1\) do not fit",
        ),
        (
            lambda: ops.softmax_cross_entropy(np.zeros((2, 3)), np.zeros((2, 4))),
            ShapeError,
            r"targets of shape \(2, 4\)",
        ),
        (lambda: ops.softmax_cross_entropy(np.zeros(()), np.zeros(())), ShapeError, "no axis of classes"),
        (lambda: ops.sigmoid_cross_entropy(np.zeros(3), np.zeros(2)), ShapeError, r"targets of shape \(2,\)"),
    ],
)
def test_errors(call: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        call()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_decomposition(case: testing.Case) -> None:
    sample = case.sample
    found = case.spec.decomposition(*sample.operands, **sample.attributes)  # type: ignore[misc]
    testing.assert_close(found, row_of(case.spec)(*sample.operands, **sample.attributes))


@pytest.mark.parametrize("name", installed())
def test_large_logits_stay_finite(name: str) -> None:
    native = get_backend(name)

    def run(function: Any, *arrays: np.ndarray) -> np.ndarray:
        return native.numpy(function(*(native.array(array) for array in arrays)))

    logits, label = np.array([[1000.0, 0.0]]), np.array([1])
    testing.assert_close(run(ops.sparse_softmax_cross_entropy, logits, label), np.array([1000.0]))
    testing.assert_close(run(ops.softmax_cross_entropy, logits, np.array([[0.0, 1.0]])), np.array([1000.0]))
    testing.assert_close(
        run(ops.sigmoid_cross_entropy, logits, np.array([[0.0, 1.0]])), np.array([[1000.0, np.log(2)]])
    )
    testing.assert_close(run(ops.softmax, logits), np.array([[1.0, 0.0]]))


def test_references_are_keras() -> None:
    keras = pytest.importorskip("keras")
    rng = np.random.default_rng(3)
    logits, targets = rng.normal(size=(2, 4, 5)).astype("float32")
    labels, targets = rng.integers(5, size=4), targets**2 / (targets**2).sum(-1, keepdims=True)
    sparse = keras.ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    dense = keras.ops.categorical_crossentropy(targets, logits, from_logits=True)
    binary = keras.ops.binary_crossentropy(targets, logits, from_logits=True)
    testing.assert_close(ops.sparse_softmax_cross_entropy(logits, labels), keras.ops.convert_to_numpy(sparse))
    testing.assert_close(ops.softmax_cross_entropy(logits, targets), keras.ops.convert_to_numpy(dense))
    testing.assert_close(ops.sigmoid_cross_entropy(logits, targets), keras.ops.convert_to_numpy(binary))


@pytest.mark.parametrize("backend", [name for name in installed() if name != "numpy"])
def test_relus_are_flat_at_their_bends(backend: str) -> None:
    x = np.array([-1.0, 0.0, 3.0, 6.0, 7.0], np.float32)
    found = get_backend(backend)
    for function, wanted in ((ops.relu, [0, 0, 1, 1, 1]), (ops.relu6, [0, 0, 1, 0, 0])):
        gradient = uf.value_and_grad(lambda x, f=function: ops.sum(f(x)), wrt=0)(found.array(x, None))[1]
        np.testing.assert_array_equal(found.numpy(gradient), wanted)
    for dtype in ("int32", "uint8"):
        given = found.array(np.array([0, 5, 6, 9], dtype), None)
        np.testing.assert_array_equal(found.numpy(ops.relu6(given)), [0, 5, 6, 6])
