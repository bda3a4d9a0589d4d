"""Tensors from nothing: constants where sizes are known, operations where they have names."""

import numpy as np
import pytest

from unifront import ops
from unifront.errors import ArgumentError, DTypeError, ShapeError
from unifront.ir.emit import emit
from unifront.ir.types import parse_type
from unifront.opset.tensor import Builder, Symbolic
from unifront.reference import BACKEND

X = Symbolic(parse_type("float32[batch, time]"), "x")
TIME = X.shape[1]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (ops.zeros((2, 3)), np.zeros((2, 3), "float32")),
        (ops.ones(2, "int32"), np.ones(2, "int32")),
        (ops.full((), 2.5, "float64"), np.full((), 2.5)),
        (ops.arange(4), np.arange(4, dtype="int32")),
        (ops.arange(1, 2, 0.25), np.arange(1, 2, 0.25, "float32")),
        (ops.arange(5, 0, -2, dtype="int64"), np.arange(5, 0, -2)),
        (ops.iota((2, 3), 1), np.array([[0, 1, 2]] * 2, "int32")),
        (ops.zeros_like(np.ones((2, 0), "int64")), np.zeros((2, 0), "int64")),
        (ops.full_like(np.ones(2, "float32"), 3, "int32"), np.full(2, 3, "int32")),
    ],
)
def test_known_sizes_are_numpy(found, expected):
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (lambda: ops.ones_like(X), "float32[batch, time]"),
        (lambda: ops.zeros((TIME, 2), "bool", like=X), "bool[time, 2]"),
        (lambda: ops.iota(X.shape, 1, "int64", like=X), "int64[batch, time]"),
        (lambda: ops.arange(TIME, like=X), "int32[time]"),
        (lambda: ops.arange(1, TIME, 2, like=X), "int32[time//2]"),
    ],
)
def test_named_sizes_make_operations(result, expected):
    assert str(result().type) == expected


def test_a_size_becomes_a_number_when_the_graph_runs():
    builder = Builder()
    x = builder.input("x", X.type)
    steps = ops.arange(1, x.shape[1] + 1, 2, like=x)
    count = ops.full((), x.shape[1] * 2, "float32", like=x)
    program = emit(builder.graph([steps, count]), BACKEND.rows())
    found, size = program.function((np.zeros((2, 5), "float32"),), ())
    np.testing.assert_array_equal(found, [1, 3, 5])
    assert size == 10


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ops.zeros((-1, 2)), ArgumentError, "sizes are not negative"),
        (lambda: ops.iota((2,), 1), ShapeError, "axis 1 is out of range"),
        (lambda: ops.iota((2,), dtype="bool", like=X), DTypeError, "iota gives numbers, not bool"),
        (lambda: ops.arange(TIME, step=-1, like=X), ArgumentError, "a positive step"),
    ],
)
def test_errors_say_what_does_not_fit(call, error, message):
    with pytest.raises(error, match=message):
        call()
