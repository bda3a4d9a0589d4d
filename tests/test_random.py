"""`uf.random`: Keras's functions and arguments, on arrays, in layers and while traced."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import numpy as np
import pytest
import scipy.stats

import unifront as uf
from unifront import ops
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


SAME: dict[str, Any] = {
    "uniform": lambda seed: uf.random.uniform((500,), -1.0, 3.0, seed=seed),
    "randint": lambda seed: uf.random.randint((500,), -5, 900, seed=seed),
    "shuffle": lambda seed: uf.random.shuffle(np.arange(50.0), seed=seed),
    "dropout": lambda seed: uf.random.dropout(np.ones((40, 5), np.float32), 0.3, seed=seed),
    "binomial": lambda seed: uf.random.binomial((50,), np.arange(0.0, 500.0, 10.0), 0.3, seed=seed),
    "binomial of many": lambda seed: uf.random.binomial((200,), 1e6, 0.01, seed=seed),
}
"""The same bits everywhere."""
CLOSE: dict[str, Any] = {
    "normal": lambda seed: uf.random.normal((500,), 1.0, 2.0, seed=seed),
    "truncated_normal": lambda seed: uf.random.truncated_normal((500,), seed=seed),
    "gamma": lambda seed: uf.random.gamma((500,), np.linspace(0.01, 9, 500), seed=seed),
    "beta": lambda seed: uf.random.beta((500,), 0.7, np.linspace(0.1, 4, 500), seed=seed),
}
"""The same but for how a logarithm, a power or a cosine is rounded."""
LONG = ("binomial", "binomial of many")
"""Up to half a minute on XLA. A binomial draw in a graph is among the quick tests, below."""


@pytest.fixture
def portable():
    uf.set_rng("portable")
    yield
    uf.set_rng("native")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in (*SAME, *CLOSE)]
)
def test_a_seed_draws_the_same_everywhere_with_the_portable_generator(name, portable):
    draw = {**SAME, **CLOSE}[name]
    found = {}
    for backend in ALL:
        with use_backend(backend):
            seeds = uf.random.SeedGenerator(-8)
            drawn = [draw(7), draw(seeds), draw(seeds), draw(8)]
        assert name in ("shuffle", "dropout") or _is_of(backend, drawn[0])
        found[backend] = [numpy(one).astype(np.float64) for one in drawn]
    first = found[ALL[0]]
    assert all(np.any(a != b) for i, a in enumerate(first) for b in first[:i]), "the draws are not apart"
    for backend, arrays in found.items():
        for ours, theirs in zip(arrays, first, strict=True):
            bound = 0 if name in SAME else 5e-7 * np.maximum(np.abs(theirs), 1.0)
            assert np.all(np.abs(ours - theirs) <= bound), backend


def test_portable_numbers_are_distributed_as_they_are_called(portable):
    for function, arguments, expected in [
        *DISTRIBUTIONS,
        ("gamma", {"alpha": 5.5}, scipy.stats.gamma(5.5)),
        ("gamma", {"alpha": 1.0}, scipy.stats.gamma(1.0)),
        ("gamma", {"alpha": 0.03}, scipy.stats.gamma(0.03)),
    ]:
        with use_backend("numpy"):
            drawn = getattr(uf.random, function)((8000,), seed=11, dtype="float64", **arguments)
        assert scipy.stats.kstest(drawn, expected.cdf).pvalue > 1e-4, (function, arguments)
    for count, share in ((12, 0.3), (8, 0.5), (9, 0.97), (1000, 0.02), (10**7, 0.4)):
        with use_backend("numpy"):
            drawn = uf.random.binomial((8000,), float(count), share, seed=11)
        expected = scipy.stats.binom(count, share)
        low, high = int(expected.ppf(0.001)), int(expected.ppf(0.999))
        steps = np.unique(np.linspace(low, high, 9).astype(int))
        seen = np.array([(drawn <= step).mean() for step in steps])
        assert np.all(np.abs(seen - expected.cdf(steps)) < 0.02), (count, share)
        assert drawn.max() <= count
    with use_backend("numpy"):
        odd = uf.random.gamma((4,), np.array([-1.0, 0.0, np.nan, 2.0]), seed=1)
        wrong = uf.random.binomial((4,), np.array([-1.0, 3, 3, 0]), np.array([0.5, 1.5, np.nan, 0.5]), seed=1)
    assert np.array_equal(np.isnan(odd), [True, False, True, False])
    assert odd[1] == 0
    assert np.array_equal(np.isnan(wrong), [True, True, True, False])
    assert wrong[3] == 0


def test_portable_draws_in_a_graph(portable):
    """Of a free size, by a generator whose state the model keeps, on every backend."""

    class Gamma(uf.Layer):
        def __init__(self):
            super().__init__()
            self.seeds = uf.random.SeedGenerator(4)

        def call(self, x):
            drawn = uf.random.gamma(ops.shape(x), ops.exp(x), seed=self.seeds)
            return drawn + uf.random.binomial(ops.shape(x), 20.0, 0.5, seed=3)

    x = np.linspace(-2, 2, 12, dtype=np.float32).reshape(4, 3)
    found = {}
    for backend in ALL:
        model = uf.Sequential([uf.Input((3,)), Gamma()])
        found[backend] = [model.predict(x, backend=backend) for _ in range(2)]
        assert np.any(found[backend][0] != found[backend][1])
        for ours, theirs in zip(found[backend], found[ALL[0]], strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=3e-7, err_msg=backend)


def test_seed_generators_of_layers_are_among_their_variables():
    class Noise(uf.Layer):
        def __init__(self):
            super().__init__()
            self.seeds = uf.random.SeedGenerator(3)
            self.inner = uf.layers.Dense(2)

        def call(self, x):
            return self.inner(x) + uf.random.normal((2,), seed=self.seeds)

    model = uf.Sequential([uf.Input((2,)), Noise()])
    state = model.layers[0].seeds.state
    assert [v.path for v in model.weights] == ["noise/inner/kernel", "noise/inner/bias"]
    assert model.variables == [*model.weights, state]
    assert model.non_trainable_variables == [state]
    assert model.non_trainable_weights == []
    kernel, bias = (w.numpy() for w in model.trainable_variables)
    x = np.ones((1, 2), np.float32)
    first, (then,) = model.stateless_call([kernel, bias], [state.numpy()], x)
    second, _ = model.stateless_call([kernel, bias], [then], x)
    assert state.numpy().tolist() == [3, 0]
    assert then.tolist() == [3, 1]
    assert np.any(first != second)
