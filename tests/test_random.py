"""`uf.random`: Keras's functions and arguments, on arrays, in layers and while traced."""

from __future__ import annotations

import inspect

import keras
import numpy as np
import pytest
import scipy.stats

import unifront as uf
from unifront.backends import installed, placement, use_backend
from unifront.errors import ArgumentError, ShapeError

ALL = installed()


def numpy(array):
    return next(placement(name).backend for name in ALL if _is_of(name, array)).numpy(array)


def _is_of(name, array):
    from unifront.backends import backend_of

    return backend_of(array).name == name


@pytest.mark.parametrize("name", [name for name in vars(keras.random) if not name.startswith("_")])
def test_every_name_has_the_parameters_of_keras(name):
    ours, theirs = getattr(uf.random, name), getattr(keras.random, name)
    expected = {one.name: one.default for one in inspect.signature(theirs).parameters.values()}
    found = {one.name: one.default for one in inspect.signature(ours).parameters.values()}
    for parameter in set(expected) - {"kwargs"}:
        assert found[parameter] == expected[parameter]
    assert [one for one in found if one in expected] == [one for one in expected if one != "kwargs"]


DISTRIBUTIONS = [
    ("normal", {"mean": 1.0, "stddev": 2.0}, scipy.stats.norm(1, 2)),
    ("uniform", {"minval": -1.0, "maxval": 3.0}, scipy.stats.uniform(-1, 4)),
    ("truncated_normal", {"mean": 1.0, "stddev": 2.0}, scipy.stats.truncnorm(-2, 2, 1, 2)),
    ("gamma", {"alpha": 0.7}, scipy.stats.gamma(0.7)),
    ("beta", {"alpha": 2.0, "beta": 0.6}, scipy.stats.beta(2, 0.6)),
]


@pytest.mark.parametrize("name", ALL)
def test_numbers_are_distributed_as_they_are_called(name):
    for function, arguments, expected in DISTRIBUTIONS:
        with use_backend(name):
            drawn = numpy(getattr(uf.random, function)((5000,), seed=3, **arguments))
        assert scipy.stats.kstest(drawn.astype(np.float64), expected.cdf).pvalue > 1e-4, function
    with use_backend(name):
        trials = numpy(uf.random.binomial((5000,), 12.0, 0.3, seed=3))
        dice = numpy(uf.random.randint((6000,), 1, 7, seed=3))
        classes = numpy(uf.random.categorical(np.log([[0.2, 0.5, 0.3]]).astype(np.float32), 5000, seed=3))
    assert abs(trials.mean() - 3.6) < 0.1
    assert trials.max() <= 12
    assert np.all(np.abs(np.bincount(dice, minlength=7) - [0, *[1000] * 6]) < 150)
    assert dice.dtype == classes.dtype == np.int32
    assert np.all(np.abs(np.bincount(classes[0]) / 5000 - [0.2, 0.5, 0.3]) < 0.04)


@pytest.mark.parametrize("name", ALL)
def test_an_int_repeats_and_a_generator_goes_on(name):
    with use_backend(name):
        first, again = (numpy(uf.random.normal((4,), seed=5)) for _ in range(2))
        seeds, twin = uf.random.SeedGenerator(5), uf.random.SeedGenerator(5)
        a, b, c = (numpy(uf.random.normal((4,), seed=one)) for one in (seeds, seeds, twin))
        free = [numpy(uf.random.normal((4,))) for _ in range(2)]
    assert np.array_equal(first, again)
    assert np.array_equal(a, c)
    assert not np.any(a == b)
    assert not np.any(free[0] == free[1])
    assert seeds.state.numpy().tolist() == [5, 2]


class Noisy(uf.Layer):
    def __init__(self, seed):
        super().__init__()
        self.seed = seed

    def call(self, x):
        return x + uf.random.uniform((2, 3), seed=self.seed)


@pytest.mark.parametrize("name", ALL)
def test_draws_in_a_model_follow_their_seeds(name):
    x = np.zeros((2, 3), np.float32)

    def twice(seed):
        given = uf.Input(batch_shape=(2, 3))
        model = uf.Model(given, Noisy(seed)(given))
        return [model.predict(x, backend=name, batch_size=2) for _ in range(2)]

    first, again = twice(11)
    assert np.array_equal(first, again)
    with use_backend(name):
        assert np.array_equal(first, numpy(uf.random.uniform((2, 3), seed=11)))
    first, second = twice(None)
    assert not np.any(first == second)


def test_shuffle_keeps_the_parts_and_dropout_its_ends():
    x = np.arange(60.0).reshape(20, 3)
    found = uf.random.shuffle(x, seed=1)
    assert not np.array_equal(found, x)
    assert np.array_equal(np.sort(found, 0), x)
    assert np.array_equal(uf.random.dropout(x, 0.0), x)
    assert np.array_equal(uf.random.dropout(x, 1), np.zeros_like(x))


def test_wrong_arguments_are_named():
    with pytest.raises(ArgumentError, match="`keras.random.uniform` requires a floating point `dtype`"):
        uf.random.uniform((2,), dtype="int32")
    with pytest.raises(ArgumentError, match="`keras.random.randint` requires an integer `dtype`"):
        uf.random.randint((2,), 0, 3, dtype="float32")
    with pytest.raises(ArgumentError, match=r"1 to 2\*\*52 integers; given were 3 and 3"):
        uf.random.randint((2,), 3, 3)
    with pytest.raises(ArgumentError, match="must be either an integer or an instance of `SeedGenerator`"):
        uf.random.normal((2,), seed="one")
    with pytest.raises(ShapeError, match=r"2-D tensor with shape \[batch_size, num_classes\]"):
        uf.random.categorical(np.zeros(3), 2)
    with pytest.raises(ShapeError, match=r"alpha has the shape \(3,\), which does not broadcast to \(2,\)"):
        uf.random.gamma((2,), np.ones(3))
