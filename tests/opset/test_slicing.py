"""Parts and repetitions: named dimensions, errors, and NumPy's indexing as the judge."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from unifront import ops
from unifront.errors import ArgumentError, ShapeError
from unifront.ir.types import parse_type
from unifront.opset.tensor import Symbolic

X = Symbolic(parse_type("float32[batch, time, 4]"), "x")


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (lambda: X[0], "float32[time, 4]"),
        (lambda: X[:, -1], "float32[batch, 4]"),
        (lambda: X[..., 0], "float32[batch, time]"),
        (lambda: X[:, 1:], "float32[batch, time-min(1,time), 4]"),
        (lambda: X[:, :-2], "float32[batch, time-min(2,time), 4]"),
        (lambda: X[:, -3:], "float32[batch, min(3,time), 4]"),
        (lambda: X[:, ::2], "float32[batch, (time+1)//2, 4]"),
        (lambda: X[:, ::-1], "float32[batch, time, 4]"),
        (lambda: X[:, : X.shape[1] - 1], "float32[batch, time-min(1,time), 4]"),
        (lambda: X[None, ..., None, 1:3], "float32[1, batch, time, 1, 2]"),
        (lambda: X[..., 3:1:-1], "float32[batch, time, 2]"),
        (lambda: ops.pad(X, ((0, 0), (1, 2), (0, 0))), "float32[batch, time+3, 4]"),
        (lambda: ops.flip(X, 1), "float32[batch, time, 4]"),
        (lambda: ops.repeat(X, 3, 1), "float32[batch, 3*time, 4]"),
        (lambda: ops.tile(X, (X.shape[1], 1, 2)), "float32[batch*time, time, 8]"),
    ],
)
def test_types_keep_named_dimensions(result, expected):
    assert str(result().type) == expected


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: X[:, :, 4], ShapeError, "Index 4 is out of range for axis 2 of length 4"),
        (lambda: X[0, 0, 0, 0], ShapeError, "does not fit the shape"),
        (lambda: X[..., ...], ShapeError, "does not fit the shape"),
        (
            lambda: X[np.array([0.5, 1])],
            ArgumentError,
            "with ints, slices, None, Ellipsis and integer tensors",
        ),
        (lambda: X[True], ArgumentError, "not bool"),
        (lambda: X[::0], ArgumentError, "stride of a slice is not 0"),
        (lambda: X[:, 5:1:-1], ShapeError, "negative stride and ends needs a known length; axis 1 has time"),
        (lambda: ops.strided_slice(X, [0], [1], [-1]), ArgumentError, "a positive stride"),
        (lambda: ops.pad(X, 4, "reflect"), ShapeError, "adds at most 3 to axis 2"),
        (lambda: ops.pad(X, 1, "warp"), ArgumentError, "minimum, mean, empty, not 'warp'"),
        (lambda: ops.pad(X, -1), ShapeError, "are not two sizes"),
        (lambda: ops.repeat(X, -1, 0), ArgumentError, "repeats is an int from 0 up, not -1"),
        (lambda: ops.flip(X, 3), ShapeError, "axis 3 is out of range"),
        (lambda: ops.tile(X, -1), ShapeError, "is not one number of repeats"),
    ],
)
def test_errors_say_what_does_not_fit(call, error, message):
    with pytest.raises(error, match=message):
        call()


shapes = hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5)
arrays = hnp.arrays(np.float32, shapes, elements=st.integers(-9, 9).map(float))


@given(arrays, st.data())
def test_indexing_is_numpy(x, data):
    key = data.draw(hnp.basic_indices(x.shape, allow_newaxis=True))
    np.testing.assert_array_equal(ops.get_item(x, key), x[key])


@given(arrays, st.data())
def test_flip_repeat_tile_and_pad_are_numpy(x, data):
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    count = data.draw(st.integers(0, 3))
    np.testing.assert_array_equal(ops.flip(x, axis), np.flip(x, axis))
    np.testing.assert_array_equal(ops.flip(x), np.flip(x))
    np.testing.assert_array_equal(ops.repeat(x, count, axis), np.repeat(x, count, axis))
    np.testing.assert_array_equal(ops.repeat(x, count), np.repeat(x, count))
    np.testing.assert_array_equal(ops.tile(x, count), np.tile(x, count))
    np.testing.assert_array_equal(ops.tile(x, (2,) * x.ndim + (count,)), np.tile(x, (2,) * x.ndim + (count,)))
    np.testing.assert_array_equal(ops.pad(x, count, constant_values=2), np.pad(x, count, constant_values=2))
    if min(x.shape) > count:
        np.testing.assert_array_equal(ops.pad(x, (count, 1), "symmetric"), np.pad(x, (count, 1), "symmetric"))
        if min(x.shape) > 1:
            np.testing.assert_array_equal(ops.pad(x, (count, 1), "reflect"), np.pad(x, (count, 1), "reflect"))
