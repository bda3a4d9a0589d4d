"""Elements by position: named dimensions, errors, and NumPy as the judge."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from unifront import ops
from unifront.errors import ArgumentError, DTypeError, ShapeError
from unifront.ir.types import parse_type
from unifront.opset.tensor import Symbolic


def tensor(type_: str) -> Symbolic:
    return Symbolic(parse_type(type_), "x")


X = tensor("float32[batch, time, 4]")
TOKENS = tensor("int32[batch, time]")
TABLE = np.zeros((10, 3), "float32")


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (lambda: ops.take(X, np.array([[0, 1]]), 1), "float32[batch, 1, 2, 4]"),
        (lambda: ops.take(TABLE, TOKENS, 0), "float32[batch, time, 3]"),
        (lambda: ops.take(X, 0), "float32[]"),
        (lambda: ops.take_along_axis(X, tensor("int64[batch, time, 1]"), -1), "float32[batch, time, 1]"),
        (lambda: ops.embedding(TOKENS, TABLE), "float32[batch, time, 3]"),
        (lambda: ops.embedding(tensor("uint8[batch]"), TABLE), "float32[batch, 3]"),
        (lambda: ops.one_hot(TOKENS, 5), "float32[batch, time, 5]"),
        (lambda: ops.one_hot(TOKENS, 5, axis=1, dtype="bool"), "bool[batch, 5, time]"),
        (lambda: ops.argsort(X, 1), "int32[batch, time, 4]"),
        (lambda: ops.top_k(X, 2)[1], "int32[batch, time, 2]"),
    ],
)
def test_types_keep_named_dimensions(result, expected):
    assert str(result().type) == expected


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: ops.take(X, np.array([True]), 1),
            DTypeError,
            "take: the indices are bool; integers are needed",
        ),
        (lambda: ops.take(X, 0, 3), ShapeError, "axis 3 is out of range"),
        (
            lambda: ops.take(np.zeros((2, 0)), 0, 1),
            ShapeError,
            r"axis 1 of the shape \(2, 0\) has no elements",
        ),
        (lambda: ops.take_along_axis(X, TOKENS, 1), ShapeError, "3 dimensions are needed"),
        (lambda: ops.take_along_axis(X, tensor("int32[3, time, 4]"), 1), ShapeError, "do not broadcast"),
        (lambda: ops.embedding(X, TABLE), DTypeError, "embedding: the indices are float32"),
        (
            lambda: ops.embedding(TOKENS, TABLE[0]),
            ShapeError,
            r"the table has the shape \(3,\); 2 dimensions",
        ),
        (
            lambda: ops.embedding(TOKENS, TABLE.astype("int32")),
            DTypeError,
            "the table is int32; a float is needed",
        ),
        (lambda: ops.one_hot(TOKENS, 0), ArgumentError, "one_hot: num_classes is an int from 1 up, not 0"),
        (lambda: ops.one_hot(X > 0, 3), DTypeError, "one_hot: the indices are bool; integers are needed"),
        (lambda: ops.top_k(X, 5), ShapeError, "no 5 largest of 4 elements"),
    ],
)
def test_errors_say_what_does_not_fit(call, error, message):
    with pytest.raises(error, match=message):
        call()


arrays = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4),
    elements=st.integers(-5, 5).map(float),
)


@given(arrays, st.data())
def test_take_and_take_along_axis_are_numpy(x, data):
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    positions = st.integers(-x.shape[axis], x.shape[axis] - 1)
    indices = data.draw(hnp.arrays(np.int64, hnp.array_shapes(min_dims=0, max_dims=2), elements=positions))
    np.testing.assert_array_equal(ops.take(x, indices, axis), np.take(x, indices, axis))
    along = data.draw(hnp.arrays(np.int32, x.shape, elements=positions))
    np.testing.assert_array_equal(ops.take_along_axis(x, along, axis), np.take_along_axis(x, along, axis))


@given(arrays, st.data())
def test_sort_argsort_and_top_k_are_numpy(x, data):
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    np.testing.assert_array_equal(ops.sort(x, axis), np.sort(x, axis))
    np.testing.assert_array_equal(ops.argsort(x, axis), np.argsort(x, axis, kind="stable"))
    values, positions = ops.top_k(x, x.shape[-1])
    np.testing.assert_array_equal(values, np.sort(x, -1)[..., ::-1])
    np.testing.assert_array_equal(np.take_along_axis(x, positions, -1), values)


def test_one_hot_of_classes_out_of_range_is_zeros():
    np.testing.assert_array_equal(ops.one_hot(np.array([1, -1, 3]), 3), [[0, 1, 0], [0, 0, 0], [0, 0, 0]])
