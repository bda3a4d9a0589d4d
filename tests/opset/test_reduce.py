"""Reductions: named dimensions, errors, ties, and NumPy as the judge."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from unifront import ops
from unifront.errors import DTypeError, ShapeError
from unifront.ir.types import parse_type
from unifront.opset.reduce import ALL, MEAN, SUM
from unifront.opset.tensor import Symbolic

X = Symbolic(parse_type("float32[batch, time, 4]"), "x")
EMPTY = np.zeros((2, 0), "float32")


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (lambda: ops.mean(X, 1), "float32[batch, 4]"),
        (lambda: ops.sum(X, (0, -1), keepdims=True), "float32[1, time, 1]"),
        (lambda: ops.max(X), "float32[]"),
        (lambda: ops.any(X > 0, -1), "bool[batch, time]"),
        (lambda: ops.argmax(X, 1, keepdims=True), "int32[batch, 1, 4]"),
        (lambda: ops.argmin(X), "int32[]"),
        (lambda: ops.argmin(X, keepdims=True), "int32[1, 1, 1]"),
        (lambda: ops.cumsum(X), "float32[4*batch*time]"),
        (lambda: ops.cumsum(X, 1), "float32[batch, time, 4]"),
    ],
)
def test_types_keep_named_dimensions(result, expected):
    assert str(result().type) == expected


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ops.sum(X, 3), ShapeError, "axis 3 is out of range for a tensor of rank 3"),
        (lambda: ops.mean(X, (1, -2)), ShapeError, "name one axis twice"),
        (
            lambda: ops.max(EMPTY, 1),
            ShapeError,
            r"of no elements is not defined \(shape \(2, 0\), axes \(1,\)\)",
        ),
        (lambda: ops.argmax(EMPTY, 1), ShapeError, "of no elements is not defined"),
        (
            lambda: SUM.infer(parse_type("bool[2]"), axes=(0,), keepdims=False),
            DTypeError,
            "take bool; cast it",
        ),
        (
            lambda: MEAN.infer(parse_type("int32[2]"), axes=(0,), keepdims=False),
            DTypeError,
            "a float is needed",
        ),
        (
            lambda: ALL.infer(parse_type("int32[2]"), axes=(0,), keepdims=False),
            DTypeError,
            "booleans, not int32",
        ),
        (lambda: ops.cumsum(X, 5), ShapeError, "axis 5 is out of range"),
    ],
)
def test_errors_say_what_does_not_fit(call, error, message):
    with pytest.raises(error, match=message):
        call()


arrays = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4),
    elements=st.integers(-20, 20).map(lambda n: n / 4),
)


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min", "prod", "var", "std", "all", "any"])
@given(x=arrays, data=st.data())
def test_reductions_are_numpy(name, x, data):
    axes = data.draw(st.none() | hnp.valid_tuple_axes(x.ndim) | st.integers(-x.ndim, x.ndim - 1))
    keepdims = data.draw(st.booleans())
    expected = getattr(np, name)(x, axis=axes, keepdims=keepdims)
    np.testing.assert_allclose(getattr(ops, name)(x, axes, keepdims), expected, rtol=1e-12, atol=1e-12)


@given(x=arrays, data=st.data())
def test_positions_and_running_sums_are_numpy(x, data):
    axis = data.draw(st.none() | st.integers(-x.ndim, x.ndim - 1))
    keepdims = data.draw(st.booleans())
    for name in ("argmax", "argmin"):
        found = getattr(ops, name)(x, axis, keepdims)
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, getattr(np, name)(x, axis, keepdims=keepdims))
    np.testing.assert_allclose(ops.cumsum(x, axis), np.cumsum(x, axis), atol=1e-12)


def test_cumsum_reverse_and_exclusive():
    x = np.array([1.0, 2.0, 3.0])
    np.testing.assert_array_equal(ops.cumsum(x, 0, exclusive=True), [0, 1, 3])
    np.testing.assert_array_equal(ops.cumsum(x, 0, reverse=True), [6, 5, 3])
    np.testing.assert_array_equal(ops.cumsum(x, 0, reverse=True, exclusive=True), [5, 3, 0])


def test_of_no_elements():
    assert ops.sum(EMPTY) == 0
    assert ops.prod(EMPTY) == 1
    assert np.isnan(ops.mean(EMPTY))
    assert ops.logsumexp(EMPTY) == -np.inf


def test_logsumexp_of_large_and_infinite_numbers():
    assert ops.logsumexp(np.array([1000.0, 1000.0])) == pytest.approx(1000 + np.log(2), rel=1e-12)
    assert ops.logsumexp(np.array([-np.inf, -np.inf])) == -np.inf
    assert ops.logsumexp(np.array([np.inf, 0.0])) == np.inf


def test_integers_and_booleans():
    assert ops.sum(np.array([True, True])).dtype == np.int32
    assert ops.sum(np.array([100, 100], "int8")) == np.int32(200)
    assert ops.prod(np.array([100, 100], "uint8")) == np.uint32(10000)
    assert ops.max(np.array([True, False])).dtype == np.bool_
    assert ops.mean(np.array([1, 2])).dtype == np.float32
