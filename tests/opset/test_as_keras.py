"""Operations on shapes and places give what ``keras.ops`` gives on the same arrays: values, shapes and dtypes."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from unifront import ops
from unifront.backends import get_backend, installed, placement
from unifront.errors import ArgumentError
from unifront.opset.tensor import to_numpy, type_of
from unifront.testing import assert_close

RNG = np.random.default_rng(0)
V = RNG.normal(size=5).astype("float32")
W = RNG.normal(size=3).astype("float32")
X = RNG.normal(size=(3, 4)).astype("float32")
Y = RNG.normal(size=(2, 3, 4)).astype("float32")
N = np.array([[3, 1, 2], [2, 3, 1]], "int32")
B = np.array([True, False, True])
E = np.zeros((0, 3), "float32")
U = np.array([[1, 2, 1], [0, 1, 2], [1, 2, 1]], "int32")

CASES: dict[str, Any] = {
    "angle": lambda o, a: [
        o.angle(a(V)), o.angle(a(np.array([1 + 1j, -2j, -3.0, 0, -0.0], "complex64"))),
    ],
    "polar": lambda o, a: [o.real(o.nn.polar(a(W), a(W))), o.imag(o.nn.polar(a(X), a(X[0])))],
    "cdist": lambda o, a: [o.cdist(a(X), a(X[:2])), o.cdist(a(Y), a(X)), o.cdist(a(E), a(X[:, :3])), o.cdist(a(X), a(X))],
    "diag of a vector": lambda o, a: [o.diag(a(W)), o.diag(a(W), 2), o.diag(a(W), -1), o.diag(a(B))],
    "diag of a matrix": lambda o, a: [o.diag(a(X)), o.diag(a(X), 2), o.diag(a(X), -2), o.diag(a(N), 1)],
    "diagonal": lambda o, a: [o.diagonal(a(Y)), o.diagonal(a(Y), 1, 1, 2), o.diagonal(a(Y), -1, -1, 0)],
    "diagonal, none": lambda o, a: [o.diagonal(a(E)), o.diagonal(a(X), 3)],
    "diagflat": lambda o, a: [o.diagflat(a(N)), o.diagflat(a(W), 1), o.diagflat(a(W), -2)],
    "trace": lambda o, a: [o.trace(a(Y)), o.trace(a(N)), o.trace(a(X), 1)],
    "tril": lambda o, a: [o.tril(a(X)), o.tril(a(Y), -1), o.tril(a(N), 1)],
    "triu": lambda o, a: [o.triu(a(X)), o.triu(a(Y), -1), o.triu(a(N), 1)],
    "tri": lambda o, a: [o.tri(3), o.tri(3, 4, 1), o.tri(2, 5, -1, "int32"), o.eye(3), o.eye(2, 4), o.identity(2)],
    "vander": lambda o, a: [o.vander(a(W)), o.vander(a(W), 2), o.vander(a(N[0]), 4, True)],
    "outer": lambda o, a: [o.outer(a(W), a(V)), o.outer(a(X), a(N)), o.kron(a(X), a(N)), o.kron(a(W), a(V))],
    "meshgrid": lambda o, a: [*o.meshgrid(a(W), a(V)), *o.meshgrid(a(W), a(V), a(X[0]), indexing="ij")],
    "linspace": lambda o, a: [
        o.linspace(0, 10, 5), o.linspace(a(W), a(W) + 3, 4), o.linspace(a(W), 5.0, 4, endpoint=False, axis=-1),
        *o.linspace(a(W), 5.0, 3, retstep=True), o.linspace(0, 9, 4, dtype="int32"), o.linspace(0, 1, 0),
    ],
    "logspace": lambda o, a: [o.logspace(0, 3, 4), o.logspace(a(W), 2.0, 3), o.logspace(0.5, 2, 3, base=2)],
    "geomspace": lambda o, a: [o.geomspace(1, 1000, 4), o.geomspace(a(np.exp(W)), 9.0, 3, endpoint=False)],
    "windows": lambda o, a: [
        f(n) for f in (o.bartlett, o.blackman, o.hamming, o.hanning, lambda n: o.kaiser(n, 14.0)) for n in (1, 3, 9)
    ],
    "slice": lambda o, a: [
        o.slice(a(X), [1, 0], [2, 3]), o.slice(a(X), a(np.array([1, 2], "int32")), [1, 2]), o.slice(a(X), (0, 1), (-1, -1)),
    ],
    "slice_update": lambda o, a: [
        o.slice_update(a(X), [1, 1], a(X[:2, :2])), o.slice_update(a(X), a(np.array([0, 2], "int32")), a(X[:3, :1])),
    ],
    "scatter": lambda o, a: [
        o.scatter(a(np.array([[0], [2], [0]])), a(W), (4,)), o.scatter(a(np.array([[1, 1]])), a(N[0, :1]), (2, 3)),
    ],
    "scatter_update": lambda o, a: [
        o.scatter_update(a(X), a(np.array([[0], [2]])), a(X[1:]), reduction)
        for reduction in (None, "add", "mul", "max", "min")
    ],
    "turned": lambda o, a: [
        o.roll(a(X), 1), o.roll(a(X), -2, 1), o.roll(a(X), [1, 2], [0, 1]), o.roll(a(E), 1, 0), o.rot90(a(Y)),
        o.rot90(a(Y), -1, (1, 2)), o.fliplr(a(X)), o.flipud(a(V)),
    ],
    "stacked": lambda o, a: [
        f([a(one), a(one)]) for f in (o.hstack, o.vstack, o.dstack) for one in (X, Y, E)
    ] + [o.append(a(X), a(W)), o.append(a(X), a(X), 1), o.ravel(a(Y))],
    "split": lambda o, a: [
        *o.hsplit(a(X), 2), *o.hsplit(a(V), [2, 3]), *o.vsplit(a(X), 3), *o.dsplit(a(Y), [1, 3]), *o.array_split(a(V), 3),
        *o.array_split(a(X), 3, 1), *o.split(a(V), a(np.array([1, 4]))),
    ],
    "unravel_index": lambda o, a: [*o.unravel_index(a(np.array([5, 0, 3])), (2, 3))],
    "known of it": lambda o, a: [o.size(a(Y)), o.copy(a(X)), o.copy(a(B)), o.array([1, 2]), o.array([1.0, 2]), o.array(True)],
    "view": lambda o, a: [o.view(a(N), "uint32"), o.view(a(X), "int16"), o.view(a(X.astype("float16")), "int32")],
    "pad": lambda o, a: [
        o.pad(a(X), ((0, 2), (1, 1)), "reflect"),
        o.pad(a(X), ((2, 2), (2, 2)), "symmetric"), o.pad(a(N), ((1, 0), (0, 1)), constant_values=3),
    ],
    "take": lambda o, a: [
        o.take(a(X), 0), o.take(a(X), -1, 1), o.take(a(X), a(N), 1), o.take(a(X), [[0, 2]], 0), o.take(a(Y), 3),
        o.take_along_axis(a(X), a(np.array([[2, 0, 1, 1]])), 0),
    ],
    "get_item": lambda o, a: [
        o.get_item(a(Y), 1), o.get_item(a(Y), (..., -1)), o.get_item(a(Y), (slice(None), None, 0)),
        o.get_item(a(X), a(np.array(1, "int32"))),
    ],
    "sorted": lambda o, a: [
        o.sort(a(X), None), o.argsort(a(X), 0), o.argsort(a(X), None),
        *o.top_k(a(X), 2),
    ],
    "in_top_k": lambda o, a: [
        o.in_top_k(a(np.array([1, 0, 3], "int32")), a(np.array([[1, 2, 2, 2], [1, 2, 3, 4], [0, 0, 0, 1.0]], "float32")), k)
        for k in (1, 2, 4)
    ],
    "isin": lambda o, a: [o.isin(a(N), a(np.array([1, 7]))), o.isin(a(N), 3, invert=True), o.isin(2, a(N))],
    "select": lambda o, a: [
        o.select([a(X > 1), a(X > 0)], [a(X), a(X * 10)], -1.0), o.select([a(N > 1)], [a(N)]),
    ],
    "one_hot": lambda o, a: [
        o.one_hot(a(N), 4), o.one_hot(a(N), 4, axis=0, dtype="int32"), o.multi_hot(a(N), 4), o.multi_hot(a(N[0]), 5),
    ],
    "repeat": lambda o, a: [o.repeat(a(X), 2), o.repeat(a(X), [1, 0, 2], 0), o.repeat(a(X), a(np.array([2, 1, 1, 0])), -1)],
    "unique": lambda o, a: [
        o.unique(a(N)), *o.unique(a(N), return_index=True, return_inverse=True, return_counts=True),
        *o.unique(a(U), return_index=True, return_inverse=True, return_counts=True, axis=0), o.unique(a(U), axis=1),
        *o.unique(a(N), return_index=True, return_counts=True, size=5, fill_value=-1),
        *o.unique(a(U), return_index=True, return_counts=True, size=2),
    ],
    "arange": lambda o, a: [
        o.arange(4), o.arange(1, 7, 2), o.arange(0, 1, 0.25), o.full((2, 3), a(np.array([1, 2, 3]))), o.full_like(a(X), 7),
        o.empty_like(a(X)) * 0, o.full_like(a(N), a(N[:1])),
    ],
    "rearrange": lambda o, a: [
        o.rearrange(a(Y), "b h w -> w (b h)"), o.rearrange(a(X), "a (b c) -> b a c", b=2),
        o.rearrange(a(Y), "b (h one) w -> b one h w", one=1),
    ],
}  # fmt: skip


AS_NUMPY: dict[str, Any] = {
    # Keras on TensorFlow has 0 for both, and no `vectorize` of two arguments.
    "angle": lambda o, a: [o.angle(a(np.array([-0.0, np.nan], "float32")))],
    "vectorize": lambda o, a: [
        o.vectorize(lambda x, y: x * y)(a(X), a(X[0])), o.vectorize(lambda x, y: x + y)(a(V), a(V)),
        o.vectorize(o.matmul, signature="(m,n),(n)->(m)")(a(Y), a(X[0])),
    ],
    "turned": lambda o, a: [o.rot90(a(X), 2), o.rot90(a(Y), 3, (2, 0)), o.flip(a(Y), (0, 2)), o.roll(a(Y), 30)],
    "stacked": lambda o, a: [f([a(V), a(V)]) for f in (o.hstack, o.vstack, o.dstack)],
    "unravel_index": lambda o, a: [*o.unravel_index(a(N), (2, 2, 1))],
    "eye": lambda o, a: [o.eye(2, 4, 1), o.eye(3, k=-1), o.trace(a(Y), -1, 2, 0)],
    "pad": lambda o, a: [
        o.pad(a(X), (1, 2), constant_values=2),
        *(o.pad(a(one), ((1, 3), (2, 0)), mode) for mode in ("edge", "wrap", "maximum", "minimum", "mean") for one in (X, N)),
    ],
    "get_item": lambda o, a: [
        o.take_along_axis(a(V), a(N[0]), 0),
        *(
            (lambda x, key: x[key] if o is np else o.get_item(x, key))(a(Y), key)
            for key in (
                a(np.array([1, 0], "int32")), (slice(None), a(np.array([[2], [0]]))), (a(np.array([1, 0])), a(np.array([2, -1]))),
                (..., a(np.array([1, 1, 3])), None), (0, slice(1, None), a(np.array([1, -1]))),
                (slice(None), a(np.array([2, 0])), 1), (None, a(np.array([1])), ..., a(np.array([[0], [3]]))), (1, ..., 2),
                [1, 0, 1], np.int64(1), (slice(None, None, -1), a(np.array([0, 1]))),
            )
        ),
    ],
    "sorted": lambda o, a: [o.sort(a(B)), o.argsort(a(B), kind="stable") if o is np else o.argsort(a(B))],
    "unique": lambda o, a: [o.unique(a(B)), o.unique(a(E)), *o.unique(a(np.array([2.5, 1, 2.5])), return_counts=True)],
    "diag": lambda o, a: [o.diag(a(E), 1), o.diagonal(a(Y), -2, 2, 1), o.tril(a(np.ones((2, 0)))), o.vander(a(V[:0]), 3)],
    "saturate_cast": lambda o, a: [
        (lambda x, dtype, low, high: np.clip(x, low, high).astype(dtype or "float32") if o is np else o.saturate_cast(x, dtype))(
            a(x), dtype, low, high
        )
        for x, dtype, low, high in (
            (np.array([-300.0, 1.5, 300], "float32"), "uint8", 0, 255), (N * 100, "int8", -128, 127),
            (np.array([7, -2]), None, -9, 9),
            (np.array([1e6, -1e6], "float32"), "float16", -65504, 65504), (N, "float32", -9, 9),
            (np.array([1e10, -1e10, 2.0**31], "float32"), "int32", -(2**31), np.float32(2**31 - 128)),
        )
    ],
    "repeat": lambda o, a: [o.repeat(a(N), 3), o.tile(a(N), (2, 1, 2)), o.repeat(a(N), 2, -1)],
}  # fmt: skip
"""What Keras refuses on TensorFlow, or does wrong there: of these NumPy is the judge."""


FROM_VALUES = ("unique", "split", "repeat")
"""Cases whose shapes come from values, which JAX can do outside of a program only."""


def judged(case: str, function: Any, wanted: list[np.ndarray], *, dtypes: bool) -> None:
    for name in installed():
        if name == "jax" and case not in FROM_VALUES:  # one program, not one for each operation
            import jax

            found = jax.jit(lambda: tuple(function(ops, jax.numpy.asarray)))()
        else:
            found = function(ops, get_backend(name).array)
        assert len(found) == len(wanted)
        for i, (one, other) in enumerate(zip(found, wanted, strict=True)):
            assert tuple(type_of(one).shape) == other.shape, (name, i)
            if dtypes and name != "jax":  # which has no 64 bits in a program of its own
                assert type_of(one).dtype.name == str(other.dtype), (name, i)
            assert_close(to_numpy(one).astype(other.dtype), other, what=f"{name} {i}")


def values(found: Any) -> list[np.ndarray]:
    return [np.asarray(keras.ops.convert_to_numpy(one)) for one in found]


@pytest.mark.parametrize("case", CASES)
def test_as_keras(case):
    judged(case, CASES[case], values(CASES[case](keras.ops, keras.ops.convert_to_tensor)), dtypes=True)


@pytest.mark.parametrize("case", AS_NUMPY)
def test_as_numpy(case):
    judged(case, AS_NUMPY[case], [np.asarray(one) for one in AS_NUMPY[case](np, lambda x: x)], dtypes=False)


@pytest.mark.parametrize("backend", installed())
def test_windows_of_as_many_points_as_an_array_holds(backend: str) -> None:
    place = placement(backend)
    for count, points in ((np.float32(5), 5), (np.array(True), 1)):
        given = place.backend.array(np.asarray(count), place.device)
        assert_close(np.asarray(ops.hanning(given)), np.hanning(points).astype(np.float32))
    with pytest.raises(
        ArgumentError, match=r"bartlett: x, the number of points, is an int from 0 up, not 2\.5"
    ):
        ops.bartlett(place.backend.array(np.float32(2.5), place.device))


@pytest.mark.parametrize("backend", installed())
def test_booleans_have_a_magnitude_and_a_place(backend: str) -> None:
    place = placement(backend)
    given = place.backend.array(np.array([True, False]), place.device)
    found = ops.abs(given)
    assert type_of(found).dtype.name == "bool"
    np.testing.assert_array_equal(to_numpy(found), [True, False])
    edges = place.backend.array(np.array([0, 1]), place.device)
    np.testing.assert_array_equal(to_numpy(ops.digitize(given, edges)), [2, 1])


@pytest.mark.parametrize("backend", installed())
def test_means_of_halves_are_added_up_in_more_bits(backend: str) -> None:
    place = placement(backend)
    halves = place.backend.array(np.full((4,), 60000, np.float16), place.device)
    assert to_numpy(ops.mean(halves)) == np.float16(60000)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32"])
@pytest.mark.parametrize("backend", installed())
def test_unsigned_numbers_are_repeated(backend: str, dtype: str) -> None:
    place = placement(backend)
    given = place.backend.array(np.array([1, 2], dtype), place.device)
    for found, wanted in ((ops.repeat(given, 2), [1, 1, 2, 2]), (ops.tile(given, 2), [1, 2, 1, 2])):
        assert type_of(found).dtype.name == dtype
        np.testing.assert_array_equal(to_numpy(found), wanted)


@pytest.mark.parametrize("backend", installed())
def test_sizes_and_counts_may_be_arrays(backend: str) -> None:
    place = placement(backend)
    starts, shape, count = (place.backend.array(np.array(one, np.int32)) for one in ([1], [4], 5))
    np.testing.assert_array_equal(to_numpy(ops.slice(np.arange(10), starts, shape)), [1, 2, 3, 4])
    assert_close(np.asarray(to_numpy(ops.linspace(0.0, 8.0, count)), np.float32), np.float32([0, 2, 4, 6, 8]))
