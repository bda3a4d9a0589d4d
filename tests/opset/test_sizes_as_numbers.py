"""A free size is a number too: where it meets floats or tensors it is a tensor, on every backend the same."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import unifront as uf
from unifront import layers, ops
from unifront.backends import installed
from unifront.errors import ArgumentError, ShapeError
from unifront.ir.dims import DimExpr, symbol

BATCH = symbol("batch")
X = (np.arange(8, dtype="float32") - 3).reshape(4, 2)


def rows(x: Any) -> Any:
    return ops.shape(x)[0]


CASES: dict[str, Any] = {
    "cast": lambda x: x * ops.cast(rows(x), "float32"),
    "root": lambda x: x / ops.sqrt(ops.cast(rows(x) * 2, "float32")),
    "mean": lambda x: ops.sum(x, axis=0, keepdims=True) / rows(x) + x,
    "half": lambda x: x * (rows(x) * 0.5),
    "a half of": lambda x: x * (0.5 * rows(x)),
    "float32 of numpy": lambda x: x * (np.float32(0.5) * rows(x)),
    "share": lambda x: x * (1.0 / rows(x)),
    "less": lambda x: x * (rows(x) - 1.5),
    "first": lambda x: rows(x) * x,
    "power": lambda x: x * rows(x) ** -0.5 + 2 ** rows(x),
    "quotient": lambda x: x + rows(x) / 8 + 9 // rows(x) + 7 % rows(x),
    "compared": lambda x: ops.where(rows(x) > 2.5, x, -x) + ops.cast(rows(x) < ops.sum(x), "float32"),
    "named op": lambda x: ops.multiply(x, rows(x)) + ops.log(rows(x)) + ops.minimum(rows(x), 3),
    "integers": lambda x: x * ops.cast(rows(x) * ops.ones((rows(x), 1), dtype="int64"), "float32"),
    "expanded": lambda x: x * ops.cast(ops.expand_dims(rows(x), -1), "float32"),
    "converted": lambda x: x * ops.convert_to_tensor(rows(x), "float32") + ops.convert_to_tensor([rows(x), 1])[0],
    "stacked": lambda x: x * ops.cast(ops.stack([rows(x), ops.shape(x)[1]])[0], "float32"),
    "product": lambda x: ops.sum(x) / ops.cast(ops.prod(ops.shape(x)), "float32") + x,
    "chosen": lambda x: ops.where(x > 0, rows(x), x),
    "clipped": lambda x: ops.clip(x, 0, rows(x)),
    "equal": lambda x: x * ops.cast(ops.equal(ops.arange(rows(x)), rows(x) - 1), "float32")[:, None],
    "taken": lambda x: ops.take(x, rows(x) - 1, axis=0)[None] * x,
    "loop": lambda x: ops.fori_loop(0, rows(x), lambda i, a: a + 1.0, x),
    "while": lambda x: ops.while_loop(lambda i, a: i < rows(x), lambda i, a: (i + 1, a + 1.0), (0, x))[1],
    "segments": lambda x: ops.segment_sum(x, ops.arange(rows(x)) // 2, num_segments=rows(x)),
    "constant of a size": lambda x: ops.tile(np.ones((1, 2), "float32"), (rows(x), 1)) * x,
    "constant widened": lambda x: ops.broadcast_to(np.float32(2), (rows(x), 2)) * x,
}  # fmt: skip
IN_LAYERS: dict[str, Any] = {
    "scalar of a shape": lambda x: ops.ones((ops.cast(rows(x), "int64"), 2)) * x,
    "tile by a tensor": lambda x: ops.tile(x[:1], ops.concatenate([ops.expand_dims(rows(x), -1), ops.convert_to_tensor([1])], 0)),
    "shape in a tensor": lambda x: ops.reshape(x, ops.flip(ops.stack([ops.shape(x)[1], rows(x) * 2 - rows(x)]))),
}  # fmt: skip


class Calls(layers.Layer):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def call(self, x: Any) -> Any:
        return self.function(x)


@pytest.mark.parametrize("name", [*CASES, *IN_LAYERS])
def test_a_size_is_a_number_in_a_layer(name: str) -> None:
    function = (CASES | IN_LAYERS)[name]
    with uf.backend("numpy"):
        expected = [np.asarray(function(x)) for x in (X, X[:1])]
    image = uf.Input((2,))
    model = uf.Model(image, Calls(function)(image))
    for backend in installed():
        for x, wanted in zip((X, X[:1]), expected, strict=True):
            np.testing.assert_allclose(model.predict(x, backend=backend, verbose=0), wanted, 1e-6)


@pytest.mark.parametrize("name", CASES)
def test_and_between_layers(name: str) -> None:
    image = uf.Input((2,))
    model = uf.Model(image, CASES[name](image))
    with uf.backend("numpy"):
        expected = np.asarray(CASES[name](X))
    copies = [model, uf.models.clone_model(model)]
    if name not in ("loop", "while"):  # which hold functions
        copies += [
            uf.Model.from_config(model.get_config()),
            pickle.loads(pickle.dumps(model)),
            copy.copy(model),
        ]
    for one in copies:
        np.testing.assert_allclose(one.predict(X, verbose=0), expected, 1e-6)


def test_a_size_follows_its_tensor_dtype() -> None:
    image = uf.Input((2,), dtype="float16")
    assert (image * image.shape[0]).dtype == "float16"
    assert ops.multiply(uf.Input((2,), dtype="uint8"), BATCH).dtype == "uint8"


def test_gradients_pass_by_sizes() -> None:
    image = uf.Input((2,))
    model = uf.Model(image, layers.Dense(1, use_bias=False)(image) / rows(image))
    model.compile(uf.optimizers.SGD(1.0), loss="mse")
    for backend in [name for name in installed() if name != "numpy"]:
        model.set_weights([np.ones((2, 1), "float32")])
        model.fit(X, np.zeros((4, 1)), batch_size=4, verbose=0, backend=backend)
        outputs = X.sum(1, keepdims=True) / 4
        wanted = 1 - (2 / 4 * outputs * X / 4).sum(0)
        np.testing.assert_allclose(model.get_weights()[0][:, 0], wanted, 1e-5)


@pytest.mark.parametrize(
    ("calculated", "found"),
    [
        (lambda: BATCH * np.int64(2), BATCH + BATCH),
        (lambda: np.int64(2) * BATCH, BATCH * 2),
        (lambda: np.multiply(BATCH, 2), BATCH * 2),
        (lambda: np.int32(3) + BATCH - np.int8(1), BATCH + 2),
        (lambda: np.prod((BATCH, 2, 3)), BATCH * 6),
        (lambda: sum([BATCH, 2]), BATCH + 2),
    ],
)  # fmt: skip
def test_with_whole_numbers_it_stays_a_size(calculated: Any, found: DimExpr) -> None:
    assert calculated() == found
    assert isinstance(calculated(), DimExpr)


@pytest.mark.parametrize(
    ("calculated", "text"),
    [
        (lambda: float(BATCH), "The size batch is not known .* uf.ops.cast"),
        (lambda: range(BATCH), "The size batch is not known"),
        (lambda: np.float32(BATCH), "The size batch is not known"),
    ],
)
def test_it_is_no_number_of_python(calculated: Any, text: str) -> None:
    with pytest.raises(ArgumentError, match=text):
        calculated()


def test_a_comparison_that_sizes_decide_names_the_operation() -> None:
    with pytest.raises(ShapeError, match=r"as a tensor, uf\.ops\.greater"):
        assert BATCH > 2


def test_values_that_are_no_sizes_make_no_shape() -> None:
    image = uf.Input((2,), dtype="int32")
    with pytest.raises(ArgumentError, match="no number that Python knows"):
        Calls(lambda x: ops.reshape(x, x[0]))(image)
    with pytest.raises(ArgumentError, match="tile: repeats"):
        ops.tile(X, np.array([0.5, 1]))
    np.testing.assert_array_equal(ops.tile(X, np.array([1, 2])), np.tile(X, (1, 2)))
    np.testing.assert_array_equal(ops.reshape(X, np.array([2, 4])), X.reshape(2, 4))


@pytest.mark.parametrize("backend", installed())
def test_a_size_says_how_often_to_repeat(backend: str) -> None:
    image = uf.Input((2, 3))
    token = np.arange(3, dtype=np.float32).reshape(1, 1, 3)
    forms = [
        lambda x: ops.concatenate([ops.repeat(token, ops.shape(x)[0], axis=0), x], 1),
        lambda x: ops.repeat(x, ops.shape(x)[0], axis=1),
        lambda x: ops.repeat(token, ops.shape(x)[0]),
    ]
    model = uf.Model(image, [Calls(form)(image) for form in forms])
    given = np.random.default_rng(0).normal(size=(4, 2, 3)).astype(np.float32)
    found = model.predict(given, verbose=0, backend=backend, batch_size=4)
    expected = [
        np.concatenate([np.repeat(token, 4, 0), given], 1),
        np.repeat(given, 4, 1),
        np.repeat(token, 4),
    ]
    for one, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, wanted)
