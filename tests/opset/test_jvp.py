"""`ops.jvp` against Keras's and the derivatives themselves, at once and in graphs."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import unifront as uf
from unifront import ops
from unifront.backends import get_backend
from unifront.errors import ArgumentError, ShapeError, UnsupportedOp
from unifront.testing import assert_close

RNG = np.random.default_rng(2)
A, B, DA, DB = (RNG.normal(size=shape) for shape in ((3, 4), (4, 2), (3, 4), (4, 2)))
TRAINABLE = ("torch", "jax", "tensorflow")


def several(o: Any) -> Any:
    def function(a: Any, b: Any) -> Any:
        product = o.tanh(o.matmul(a, b))
        return {"product": product, "sum": o.multiply(o.sum(a), 2.0)}, o.mean(product)

    return function


@pytest.mark.parametrize("backend", TRAINABLE)
def test_values_and_derivatives_are_those_of_keras(backend: str) -> None:
    native = get_backend(backend)
    theirs = keras.ops.jvp(
        several(keras.ops), tuple(map(keras.ops.convert_to_tensor, (A, B))),
        tuple(map(keras.ops.convert_to_tensor, (DA, DB))), has_aux=True,
    )  # fmt: skip
    ours = ops.jvp(
        several(ops), [native.array(A), native.array(B)], [native.array(DA), native.array(DB)], has_aux=True
    )
    for one, other in zip(uf.tree.leaves(ours), keras.tree.flatten(theirs), strict=True):
        assert_close(native.numpy(one), np.asarray(other))
    value, derivative = ops.jvp(
        lambda x: ops.add(ops.multiply(x, 0.0), 1.0), (native.array(A),), (native.array(DA),)
    )
    assert np.array_equal(native.numpy(value), np.ones_like(A))
    assert np.array_equal(native.numpy(derivative), np.zeros_like(A))
    constant = native.array(B)
    assert not np.any(native.numpy(ops.jvp(lambda x: constant, (native.array(A),), (native.array(DA),))[1]))


def test_in_a_graph_of_free_size() -> None:
    x, direction = uf.Input((4,)), uf.Input((4,))
    model = uf.Model(
        [x, direction], list(ops.jvp(lambda a: ops.sin(a) + ops.cumsum(a, 1), (x,), (direction,)))
    )
    assert model.output_shape == [(None, 4), (None, 4)]
    given, along = A.astype(np.float32), DA.astype(np.float32)
    for backend in TRAINABLE:
        found = model.predict([given, along], backend=backend)
        assert_close(found[0], np.sin(given) + given.cumsum(1))
        assert_close(found[1], np.cos(given) * along + along.cumsum(1))


def test_refused() -> None:
    torch = get_backend("torch")
    a, b = torch.array(A), torch.array(B)
    with pytest.raises(ArgumentError, match="there are 1 primals and 2 tangents"):
        ops.jvp(ops.sin, (a,), (a, a))
    with pytest.raises(ShapeError, match=r"has the shape \(3, 4\), its tangent \(4, 2\)"):
        ops.jvp(ops.sin, (a,), (b,))
    with pytest.raises(ArgumentError, match="with has_aux the function gives a pair"):
        ops.jvp(ops.sin, (a,), (a,), has_aux=True)
    with pytest.raises(UnsupportedOp, match="'numpy' has no gradients"), uf.backend("numpy"):
        ops.jvp(ops.sin, (A,), (DA,))
