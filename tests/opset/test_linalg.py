"""Products: named dimensions, errors, and NumPy as the judge."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import unifront as uf
from unifront import ops
from unifront.backends import installed, placement
from unifront.errors import ArgumentError, DTypeError, ShapeError
from unifront.ir.types import parse_type
from unifront.opset.linalg import DENSE, EINSUM, MATMUL
from unifront.opset.tensor import Symbolic
from unifront.testing import assert_close

RNG = np.random.default_rng(0)


def tensor(type_: str) -> Symbolic:
    return Symbolic(parse_type(type_), "x")


X = tensor("float32[batch, time, 4]")
KERNEL = np.zeros((4, 3), "float32")


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (lambda: ops.matmul(X, KERNEL), "float32[batch, time, 3]"),
        (lambda: ops.matmul(X, tensor("float32[batch, 4, time]")), "float32[batch, time, time]"),
        (lambda: ops.matmul(X, KERNEL[:, 0]), "float32[batch, time]"),
        (lambda: ops.dense(X, KERNEL, KERNEL[0]), "float32[batch, time, 3]"),
        (lambda: ops.dense(tensor("int32[batch, 4]"), KERNEL), "float32[batch, 3]"),
        (lambda: ops.einsum("btd,bsd->bts", X, X), "float32[batch, time, time]"),
        (lambda: ops.einsum("b...->...", X), "float32[time, 4]"),
        (lambda: ops.tensordot(X, KERNEL, 1), "float32[batch, time, 3]"),
        (lambda: ops.dot(X, KERNEL), "float32[batch, time, 3]"),
    ],
)
def test_types_keep_named_dimensions(result, expected):
    assert str(result().type) == expected


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ops.matmul(X, KERNEL.T), ShapeError, r"last axis of \(batch, time, 4\) and the second last"),
        (lambda: ops.matmul(X, 2.0), ShapeError, "matmul takes no scalars"),
        (
            lambda: MATMUL.infer(parse_type("bool[2, 2]"), parse_type("bool[2, 2]")),
            DTypeError,
            "matmul takes numbers, not bool",
        ),
        (lambda: ops.cross(np.ones(4), np.ones(3)), ShapeError, "2 or 3 elements; these have 4 and 3"),
        (lambda: ops.matmul(X, np.zeros((2, 4, 1), "float32")), ShapeError, "do not broadcast"),
        (lambda: ops.dense(X, KERNEL.T), ShapeError, r"input \(batch, time, 4\) is not as long as the first"),
        (lambda: ops.dense(X, KERNEL[0]), ShapeError, "the kernel has the shape"),
        (
            lambda: ops.dense(X, KERNEL, KERNEL[:, 0]),
            ShapeError,
            r"the bias \(4,\) does not fit the kernel \(4, 3\)",
        ),
        (
            lambda: DENSE.infer(parse_type("int32[4]"), parse_type("int32[4, 3]"), None),
            DTypeError,
            "a float is needed",
        ),
        (
            lambda: ops.einsum(X, [0, 1, 60]),
            ArgumentError,
            "each tensor followed by the numbers of its axes, from 0 to 51",
        ),
        (lambda: ops.einsum(X, "ijk"), ArgumentError, "einsum takes a string of subscripts and tensors, or"),
        (lambda: ops.einsum("ij,jk", X), ArgumentError, "is for 2 operands; given were 1"),
        (lambda: ops.einsum("ij->i", X), ShapeError, "2 dimensions are needed"),
        (lambda: ops.einsum("i...jkl->i", X), ShapeError, r"of ranks \[3\] do not fit"),
        (lambda: ops.einsum("ijk->m", X), ArgumentError, "one that no operand has"),
        (lambda: ops.einsum("i1k->i", X), ArgumentError, "is no equation such as"),
        (
            lambda: ops.einsum("ijk,ijl->kl", X, tensor("float32[batch, 5, 4]")),
            ShapeError,
            "'j' .* both time and 5 long",
        ),
        (lambda: EINSUM.infer(parse_type("float32[2]"), equation="i"), ArgumentError, "is no equation"),
        (lambda: ops.tensordot(X, KERNEL, [[0, 1], [0]]), ShapeError, "tensordot pairs axes"),
    ],
)
def test_errors_say_what_does_not_fit(call, error, message):
    with pytest.raises(error, match=message):
        call()


@given(hnp.mutually_broadcastable_shapes(signature=np.matmul.signature, max_dims=2, max_side=3))
def test_matmul_is_numpy(found):
    x, y = (RNG.normal(size=shape) for shape in found.input_shapes)
    np.testing.assert_allclose(ops.matmul(x, y), np.matmul(x, y), rtol=1e-12)


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("ij,jk", [(2, 3), (3, 4)]),
        ("ba", [(2, 3)]),
        ("...ij,...jk->...ik", [(5, 2, 3), (5, 3, 2)]),
        ("i...,i", [(2, 3, 4), (2,)]),
        (" i j -> j ", [(2, 3)]),
        ("i,j,k->kji", [(1,), (2,), (3,)]),
        ("...i,...i->...", [(5, 1, 3), (4, 3)]),
        ("ij,jk", [(2, 1), (3, 4)]),
        ("ii->i", [(3, 3)]),
    ],
)
def test_einsum_is_numpy(equation, shapes):
    operands = [RNG.normal(size=shape) for shape in shapes]
    np.testing.assert_allclose(ops.einsum(equation, *operands), np.einsum(equation, *operands), rtol=1e-12)


@pytest.mark.parametrize(
    "given",
    [
        (RNG.normal(size=(3, 4)), [0, 1], RNG.normal(size=(5, 4)), [2, 1], [0, 2]),
        (RNG.normal(size=(3, 4)), [1, 0]),
        (RNG.normal(size=(3, 4)), [3, 30], RNG.normal(size=(2, 3, 4)), [5, 3, 30]),
        (RNG.normal(size=(2, 3, 4)), [30, 2, 7], RNG.normal(size=4), [7]),
        (RNG.normal(size=(2, 3, 4)), [..., 1], RNG.normal(size=4), [1]),
    ],
)
def test_einsum_by_numbers_is_numpy(given):
    np.testing.assert_allclose(ops.einsum(*given), np.einsum(*given), rtol=1e-12)


@pytest.mark.parametrize("axes", [0, 1, 2, [[0, 1], [1, 0]], [[-1], [0]]])
def test_tensordot_is_numpy(axes):
    x, y = RNG.normal(size=(3, 3)), RNG.normal(size=(3, 3))
    np.testing.assert_allclose(ops.tensordot(x, y, axes), np.tensordot(x, y, axes), rtol=1e-12)


@given(st.sampled_from([((), (2,)), ((3,), (3,)), ((2, 3), (3,)), ((2, 3), (4, 3, 5)), ((1, 2, 3), (3, 2))]))
def test_dot_is_numpy(shapes):
    x, y = (RNG.normal(size=shape) for shape in shapes)
    np.testing.assert_allclose(ops.dot(x, y), np.dot(x, y), rtol=1e-12)


NUMBERS = {
    "bool": [True, False],
    "int8": [100, -3],
    "uint8": [200, 7],
    "int32": [5, -1],
    "float32": [0.5, 2.0],
}


@pytest.mark.parametrize("name", ["matmul", "dot", "inner", "vdot", "tensordot", "einsum"])
def test_dtypes_are_keras_s(name):
    keras = pytest.importorskip("keras")
    more = {"tensordot": {"axes": 1}}.get(name, {})
    first = ("i,i->",) if name == "einsum" else ()
    for a, b in itertools.product(NUMBERS, repeat=2):
        if name == "einsum" and a == b == "bool":
            continue  # Keras on TensorFlow has none
        operands = np.array(NUMBERS[a], a), np.array(NUMBERS[b], b)
        if name == "matmul":
            operands = operands[0][None, :], operands[1][:, None]
        found = getattr(ops, name)(*first, *operands, **more)
        expected = keras.ops.convert_to_numpy(getattr(keras.ops, name)(*first, *operands, **more))
        assert_close(np.asarray(found), expected, dtype=expected.dtype.name, what=f"{name} of {a} and {b}")


@pytest.mark.parametrize(
    "shapes", [((3,), (3,)), ((2, 3), (4, 2, 3)), ((), (2,)), ((0, 3), (2, 3)), ((1,), (1,))]
)
def test_further_products_are_numpy_s(shapes):
    x, y = (RNG.normal(size=shape) for shape in shapes)
    for name in ("inner", "outer"):
        assert_close(np.asarray(getattr(ops, name)(x, y)), getattr(np, name)(x, y), what=name)
    if x.size == y.size:
        assert_close(np.asarray(ops.vdot(x, y)), np.vdot(x, y))


def test_vdot_conjugates_the_first():
    x, y = (RNG.normal(size=3) + 1j * RNG.normal(size=3) for _ in "ab")
    for name in installed():
        place = placement(name)
        found = ops.vdot(place.backend.array(x), place.backend.array(y))
        assert_close(place.backend.numpy(found), np.vdot(x, y))


@pytest.mark.parametrize(
    ("shapes", "axes"),
    [
        (((3,), (3,)), {}),
        (((2,), (3,)), {}),
        (((3,), (2,)), {}),
        (((4, 2), (4, 2)), {}),
        (((3, 4), (4, 3)), {"axisa": 0, "axisb": 1}),
        (((3, 4), (3, 4)), {"axis": 0}),
        (((5, 1, 3), (4, 3)), {"axisc": 0}),
    ],
)
@pytest.mark.filterwarnings("ignore:Arrays of 2-dimensional vectors:DeprecationWarning")
def test_cross_is_numpy_s(shapes, axes):
    x, y = (RNG.normal(size=shape) for shape in shapes)
    assert_close(np.asarray(ops.cross(x, y, **axes)), np.cross(x, y, **axes))


def test_products_of_free_sizes():
    x = uf.Input((None, 3), batch_size=2)
    outputs = [ops.einsum("bti,bsi->bts", x, x), ops.outer(x, x)]
    data = RNG.normal(size=(2, 4, 3)).astype("float32")
    found = uf.Model(x, outputs).predict(data, backend="torch")
    expected = [
        data @ data.transpose(0, 2, 1),
        np.outer(data, data),
    ]
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other)
