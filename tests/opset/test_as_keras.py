"""Operations on shapes and places give what ``keras.ops`` gives on the same arrays: values, shapes and dtypes."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from unifront import ops
from unifront.backends import get_backend, installed
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
}  # fmt: skip


def arrays(name: str) -> Any:
    backend = get_backend(name)
    return backend.array


def values(found: Any) -> list[np.ndarray]:
    return [np.asarray(keras.ops.convert_to_numpy(one)) for one in found]


@pytest.mark.parametrize("case", CASES)
def test_as_keras(case):
    wanted = values(CASES[case](keras.ops, keras.ops.convert_to_tensor))
    for name in installed():
        found = CASES[case](ops, arrays(name))
        assert len(found) == len(wanted)
        for i, (one, other) in enumerate(zip(found, wanted, strict=True)):
            assert type_of(one).dtype.name == str(other.dtype), (name, i)
            assert tuple(type_of(one).shape) == other.shape, (name, i)
            assert_close(to_numpy(one).astype(other.dtype), other, what=f"{name} {i}")
