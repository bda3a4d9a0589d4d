"""Shapes: what types say with named dimensions, what is refused, and NumPy as the judge of the functions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from unifront import ops
from unifront.errors import ArgumentError, DTypeError, ShapeError
from unifront.ir.types import parse_type
from unifront.opset.shape import CONCATENATE, STACK
from unifront.opset.tensor import Symbolic


def tensor(type_: str) -> Symbolic:
    return Symbolic(parse_type(type_), "x")


X = tensor("float32[batch, time, 4]")


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (lambda: ops.reshape(X, (-1, 2)), "float32[2*batch*time, 2]"),
        (lambda: ops.reshape(X, (X.shape[0], -1)), "float32[batch, 4*time]"),
        (lambda: ops.reshape(X, (X.shape[0], X.shape[1], 2, -1)), "float32[batch, time, 2, 2]"),
        (lambda: ops.flatten(X, 1), "float32[batch, 4*time]"),
        (lambda: ops.transpose(X), "float32[4, time, batch]"),
        (lambda: ops.moveaxis(X, -1, 0), "float32[4, batch, time]"),
        (lambda: ops.swapaxes(X, 0, 1), "float32[time, batch, 4]"),
        (lambda: ops.expand_dims(X, (0, -1)), "float32[1, batch, time, 4, 1]"),
        (lambda: ops.squeeze(ops.expand_dims(X, 1)), "float32[batch, time, 4]"),
        (lambda: ops.broadcast_to(X[:, :1], X.shape), "float32[batch, time, 4]"),
        (lambda: ops.concatenate([X, X, X[:, 1:]], 1), "float32[batch, 3*time-min(1,time), 4]"),
        (lambda: ops.stack([X, X], -1), "float32[batch, time, 4, 2]"),
        (lambda: ops.reshape(X, (X.shape[0], -1, 6)), "float32[batch, (2*time)//3, 6]"),
        (lambda: ops.reshape(X, (-1, 8)), "float32[(batch*time)//2, 8]"),
        (lambda: ops.split(X, 2, -1)[1], "float32[batch, time, 2]"),
        (lambda: ops.split(X, [3], 1)[1], "float32[batch, time-3, 4]"),
        (lambda: ops.unstack(X, axis=-1)[3], "float32[batch, time]"),
    ],
)
def test_types_keep_named_dimensions(result, expected):
    assert str(result().type) == expected


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: ops.reshape(X, (X.shape[1] + 1, -1)),
            ShapeError,
            r"4\*batch\*time elements .* do not divide into \(time\+1, -1\)",
        ),
        (lambda: ops.reshape(X, (X.shape[0], 8)), ShapeError, r"cannot become \(batch, 8\)"),
        (lambda: ops.reshape(X, (-1, -1)), ShapeError, "at most one -1"),
        (lambda: ops.reshape(X, (2.5, -1)), ArgumentError, "an int or a named dimension"),
        (lambda: ops.transpose(X, (0, 0, 1)), ShapeError, "is not an order of the 3 axes"),
        (lambda: ops.transpose(X, (0, 1, 3)), ShapeError, "axis 3 is out of range for a tensor of rank 3"),
        (lambda: ops.squeeze(X, 1), ShapeError, r"axis 1 of the shape \(batch, time, 4\) is not 1 long"),
        (lambda: ops.expand_dims(X, (0, 0)), ShapeError, "name one axis twice"),
        (lambda: ops.broadcast_to(X, (X.shape[0], 4)), ShapeError, r"does not broadcast to \(batch, 4\)"),
        (
            lambda: ops.concatenate([X, tensor("float32[batch, 3, 5]")], 1),
            ShapeError,
            "differ outside axis 1",
        ),
        (lambda: ops.concatenate([]), ShapeError, "at least one tensor"),
        (lambda: ops.stack([X, tensor("float32[batch, 4]")]), ShapeError, "tensors of one shape"),
        (lambda: ops.split(X, 3, -1), ShapeError, "has no 3 equal parts"),
        (lambda: ops.split(X, [5], -1), ShapeError, r"does not split into the sizes \(5, -1\)"),
        (lambda: ops.unstack(X, axis=1), ShapeError, "needs a known length"),
        (lambda: ops.unstack(ops.zeros((2**17,), like=X)), ShapeError, "known length from 2 to 65536"),
        (lambda: ops.unstack(X, 3, axis=2), ShapeError, "is not 3 long"),
        (
            lambda: CONCATENATE.infer(parse_type("int32[2]"), X.type, axis=0),
            ShapeError,
            "differ outside axis 0",
        ),
        (
            lambda: STACK.infer(parse_type("int32[2]"), parse_type("int8[2]"), axis=0),
            DTypeError,
            "int32, int8; cast",
        ),
    ],
)
def test_errors_say_what_does_not_fit(call, error, message):
    with pytest.raises(error, match=message):
        call()


shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
arrays = hnp.arrays(np.float32, shapes, elements=st.integers(-9, 9).map(float))


@given(arrays, st.data())
def test_transpose_and_moveaxis_are_numpy(x, data):
    axes = data.draw(st.permutations(range(x.ndim)))
    np.testing.assert_array_equal(ops.transpose(x, axes), np.transpose(x, axes))
    if x.ndim:
        a, b = data.draw(st.integers(-x.ndim, x.ndim - 1)), data.draw(st.integers(-x.ndim, x.ndim - 1))
        np.testing.assert_array_equal(ops.moveaxis(x, a, b), np.moveaxis(x, a, b))
        np.testing.assert_array_equal(ops.swapaxes(x, a, b), np.swapaxes(x, a, b))


@given(arrays, st.data())
def test_concatenate_stack_and_unstack_are_numpy(x, data):
    axis = data.draw(st.integers(-x.ndim - 1, x.ndim))
    stacked = ops.stack([x, x + 1], axis)
    np.testing.assert_array_equal(stacked, np.stack([x, x + 1], axis))
    for piece, expected in zip(ops.unstack(stacked, axis=axis), (x, x + 1), strict=True):
        np.testing.assert_array_equal(piece, expected)
    if x.ndim:
        axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
        np.testing.assert_array_equal(ops.concatenate([x, x], axis), np.concatenate([x, x], axis))
        cuts = sorted(data.draw(st.lists(st.integers(0, x.shape[axis]), max_size=3)))
        for piece, expected in zip(ops.split(x, cuts, axis), np.split(x, cuts, axis), strict=True):
            np.testing.assert_array_equal(piece, expected)


@given(arrays)
def test_reshape_squeeze_and_expand_dims_are_numpy(x):
    np.testing.assert_array_equal(ops.flatten(x), x.reshape(-1))
    np.testing.assert_array_equal(ops.reshape(x, x.shape[::-1]), x.reshape(x.shape[::-1]))
    np.testing.assert_array_equal(ops.squeeze(x), np.squeeze(x))
    np.testing.assert_array_equal(ops.expand_dims(x, (0, -1)), np.expand_dims(x, (0, -1)))


def test_operands_meet_in_one_dtype():
    assert ops.concatenate([np.ones(2, "int32"), np.ones(1, "float32")]).dtype == np.float32
