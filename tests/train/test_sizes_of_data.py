"""A model whose first data said its sizes takes other data too, where its layers do, as in Keras."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.models import TRAINABLE
from unifront import errors, layers
from unifront.testing import assert_close

LENGTHS = (5, 5, 9, 4, 9)


def batches(features: int = 2) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    for length in LENGTHS:
        yield (
            rng.normal(size=(2, length, features)).astype("float32"),
            rng.normal(size=(2, 1)).astype("float32"),
        )


def sequence(first: Any = None) -> uf.Sequential:
    uf.set_seed(0)
    model = uf.Sequential([layers.Dense(4), layers.GlobalAveragePooling1D(), layers.Dense(1)])
    if first is not None:
        model.build(first)
    model.compile("sgd", "mse", metrics=["mae"])
    return model


@pytest.mark.parametrize("name", TRAINABLE)
def test_lengths_that_change_are_those_of_a_model_without_a_length(name: str) -> None:
    ours, told = sequence(), sequence((None, None, 2))
    for model in (ours, told):
        model.fit(batches(), verbose=0, backend=name)
    assert ours.input_shape == (None, None, 2)
    assert ours.optimizer.iterations == len(LENGTHS)
    for key, values in told.history.history.items():
        assert_close(np.array(ours.history.history[key]), np.array(values))
    for own, other in zip(ours.weights, told.weights, strict=True):
        assert_close(own.numpy(), other.numpy())
    assert_close(
        np.array(ours.evaluate(batches(), verbose=0, backend=name)),
        np.array(told.evaluate(batches(), verbose=0, backend=name)),
    )
    x = np.ones((3, 7, 2), "float32")
    assert_close(ours.predict(x, verbose=0, backend=name), told.predict(x, verbose=0, backend=name))


def test_arrays_of_another_length_come_after_the_first() -> None:
    model = sequence()
    model.fit(np.ones((4, 5, 2), "float32"), np.ones((4, 1), "float32"), verbose=0)
    before = model.predict(np.ones((2, 5, 2), "float32"), verbose=0)
    assert model.input_shape == (None, 5, 2)
    assert model.predict(np.ones((2, 8, 2), "float32"), verbose=0).shape == (2, 1)
    assert model.input_shape == (None, None, 2)
    assert_close(model.predict(np.ones((2, 5, 2), "float32"), verbose=0), before)
    part = uf.Model(model.inputs, model.layers[0].output)  # the layers' ends are those of the new input
    assert part.predict(np.ones((1, 3, 2), "float32"), verbose=0).shape == (1, 3, 4)
    assert np.isfinite(model.train_on_batch(np.ones((2, 6, 2), "float32"), np.ones((2, 1), "float32"))[0])


def test_pictures_of_several_sizes_in_one_stream() -> None:
    model = uf.Sequential([layers.Conv2D(2, 3, padding="same"), layers.GlobalAveragePooling2D()])
    shapes = ((2, 8, 9, 3), (3, 6, 9, 3), (1, 6, 5, 3))
    found = model.predict(iter([(np.ones(shape, "float32"),) for shape in shapes]), verbose=0)
    assert found.shape == (6, 2)
    assert model.input_shape == (None, None, None, 3)


def test_what_a_layer_does_not_take_is_said_and_changes_nothing() -> None:
    model = sequence()
    x = np.ones((2, 5, 2), "float32")
    before = model.predict(x, verbose=0)
    for shape in ((2, 5, 3), (2, 6, 3), (2, 5), (2, 5, 2, 2)):
        with pytest.raises(
            errors.DataError, match=r"has the shape .*; the model takes float32\[batch, 5, 2\]"
        ):
            model.predict(np.ones(shape, "float32"), verbose=0)
    assert model.input_shape == (None, 5, 2)
    assert_close(model.predict(x, verbose=0), before)


@pytest.mark.parametrize("told", ["input", "build"])
def test_sizes_that_were_told_stay(told: str) -> None:
    model = uf.Sequential([*([uf.Input((5,))] if told == "input" else []), layers.Activation("relu")])
    if told == "build":
        model.build((None, 5))
    with pytest.raises(errors.DataError, match=r"the model takes float32\[batch, 5\]"):
        model.predict(np.ones((2, 6), "float32"), verbose=0)


def test_sizes_that_were_equal_all_along_are_one() -> None:
    class Sum(uf.Model):
        def call(self, inputs: Any) -> Any:
            return inputs[0] + inputs[1]

    model = Sum()
    for length in (3, 4, 6):
        x = np.ones((2, length), "float32")
        assert_close(model.predict([x, x], verbose=0), x + x)
    with pytest.raises(errors.ShapeError, match="sizes that should be equal are 3 and 5"):
        model.predict([np.ones((2, 3), "float32"), np.ones((2, 5), "float32")], verbose=0)


def test_steps_in_python_too() -> None:
    model = sequence()
    model.compile("adam", "mse", run_eagerly=True)
    model.fit(batches(), verbose=0)
    assert model.optimizer.iterations == len(LENGTHS)
    assert model.predict(np.ones((2, 7, 2), "float32"), verbose=0).shape == (2, 1)


def test_a_reshape_takes_what_is_left_of_each_length() -> None:
    model = uf.Sequential([layers.Reshape((-1, 8)), layers.Dense(1)])
    model.compile("sgd", "mse")
    stream = [(np.ones((1, n, 2), "float32"), np.ones((1, n // 4, 1), "float32")) for n in (12, 20, 12)]
    model.fit(iter(stream), verbose=0)
    assert model.output_shape == (None, None, 1)
    for n in (12, 20, 24):
        assert model.predict(np.ones((2, n, 2), "float32"), verbose=0).shape == (2, n // 4, 1)
    with pytest.raises(errors.ShapeError, match=r"reshape.*: its operands do not fit: sizes .* 26 and 24"):
        model.predict(np.ones((1, 13, 2), "float32"), verbose=0, backend="torch")
