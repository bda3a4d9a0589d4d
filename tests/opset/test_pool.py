"""Pooling: types, errors, the reference against Keras, and ties."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unifront import ops, testing
from unifront.backends import get_backend, installed
from unifront.dtypes import dtype_of
from unifront.errors import ArgumentError, ShapeError
from unifront.ir.dims import parse_dim, symbol
from unifront.ir.types import TensorType
from unifront.opset.tensor import Builder, Tensor

BATCH, TIME = symbol("batch"), symbol("time")
TRAINABLE = [name for name in installed() if name != "numpy"]


def tensor(*shape: Any) -> Tensor:
    return Builder().input("x", TensorType(dtype_of("float32"), shape))


@pytest.mark.parametrize(
    ("arguments", "length"),
    [
        ({"pool_size": 2}, "(time-2)//2+1"),
        ({"pool_size": 3, "strides": 2, "padding": "same"}, "(time+1)//2"),
        ({"pool_size": 2, "strides": 1, "padding": "same"}, "time"),
    ],
)
def test_a_free_length(arguments: dict[str, Any], length: str) -> None:
    assert ops.max_pool(tensor(BATCH, TIME, 4), **arguments).shape == (BATCH, parse_dim(length), 4)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: ops.max_pool(tensor(2, 3, 4), 4), ShapeError, r"window of 4 does not fit into an axis of 3"),
        (lambda: ops.average_pool(tensor(2, 4), 2), ShapeError, "1 to 3 spatial axes"),
        (
            lambda: ops.max_pool(tensor(2, 8, 4), 2, padding=[(2, 0)]),
            ArgumentError,
            r"\(2, 0\) is not smaller than the pool size 2",
        ),
        (
            lambda: ops.max_pool(tensor(2, 8, 4), 2, padding="causal"),
            ArgumentError,
            "max_pool has no padding 'causal'",
        ),
        (
            lambda: ops.max_pool(tensor(2, 8, 8, 4), (2, 2, 2)),
            ArgumentError,
            "pool_size is a positive int or 2 of them",
        ),
        (lambda: ops.global_max_pool(tensor(2, 4)), ShapeError, "global pooling takes"),
    ],
)
def test_errors(call: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        call()


@pytest.mark.parametrize("name", ["max_pool", "average_pool"])
@pytest.mark.parametrize(
    ("shape", "size", "strides", "padding"),
    [
        ((2, 8, 7, 3), 2, 2, "valid"),
        ((2, 8, 7, 3), 3, 2, "same"),
        ((2, 9, 3), 4, 3, "same"),
        ((1, 5, 6, 4, 2), 2, 1, "same"),
    ],
)
def test_reference_is_keras(name: str, shape: Any, size: int, strides: int, padding: str) -> None:
    keras = pytest.importorskip("keras")
    x = np.random.default_rng(3).normal(size=shape).astype("float32")
    expected = getattr(keras.ops, name)(x, size, strides, padding, data_format="channels_last")
    testing.assert_close(
        getattr(ops, name)(x, size, strides, padding=padding), keras.ops.convert_to_numpy(expected)
    )


def test_global_pooling() -> None:
    x = np.random.default_rng(3).normal(size=(2, 3, 4, 5))
    testing.assert_close(ops.global_average_pool(x), x.mean((1, 2)))
    testing.assert_close(ops.global_max_pool(x, keepdims=True), x.max((1, 2), keepdims=True))
    testing.assert_close(ops.global_average_pool(x, data_format="channels_first"), x.mean((2, 3)))


def gradient(name: str, x: np.ndarray, **arguments: Any) -> np.ndarray:
    native = get_backend(name)
    builder = Builder()
    given = builder.input("x", TensorType(dtype_of(x.dtype), x.shape))
    y = ops.max_pool(given, **arguments)
    weights = np.arange(1, np.prod(y.shape) + 1, dtype=x.dtype).reshape(y.shape)
    program = native.value_and_grad(builder.graph([ops.sum(ops.multiply(y, weights))]), ["x"])
    return native.numpy(program([native.array(x)], [])[1])


@pytest.mark.parametrize("arguments", [{"pool_size": 2}, {"pool_size": 3, "strides": 2, "padding": "same"}])
@pytest.mark.parametrize("shape", [(1, 4, 6, 1), (1, 6, 2), (1, 4, 4, 4, 1)])
@pytest.mark.parametrize("name", TRAINABLE)
def test_of_equal_elements_the_first_gets_the_gradient(
    name: str, shape: Any, arguments: dict[str, Any]
) -> None:
    """So that training after a relu, which makes many zeros, is the same everywhere."""
    x = np.random.default_rng(3).integers(0, 2, size=shape).astype("float64")
    slope = -1e-6 * np.arange(x.size).reshape(shape)  # makes the first the largest
    assert np.array_equal(gradient(name, x, **arguments), gradient("torch", x + slope, **arguments))


@pytest.mark.parametrize("name", [n for n in installed() if n != "tensorflow"])
def test_nan_is_the_largest(name: str) -> None:
    """TensorFlow's CPU kernels skip it."""
    native = get_backend(name)
    x = np.zeros((1, 4, 4, 1), "float32")
    x[0, 0, 0], x[0, 3, 3] = np.nan, np.nan
    found = native.numpy(ops.max_pool(native.array(x), 2))[0, :, :, 0]
    assert np.array_equal(np.isnan(found), [[True, False], [False, True]])


@pytest.mark.parametrize("name", TRAINABLE)
def test_a_large_window(name: str) -> None:
    native = get_backend(name)
    x = np.random.default_rng(3).normal(size=(2, 12, 11, 3))
    testing.assert_close(native.numpy(ops.max_pool(native.array(x), (12, 10))), ops.max_pool(x, (12, 10)))
