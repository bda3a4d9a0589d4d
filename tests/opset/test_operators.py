"""Python's operators on symbolic tensors do what NumPy's do on arrays."""

import operator

import numpy as np
import pytest

import unifront as uf
from unifront.backends import installed
from unifront.errors import ArgumentError, DTypeError
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


def test_truth_is_refused():
    x = Builder().input("x", parse_type("float32[batch, 2]"))
    with pytest.raises(ArgumentError, match="has no truth value while a graph is traced"):
        bool(x == x)
    with pytest.raises(ArgumentError, match="has no length"):
        len(x)


INTEGERS = np.array([[1, -2], [3, 6]], "int32")
BITS = [operator.and_, operator.or_, operator.xor, operator.lshift, operator.rshift]


@pytest.mark.parametrize("function", BITS, ids=lambda function: function.__name__)
def test_bits(function):
    twos = np.array([[2, 3], [0, 1]], "int32")

    def traced(*arrays):
        builder = Builder()
        tensors = [builder.input(f"x{i}", parse_type("int32[2, 2]")) for i in range(len(arrays))]
        found = [
            function(*tensors),
            function(tensors[0], 2),
            function(3, tensors[1]),
            function(arrays[0], tensors[1]),
        ]
        return emit(builder.graph([*found, ~tensors[0]]), BACKEND.rows()).function(arrays, ())

    expected = [
        function(INTEGERS, twos),
        function(INTEGERS, 2),
        function(3, twos),
        function(INTEGERS, twos),
        ~INTEGERS,
    ]
    for mine, wanted in zip(traced(INTEGERS, twos), expected, strict=True):
        np.testing.assert_array_equal(mine, wanted)


@pytest.mark.parametrize("function", [operator.and_, operator.or_, operator.xor], ids=lambda f: f.__name__)
def test_bits_of_booleans_are_logic(function):
    check(lambda x, y: function(x > 0, y > 1), A, B)
    check(lambda x: ~function(x > 0, True), A)
    with pytest.raises(DTypeError, match="takes integers, not float32"):
        run(function, A, B)


def test_equality_is_elementwise_where_there_are_values():
    check(operator.eq, A, np.abs(A))
    check(operator.ne, A, np.abs(A))
    for other in (-2, 0.5, np.float32(3), B):
        check(lambda x, other=other: x == other, A)
        check(lambda x, other=other: x != other, A)
        check(lambda x, other=other: other == x, A)
    x = Builder().input("x", parse_type("float32[batch, 2]"))
    assert [x == None, x != None, x == "x"] == [False, True, False]  # noqa: E711
    assert {x: 1}[x] == 1


def test_symbolic_tensors_and_variables_are_found_in_lists():
    first, second = uf.Input((3,)), uf.Input((4,))
    assert second in [first, second]
    assert (first == second) is False
    ones, more = uf.Variable(np.ones(2)), uf.Variable(np.ones(3))
    assert [ones, more].index(more) == 1
    assert (ones == more) is False
    np.testing.assert_array_equal(ones == np.array([1.0, 2.0]), [True, False])
    np.testing.assert_array_equal(ones != 1, [False, False])


def test_equality_of_the_functional_api_is_of_the_values():
    x = uf.Input((3,), dtype="int32")
    model = uf.Model(x, [x == 2, x != 2, (x != 2) & (x > 1), x != uf.ops.flip(x, 1)])
    given = np.array([[1, 2, 3]], "int32")
    for backend in installed():
        found = model.predict(given, verbose=0, backend=backend)
        expected = [given == 2, given != 2, (given != 2) & (given > 1), given != given[:, ::-1]]
        for mine, wanted in zip(found, expected, strict=True):
            np.testing.assert_array_equal(mine, wanted)
