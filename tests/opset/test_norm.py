"""Normalization: errors, the reference against Keras's layers, decompositions, extremes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unifront import ops, testing
from unifront.backends import get_backend, installed
from unifront.dtypes import dtype_of
from unifront.errors import ArgumentError, DTypeError, ShapeError
from unifront.ir.dims import symbol
from unifront.ir.types import TensorType
from unifront.opset import OPS
from unifront.opset.tensor import Builder, Tensor
from unifront.reference import row_of

FAMILY = ("batch_norm", "batch_norm_training", "layer_norm", "rms_norm", "group_norm")
CASES = [case for case in testing.cases() if case.spec.name in FAMILY]


def tensor(*shape: Any) -> Tensor:
    return Builder().input("x", TensorType(dtype_of("float32"), shape))


_DOUBLE = TensorType(dtype_of("float64"), (3,))


def ones(n: int, dtype: str = "float32") -> np.ndarray:
    return np.ones(n, dtype)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (
            lambda: ops.batch_norm(tensor(2, 3), ones(3), ones(4)),
            ShapeError,
            r"variance has the shape \(4,\); .* needs \(3,\)",
        ),
        (
            lambda: ops.batch_norm(tensor(2, 3), ones(2), ones(3), axis=2),
            ShapeError,
            "axis 2 is out of range .* rank 2",
        ),
        (lambda: ops.batch_norm_training(tensor(3)), ShapeError, r"an axis besides the channels; \(3,\)"),
        (lambda: ops.layer_norm(tensor(2, 3), ones(2)), ShapeError, r"gamma has the shape \(2,\)"),
        (lambda: ops.layer_norm(tensor(2, 3), axis=()), ArgumentError, "needs axes"),
        (
            lambda: ops.group_norm(tensor(2, 6), groups=4),
            ShapeError,
            "6 channels .* do not fall into 4 groups",
        ),
        (lambda: ops.group_norm(tensor(2, 6), groups=2, axis=0), ArgumentError, "cannot take the batch"),
        (
            lambda: OPS["rms_norm"].infer(tensor(2, 3).type, _DOUBLE, axes=(1,), epsilon=0.1),
            DTypeError,
            "float32, float64",
        ),
    ],
)
def test_errors(call: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        call()


def test_free_sizes_stay() -> None:
    batch, time = symbol("batch"), symbol("time")
    y, mean, variance = ops.batch_norm_training(tensor(batch, time, 3), ones(3), ones(3))
    assert (y.shape, mean.shape, variance.shape) == ((batch, time, 3), (3,), (3,))
    assert ops.group_norm(tensor(batch, time, 6), groups=3).shape == (batch, time, 6)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_decomposition(case: testing.Case) -> None:
    sample = case.sample
    found = case.spec.decomposition(*sample.operands, **sample.attributes)  # type: ignore[misc]
    expected = row_of(case.spec)(*sample.operands, **sample.attributes)
    pairs = zip(found, expected, strict=True) if isinstance(found, tuple) else [(found, expected)]
    for actual, wanted in pairs:
        testing.assert_close(actual, wanted)


@pytest.mark.parametrize("axis", [-1, 1])
def test_batch_norm_is_keras(axis: int) -> None:
    keras = pytest.importorskip("keras")
    rng = np.random.default_rng(3)
    x = rng.normal(size=(4, 5, 3)).astype("float32") * 2 + 1
    layer = keras.layers.BatchNormalization(axis=axis, momentum=0.0)
    layer.build(x.shape)
    n = x.shape[axis]
    gamma, beta = rng.normal(size=(2, n)).astype("float32")
    layer.set_weights([gamma, beta, np.zeros(n), np.ones(n)])
    expected = np.asarray(layer(x, training=True))
    y, mean, variance = ops.batch_norm_training(x, gamma, beta, axis=axis)
    testing.assert_close(y, expected)
    testing.assert_close(mean, np.asarray(layer.moving_mean))
    testing.assert_close(variance, np.asarray(layer.moving_variance))
    again = ops.batch_norm(x, mean, variance, gamma, beta, axis=axis)
    testing.assert_close(again, np.asarray(layer(x, training=False)))


@pytest.mark.parametrize("axis", [-1, (1, 2)])
def test_layer_norm_is_keras(axis: Any) -> None:
    keras = pytest.importorskip("keras")
    rng = np.random.default_rng(3)
    x = rng.normal(size=(4, 5, 3)).astype("float32") * 2 + 1
    layer = keras.layers.LayerNormalization(axis=axis)
    layer.build(x.shape)
    inner = x.shape[2:] if axis == -1 else x.shape[1:]
    gamma, beta = rng.normal(size=(2, *inner)).astype("float32")
    layer.set_weights([gamma, beta])
    testing.assert_close(ops.layer_norm(x, gamma, beta, axis=axis), np.asarray(layer(x)))


def test_group_and_rms_norm_are_keras() -> None:
    keras = pytest.importorskip("keras")
    x = np.random.default_rng(3).normal(size=(2, 3, 5, 6)).astype("float32") * 2 + 1
    group, rms = keras.layers.GroupNormalization(3), keras.layers.RMSNormalization()
    testing.assert_close(ops.group_norm(x, groups=3), np.asarray(group(x)))
    testing.assert_close(ops.rms_norm(x), np.asarray(rms(x)))


@pytest.mark.parametrize("name", installed())
def test_a_constant_channel(name: str) -> None:
    """Its variance is zero, never below; and a batch of one has variance zero, not infinity."""
    native = get_backend(name)
    for shape in ((4, 3, 3, 2), (1, 2)):
        x = np.full(shape, 7.3, "float32")
        y, mean, variance = ops.batch_norm_training(native.array(x), ones(2), ones(2))
        assert np.allclose(native.numpy(y), 1.0, atol=1e-4)
        assert np.allclose(native.numpy(mean), 7.3)
        assert (native.numpy(variance) >= 0).all()
        assert np.allclose(native.numpy(variance), 0, atol=1e-6)
