"""`Input`: sizes, names and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unifront as uf
from unifront import errors, layers, ops

RNG = np.random.default_rng(6)


def test_free_sizes_of_two_inputs_without_names_are_two_sizes() -> None:
    a, b = uf.Input((None, 3)), uf.Input((None, 3))
    model = uf.Model([a, b], layers.Concatenate(axis=1)([a, b]))
    short, long = RNG.normal(size=(2, 4, 3)), RNG.normal(size=(2, 6, 3))
    assert model.predict([short, long], backend="numpy").shape == (2, 10, 3)
    added = uf.Model([a, b], layers.Add(name="sum")([a, b]))
    assert added.predict([short, short], backend="numpy").shape == (2, 4, 3)
    with pytest.raises(errors.ShapeError, match=r"sum: .*do not fit: sizes that should be equal"):
        added.predict([short, long], backend="numpy")


def test_free_sizes_are_called_as_the_input_is_in_the_model() -> None:
    words, a, b = uf.Input((None,), name="my words"), uf.Input((None,)), uf.Input((4, None))
    model = uf.Model([words, a, b], [words, a, b])
    assert {name: str(type_) for name, type_ in model.input_types.items()} == {
        "my words": "float32[batch, my_words_1]",
        "input": "float32[batch, input_1]",
        "input_1": "float32[batch, 4, input_1_2]",
    }
    assert list(uf.Model({"left": a, "right": b}, [a, b]).input_types) == ["left", "right"]


def test_a_named_size_is_the_same_in_all_inputs() -> None:
    a, b = uf.Input(("time", 3)), uf.Input(("time", 1))
    assert str(layers.Add()([a, b]).type) == "float32[batch, time, 3]"


@pytest.mark.parametrize("wanted", [(2, 4, 3), (5, 1, 3)])
def test_arguments_made_of_a_shape_follow_the_data(wanted: tuple[int, ...]) -> None:
    x = uf.Input((None, 3))
    batch, time, _ = x.shape
    model = uf.Model(x, ops.reshape(x, (batch, time * 3)))
    data = RNG.normal(size=wanted).astype(np.float32)
    flat = data.reshape(wanted[0], -1)
    assert np.array_equal(model.predict(data, backend="numpy"), flat)
    assert np.array_equal(model(data), flat)
    assert model(uf.Input(wanted[1:])).shape[1] == flat.shape[1]


def test_arguments_are_those_of_keras() -> None:
    assert str(uf.Input((3,), 32, "int32").type) == "int32[32, 3]"
    assert str(uf.Input(batch_shape=(2, None, 3), name="x").type) == "float32[2, x_1, 3]"
    assert str(uf.Input(batch_shape=(None, 3)).type) == "float32[batch, 3]"
    assert str(uf.Input(()).type) == "float32[batch]"
    assert layers.Input is uf.Input


REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "an int": (lambda: uf.Input(3), errors.ShapeError, r"a shape is a tuple of sizes, .* not 3"),
    "a string": (lambda: uf.Input("ab"), errors.ShapeError, "a shape is a tuple of sizes, .* not 'ab'"),
    "no shape": (lambda: uf.Input(), errors.ArgumentError, "takes a shape .* or else a batch_shape"),
    "two shapes": (
        lambda: uf.Input((3,), batch_shape=(2, 3), name="x"),
        errors.ArgumentError,
        "Input x takes a shape .* or else a batch_shape",
    ),
    "no batch": (lambda: uf.Input(batch_shape=()), errors.ShapeError, r"begins with the batch's size.* \(\)"),
    "a float": (lambda: uf.Input((2.5,)), errors.ShapeError, r"2\.5 in \(None, 2\.5\) .* is not an int >= 0"),
    "a truth": (lambda: uf.Input((True,)), errors.ShapeError, "True in .* is not an int >= 0"),
    "a negative batch": (lambda: uf.Input((3,), -2), errors.ShapeError, r"-2 in \(-2, 3\) \(batch first\)"),
    "a size's name": (lambda: uf.Input(("a b",)), errors.ShapeError, "Python identifier, not 'a b'"),
    "a name": (lambda: uf.Input((3,), name=5), errors.ArgumentError, "name of an Input is a string, not 5"),
    "a dtype": (lambda: uf.Input((3,), dtype="floot"), errors.UnknownName, "dtype 'floot'. Did you mean"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what: str) -> None:
    make, error, message = REFUSED[what]
    with pytest.raises(error, match=message):
        make()


def test_an_input_may_be_called_as_random_keys_are(tmp_path: Path) -> None:
    key = uf.Input((3,), name="key")
    model = uf.Model(key, uf.layers.Dense(1)(uf.layers.Dropout(0.5)(key)))
    model.compile("sgd", "mse")
    x = np.ones((4, 3), "float32")
    model.fit(x, x[:, :1], verbose=0, backend="torch")
    model.save(tmp_path / "m.uf")
    again = uf.load(tmp_path / "m.uf")
    again.fit(x, x[:, :1], verbose=0, backend="jax")
    np.testing.assert_allclose(
        again.predict({"key": x}, backend="numpy"), again.predict(x, backend="jax"), rtol=1e-5
    )
