"""Factorizations, linear systems and norms: NumPy, SciPy and Keras as judges, and errors.

The conformance suite judges each operation on each backend; this is about the functions made of them.
"""

import numpy as np
import pytest

import unifront as uf
from unifront import ops
from unifront.backends import installed, placement
from unifront.errors import ArgumentError, DTypeError, ShapeError
from unifront.testing import FORWARD, GRADIENT, assert_close

RNG = np.random.default_rng(0)
TRAINABLE = [name for name in installed() if name != "numpy"]
X = RNG.normal(size=(2, 3, 3)) + 3 * np.eye(3)
HIGH = RNG.normal(size=(5, 3))
SPD = X @ X.transpose(0, 2, 1)
RANK_TWO = HIGH[:, :2] @ RNG.normal(size=(2, 4))


def on(name, *arrays):
    return [placement(name).backend.array(array) for array in arrays]


def at(name, array):
    return placement(name).backend.numpy(array)


CASES = {
    "solve_vector": (lambda a, b: ops.solve(a, b), lambda a, b: np.linalg.solve(a, b[..., None])[..., 0], (X, X[:, 0])),
    "solve_broadcast": (ops.solve, np.linalg.solve, (X, HIGH[None, :3])),
    "solve_alone": (ops.solve, np.linalg.solve, (X[0], HIGH[:3, 0])),
    "inv": (ops.inv, np.linalg.inv, (X,)),
    "det": (ops.det, np.linalg.det, (X,)),
    "logdet": (ops.logdet, lambda x: np.linalg.slogdet(x)[1], (X,)),
    "cholesky_upper": (
        lambda x: ops.cholesky(x, upper=True), lambda x: np.linalg.cholesky(x).transpose(0, 2, 1), (SPD,),
    ),
    "cholesky_inverse": (ops.cholesky_inverse, np.linalg.inv, (SPD,)),
    "pinv": (ops.pinv, np.linalg.pinv, (HIGH,)),
    "pinv_wide": (ops.pinv, np.linalg.pinv, (X[:, :2],)),
    "pinv_deficient": (lambda x: ops.pinv(x, 1e-6), lambda x: np.linalg.pinv(x, 1e-6), (RANK_TWO,)),
    "matrix_rank": (ops.matrix_rank, lambda x: np.int32(np.linalg.matrix_rank(x)), (RANK_TWO,)),
    "matrix_rank_tol": (
        lambda x: ops.matrix_rank(x, tol=1e3), lambda x: np.linalg.matrix_rank(x, tol=1e3).astype(np.int32), (X,),
    ),
    "lstsq": (ops.lstsq, lambda a, b: np.linalg.lstsq(a, b)[0], (HIGH, RNG.normal(size=(5, 2)))),
    "lstsq_wide": (ops.lstsq, lambda a, b: np.linalg.lstsq(a, b)[0], (HIGH.T, RNG.normal(size=3))),
    "lstsq_deficient": (ops.lstsq, lambda a, b: np.linalg.lstsq(a, b)[0], (RANK_TWO, RNG.normal(size=5))),
}  # fmt: skip
CASES["cholesky_inverse"] = (lambda x: ops.cholesky_inverse(ops.cholesky(x)), *CASES["cholesky_inverse"][1:])


@pytest.mark.parametrize("name", installed())
def test_numbers_are_numpy_s(name):
    def all_of_them(given):
        return {case: function(*given[case]) for case, (function, _, _) in CASES.items()}

    found = uf.jit(all_of_them)({case: on(name, *arrays) for case, (_, _, arrays) in CASES.items()})
    for case, (_, judge, arrays) in CASES.items():
        assert_close(at(name, found[case]), judge(*arrays), bounds={**FORWARD, "float64": 1e-11}, what=case)


@pytest.mark.parametrize("name", TRAINABLE)
def test_gradients_of_what_is_composed(name):
    """By central differences of NumPy's own function."""
    cases = ("inv", "solve_vector", "cholesky_inverse", "pinv", "pinv_wide", "lstsq", "logdet")
    weights = {case: RNG.normal(size=np.shape(CASES[case][1](*CASES[case][2]))) for case in cases}

    def all_of_them(given):
        def loss(x, others, case):
            return ops.sum(ops.multiply(CASES[case][0](x, *others), weights[case]))

        return {
            case: uf.value_and_grad(lambda x, others=others, case=case: loss(x, others, case))(x)[1]
            for case, (x, *others) in given.items()
        }

    gradients = uf.jit(all_of_them)({case: on(name, *CASES[case][2]) for case in cases})
    for case in cases:
        _, judge, arrays = CASES[case]
        direction = RNG.normal(size=arrays[0].shape)
        if case == "cholesky_inverse":
            direction = direction + direction.transpose(0, 2, 1)
        h = 1e-5
        ends = [np.sum(judge(arrays[0] + s * h * direction, *arrays[1:]) * weights[case]) for s in (1, -1)]
        found = np.sum(at(name, gradients[case]) * direction)
        assert found == pytest.approx((ends[0] - ends[1]) / (2 * h), rel=1e-6), case


@pytest.mark.parametrize("name", installed())
def test_lu_factor_is_scipy_s(name):
    scipy = pytest.importorskip("scipy.linalg")
    for matrix in (X, HIGH, HIGH.T, X[0, :1]):
        factors, pivots = ops.lu_factor(*on(name, matrix))
        expected = scipy.lu_factor(matrix)
        assert_close(at(name, factors), expected[0])
        assert_close(at(name, pivots), expected[1].astype(np.int32))


ORDERS = [None, "fro", "nuc", -np.inf, -2, -1, 0, 1, 2, np.inf, 3, 0.5]


def test_norms_are_numpy_s():
    for shape in ((5,), (4, 6), (2, 3, 4), (1,), (1, 2)):
        x = RNG.normal(size=shape).astype("float32")
        for order in ORDERS:
            for axis in (None, 0, -1, (0, 1), (1, 0), (-1, 0)):
                for keepdims in (False, True):
                    try:
                        with np.errstate(all="ignore"):
                            expected = np.linalg.norm(x, order, axis, keepdims)
                    except ValueError:
                        with pytest.raises((ShapeError, ArgumentError)):
                            ops.norm(x, order, axis, keepdims)
                        continue
                    with np.errstate(all="ignore"):
                        found = np.asarray(ops.norm(x, order, axis, keepdims))
                    assert_close(found, expected.astype("float32"), what=f"{shape} {order} {axis} {keepdims}")


@pytest.mark.parametrize("name", TRAINABLE)
def test_norms_on_backends(name):
    x = RNG.normal(size=(2, 3, 4)).astype("float32")
    for order, axis in (
        (None, None),
        (3, 1),
        (0, 1),
        ("nuc", (0, 2)),
        (2, (1, 2)),
        (-1, (2, 0)),
        (np.inf, 0),
    ):
        found = ops.norm(*on(name, x), order, axis, keepdims=True)
        assert_close(at(name, found), np.linalg.norm(x, order, axis, True) if axis is not None else
                     np.linalg.norm(x.ravel(), keepdims=True).reshape(1, 1, 1), what=f"{order} {axis}")  # fmt: skip
    assert at(name, ops.norm(*on(name, np.array([3, 4])))) == np.float32(5)


def test_sixteen_bits_are_computed_in_thirty_two():
    for dtype in ("float16", "bfloat16"):
        x = ops.cast(SPD.astype("float32"), dtype)
        for function in (ops.inv, ops.cholesky, ops.det, lambda x: ops.svd(x, compute_uv=False)):
            found = np.asarray(function(x))
            expected = np.asarray(function(np.asarray(x).astype("float64")))
            assert found.dtype.name == dtype
            assert_close(found, expected)


@pytest.mark.parametrize("name", TRAINABLE)
def test_a_matrix_that_is_not_positive_definite_is_refused(name):
    with pytest.raises(ArgumentError, match="cholesky: the matrix is not positive definite"):
        ops.cholesky(*on(name, np.array([[1.0, 2.0], [2.0, 1.0]])))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ops.cholesky(np.ones((2, 3))), ShapeError, r"cholesky: .* \(2, 3\); a square matrix"),
        (lambda: ops.det(np.ones(3)), ShapeError, r"det: .* \(3,\); at least 2 dimensions"),
        (lambda: ops.eigh(np.ones((2, 3))), ShapeError, "a square matrix is needed"),
        (lambda: ops.qr(np.ones((2, 2)), mode="r"), ArgumentError, "qr: mode is"),
        (lambda: ops.solve(X, np.float64(1)), ShapeError, "b is a scalar"),
        (lambda: ops.solve(X, np.ones((2, 4, 1))), ShapeError, r"b of the shape \(2, 4, 1\) does not fit a"),
        (lambda: ops.solve_triangular(X[0], np.ones((2, 1))), ShapeError, "does not fit a"),
        (lambda: ops.lstsq(X, HIGH), ShapeError, r"lstsq: a is \[m, n\]"),
        (lambda: ops.norm(np.ones(3), axis=1), ShapeError, "axis 1 is out of range"),
        (lambda: ops.norm(np.ones(3), "fro"), ArgumentError, "a vector's norm is a number, not 'fro'"),
        (lambda: ops.norm(np.ones((3, 3)), 3), ArgumentError, "a matrix's norm is one of"),
        (lambda: ops.norm(np.ones((3, 3, 3)), 2), ShapeError, "these are 3"),
        (lambda: ops.pinv(uf.Input((None, 3))), ShapeError, "hangs on the sizes"),
        (lambda: ops.svd(np.ones((2, 2), "complex64")), DTypeError, "float32 or float64 is needed"),
    ],
)  # fmt: skip
def test_errors_say_what_does_not_fit(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_free_sizes():
    x = uf.Input((None, 3, 3), name="x")
    y = x[..., 0]
    outputs = [
        ops.inv(x),
        ops.solve(x, y),
        ops.pinv(x),
        ops.slogdet(x)[1],
        ops.norm(x, axis=(-2, -1)),
        ops.qr(x)[1],
    ]
    data = np.stack([X, X + 1]).astype("float32")
    model = uf.Model(x, outputs)
    wanted = model.predict(data, backend="numpy")
    for name in TRAINABLE:
        for found, expected in zip(model.predict(data, backend=name), wanted, strict=True):
            assert_close(found, expected, bounds=GRADIENT)
