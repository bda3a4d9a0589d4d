"""Python's operators on symbolic tensors do what NumPy's do on arrays."""

import operator

import numpy as np
import pytest

from unifront.errors import ArgumentError
from unifront.ir.emit import emit
from unifront.ir.types import parse_type
from unifront.opset.tensor import Builder
from unifront.reference import BACKEND
from unifront.weights import Variable

A = np.array([[1.5, -2.0], [3.0, 0.5]], "float32")
B = np.array([[2.0, 4.0], [0.5, 1.0]], "float32")
BINARY = [
    operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod,
    operator.matmul, operator.lt, operator.le, operator.gt, operator.ge,
]  # fmt: skip


def run(function, *arrays):
    builder = Builder()
    tensors = [builder.input(f"x{i}", parse_type("float32[2, 2]")) for i in range(len(arrays))]
    (found,) = emit(builder.graph([function(*tensors)]), BACKEND.rows()).function(arrays, ())
    return found


def check(function, *arrays):
    found, expected = run(function, *arrays), function(*arrays)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("function", BINARY, ids=lambda function: function.__name__)
def test_binary(function):
    check(function, A, B)
    check(lambda x: function(x, B), A)


@pytest.mark.parametrize(
    "function", [f for f in BINARY if f is not operator.matmul], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("number", [2, 0.5])
def test_python_numbers_stand_on_both_sides(function, number):
    check(lambda x: function(x, number), A)
    check(lambda x: function(number, x), A)


def test_an_array_may_stand_on_the_left():
    check(lambda x: B @ x, A)
    check(lambda x: B - x, A)


@pytest.mark.parametrize(
    "function",
    [operator.neg, abs, lambda x: abs(x) ** 1.5, lambda x: 2**x, lambda x: x[0, ::-1], lambda x: x[:, None]],
)
def test_unary_power_and_indexing(function):
    check(function, A)


def test_variables_take_part():
    kernel = Variable.at("kernel", (2, 3), initial=np.ones((2, 3), "float32"))
    builder = Builder()
    x = builder.input("x", parse_type("float32[batch, 2]"))
    assert str((x @ kernel + kernel[0] * 2).type) == "float32[batch, 3]"


def test_equality_stays_identity_and_truth_is_refused():
    x = Builder().input("x", parse_type("float32[batch, 2]"))
    assert x == x
    assert (x == 1) is False
    with pytest.raises(ArgumentError, match="has no truth value while a graph is traced"):
        bool(x < 1)
    with pytest.raises(ArgumentError, match="has no length"):
        len(x)
