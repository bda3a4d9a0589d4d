"""`vectorize`: free sizes, several results, arguments left as they are, refusals. Its values: test_as_keras.py."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unifront as uf
from unifront import ops
from unifront.errors import ArgumentError, ShapeError
from unifront.testing import assert_close

X = np.arange(6.0).reshape(2, 3)


def test_free_sizes_broadcast_with_arrays() -> None:
    x = uf.Input((None, 3))
    shifted = ops.vectorize(lambda a, b: a - b)(x, np.array([1, 2, 3], "float32"))
    model = uf.Model(x, shifted)
    given = np.ones((2, 4, 3), "float32")
    assert_close(model.predict(given, verbose=0), given - np.array([1, 2, 3], "float32"))


def test_several_results_keep_the_outer_shape() -> None:
    total, largest = ops.vectorize(lambda v: (ops.sum(v), ops.max(v)), signature="(n)->(),()")(X)
    assert_close(total, X.sum(-1))
    assert_close(largest, X.max(-1))


def test_what_is_excluded_and_what_has_a_name_goes_through_whole() -> None:
    def pick(x: Any, table: Any, factor: Any = 1) -> Any:
        return ops.take(table, ops.cast(x, "int32")) * factor

    found = ops.vectorize(pick, excluded={1})(X, np.arange(6) * 10, factor=2)
    assert_close(found, np.arange(6).reshape(2, 3) * 20)


def test_single_numbers_are_one_call() -> None:
    assert ops.vectorize(lambda a: a + 1)(2.0) == 3.0


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: ops.vectorize(3), ArgumentError, "pyfunc is a function, not 3"),
        (lambda: ops.vectorize(abs, signature="n->n"), ArgumentError, "a signature is as '.*', .*, not 'n->n'"),
        (lambda: ops.vectorize(ops.dot, signature="(n),(n)->()")(X), ArgumentError, "has 2 arguments, and 1 were"),
        (lambda: ops.vectorize(ops.dot, signature="(n),(n)->()")(X, X[:, :2]), ShapeError, r"\(n\); its shape is \(2, 2\)"),
        (lambda: ops.vectorize(ops.add)(X, X[:, :2]), ShapeError, "broadcast"),
        (lambda: ops.cdist(X, X[:, :2]), ShapeError, r"\[..., m, d\] .* \(2, 3\) and \(2, 2\)"),
        (lambda: ops.cdist(X[0], X), ShapeError, r"shapes are \(3,\) and \(2, 3\)"),
    ],
)  # fmt: skip
def test_refusals(call: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        call()


def test_the_distance_to_oneself_has_the_gradient_zero() -> None:
    import torch

    x = torch.tensor(X, requires_grad=True)
    ops.sum(ops.cdist(x, torch.tensor(X))).backward()
    assert x.grad is not None
    assert np.isfinite(x.grad.numpy()).all()
