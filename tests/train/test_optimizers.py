"""Optimizers over a hundred steps on every backend, and schedules, judged by Keras."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.models import TRAINABLE
from tests.train.keras_judge import keras, value
from unifront import errors, layers
from unifront.testing import assert_close

STEPS = 100
RATE = 2**-6
"""Keras keeps the rate in float32 (and weight decay, on PyTorch), so these are powers of two."""
RNG = np.random.default_rng(4)
X, Y = RNG.normal(size=(12, 4)), 30 * RNG.normal(size=(12, 3))  # far away: at rest, rounding would decide
KERNEL = RNG.normal(size=(4, 3))

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "nesterov-decay-global": (
        "SGD",
        {"momentum": 0.9, "nesterov": True, "weight_decay": 2**-6, "global_clipnorm": 0.5},
    ),
    "adam": ("Adam", {}),
    "sgd-average-overwrites": ("SGD", {"use_ema": True, "ema_momentum": 0.75, "ema_overwrite_frequency": 7}),
    "adam-accumulates-clipnorm": ("Adam", {"gradient_accumulation_steps": 3, "clipnorm": 0.25}),
}
"""Some through `fit`; `test_keras_optimizers.py` has every optimizer with every option."""


@cache
def keras_trajectory(case: str) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias of a linear model after a hundred steps of Keras's optimizer on gradients of NumPy."""
    name, arguments = CASES[case]
    optimizer = getattr(keras.optimizers, name)(RATE, **arguments)
    weights = [keras.Variable(KERNEL, dtype="float64"), keras.Variable(np.zeros(3), dtype="float64")]
    for _ in range(STEPS):
        kernel, bias = (value(weight.value) for weight in weights)
        slope = 2 * (X @ kernel + bias - Y) / Y.size
        gradients = [X.T @ slope, slope.sum(axis=0)]
        optimizer.apply([keras.ops.convert_to_tensor(g, "float64") for g in gradients], weights)
    optimizer.finalize_variable_values(weights)  # with use_ema the averages
    return value(weights[0].value), value(weights[1].value)


def linear(optimizer: uf.optimizers.Optimizer) -> uf.Model:
    x = uf.Input((4,), dtype="float64")
    model = uf.Model(x, layers.Dense(3)(x))
    model.set_weights([KERNEL, np.zeros(3)])
    model.compile(optimizer, "mse")
    return model


@pytest.mark.parametrize("backend", TRAINABLE)
@pytest.mark.parametrize("case", CASES)
def test_a_hundred_steps_as_keras(case: str, backend: str) -> None:
    name, arguments = CASES[case]
    model = linear(getattr(uf.optimizers, name)(RATE, **arguments))
    model.fit(X, Y, batch_size=12, epochs=STEPS, shuffle=False, verbose=0, backend=backend)
    assert model.optimizer.iterations == STEPS // arguments.get("gradient_accumulation_steps", 1)
    for found, expected in zip(model.get_weights(), keras_trajectory(case), strict=True):
        assert_close(found, expected, bounds={"float64": 1e-8}, what=case)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop", "Adam", "SGD"])
def test_defaults_are_those_of_keras(name: str) -> None:
    ours, judge = uf.optimizers.get(name), keras.optimizers.get(name)
    shared = {key: found for key, found in ours.config().items() if key in judge.get_config()}
    assert len(shared) >= 3
    for key, found in shared.items():
        expected = judge.get_config()[key]
        assert found == (pytest.approx(expected) if isinstance(expected, float) else expected), key


SCHEDULES: list[tuple[str, dict[str, Any]]] = [
    ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.5}),
    (
        "ExponentialDecay",
        {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.5, "staircase": True},
    ),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 20}),
    ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 20, "alpha": 0.2}),
    (
        "CosineDecay",
        {"initial_learning_rate": 0.0, "decay_steps": 20, "warmup_target": 0.3, "warmup_steps": 5},
    ),
    ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 20}),
    (
        "PolynomialDecay",
        {"initial_learning_rate": 0.1, "decay_steps": 20, "end_learning_rate": 0.01, "power": 2.0},
    ),
    (
        "PolynomialDecay",
        {"initial_learning_rate": 0.1, "decay_steps": 6, "end_learning_rate": 0.01, "cycle": True},
    ),
    ("PiecewiseConstantDecay", {"boundaries": [3, 10], "values": [0.3, 0.2, 0.1]}),
    ("InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.5}),
    (
        "InverseTimeDecay",
        {"initial_learning_rate": 0.1, "decay_steps": 7, "decay_rate": 0.5, "staircase": True},
    ),
]


@pytest.mark.parametrize(("name", "arguments"), SCHEDULES)
def test_schedules_are_those_of_keras(name: str, arguments: dict[str, Any]) -> None:
    ours = getattr(uf.schedules, name)(**arguments)
    judge = getattr(keras.optimizers.schedules, name)(**arguments)
    for step in range(30):
        assert ours(step) == pytest.approx(float(value(judge(step))), rel=1e-5, abs=1e-8), step


@pytest.mark.parametrize("backend", TRAINABLE)
def test_a_schedule_governs_every_step(backend: str) -> None:
    """Long enough that steps go to the device in blocks; the judge is NumPy."""
    schedule = uf.schedules.ExponentialDecay(0.05, 10, 0.5)
    model = linear(uf.optimizers.SGD(schedule))
    x, y = np.tile(X, (10, 1)), np.tile(Y, (10, 1))
    model.fit(x, y, batch_size=12, epochs=4, shuffle=False, verbose=0, backend=backend)
    kernel, bias = KERNEL, np.zeros(3)
    for step in range(40):
        slope = 2 * (X @ kernel + bias - Y) / Y.size
        kernel, bias = kernel - schedule(step) * X.T @ slope, bias - schedule(step) * slope.sum(axis=0)
    assert_close(model.get_weights()[0], kernel, bounds={"float64": 1e-9})
    assert_close(model.get_weights()[1], bias, bounds={"float64": 1e-9})


def test_slots_are_called_after_the_weight() -> None:
    model = linear(uf.optimizers.Adam())
    model.fit(X, Y, verbose=0, backend=TRAINABLE[0])
    assert [slot.path for slot in model.optimizer.variables] == [
        "adam/iteration",
        "adam/learning_rate",
        "dense/kernel/momentum",
        "dense/kernel/velocity",
        "dense/bias/momentum",
        "dense/bias/velocity",
    ]


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (
            lambda: uf.optimizers.get("adamm"),
            errors.UnknownName,
            "Unknown optimizer 'adamm'.*Did you mean 'adam'",
        ),
        (lambda: uf.optimizers.get(0.1), errors.ArgumentError, r"An optimizer is a name.*not 0\.1"),
        (lambda: uf.optimizers.get(uf.optimizers.Adam), errors.ArgumentError, "not <class"),
        (
            lambda: uf.optimizers.SGD(-1.0),
            errors.ArgumentError,
            r"SGD: learning_rate is a number in \[0, inf\), not -1\.0",
        ),
        (
            lambda: uf.optimizers.SGD("fast"),
            errors.ArgumentError,
            r"SGD: learning_rate is a number in \[0, inf\), not 'fast'",
        ),
        (
            lambda: uf.optimizers.SGD(float("nan")),
            errors.ArgumentError,
            r"learning_rate is a number in \[0, inf\), not nan",
        ),
        (
            lambda: uf.optimizers.SGD(momentum=1.5),
            errors.ArgumentError,
            r"momentum is a number in \[0, 1\], not 1\.5",
        ),
        (
            lambda: uf.optimizers.Adam(beta_1=1.0),
            errors.ArgumentError,
            r"Adam: beta_1 is a number in \[0, 1\), not 1\.0",
        ),
        (
            lambda: uf.optimizers.Adam(clipnorm=0.0),
            errors.ArgumentError,
            r"Adam: clipnorm is a number in \(0, inf\), not 0\.0",
        ),
        (
            lambda: uf.optimizers.Adam(weight_decay=-1.0),
            errors.ArgumentError,
            r"Adam: weight_decay is a number in \[0, inf\), not -1\.0",
        ),
        (
            lambda: uf.optimizers.Adam(clipnorm=1.0, clipvalue=1.0),
            errors.ArgumentError,
            "Only one of `clipnorm`.* not clipnorm, clipvalue",
        ),
        (
            lambda: uf.optimizers.SGD(lerning_rate=0.1),
            errors.UnknownName,
            "Unknown argument of SGD 'lerning_rate'. Did you mean 'learning_rate'",
        ),
        (
            lambda: uf.optimizers.RMSprop(beta_1=0.9),
            errors.UnknownName,
            "Unknown argument of RMSprop 'beta_1'.*Known: .*clipnorm, .*rho",
        ),
        (lambda: uf.optimizers.SGD(momentum="0.9"), errors.ArgumentError, "SGD: momentum is .* not '0.9'"),
        (lambda: uf.optimizers.SGD(True), errors.ArgumentError, "SGD: learning_rate is .* not True"),
        (
            lambda: uf.optimizers.SGD(uf.schedules.CosineDecay),
            errors.ArgumentError,
            "SGD: learning_rate is a number .* not <class '.*CosineDecay'>",
        ),
        (
            lambda: setattr(uf.optimizers.SGD(), "learning_rate", -1),
            errors.ArgumentError,
            "SGD: learning_rate is .* not -1",
        ),
        (lambda: uf.optimizers.AdamW(epsilon=-1), errors.ArgumentError, "AdamW: epsilon is .* not -1"),
        (
            lambda: uf.optimizers.RMSprop(rho=1.5),
            errors.ArgumentError,
            r"RMSprop: rho is a number in \[0, 1\]",
        ),
        (
            lambda: uf.schedules.PolynomialDecay("0.1", 10),
            errors.ArgumentError,
            "PolynomialDecay: initial_learning_rate is .* not '0.1'",
        ),
        (
            lambda: uf.schedules.PiecewiseConstantDecay([3, 1], [1.0, 2.0, 3.0]),
            errors.ArgumentError,
            r"boundaries rise, unlike \(3\.0, 1\.0\)",
        ),
        (
            lambda: uf.schedules.PiecewiseConstantDecay(3, [1.0, 2.0]),
            errors.ArgumentError,
            "PiecewiseConstantDecay: boundaries is a list, not 3",
        ),
        (
            lambda: uf.schedules.PiecewiseConstantDecay([3], [1.0, "low"]),
            errors.ArgumentError,
            r"PiecewiseConstantDecay: values is a list, each entry a number in \[0, inf\), not .*'low'",
        ),
        (
            lambda: uf.schedules.PiecewiseConstantDecay([1], [1.0]),
            errors.ArgumentError,
            "one value more than boundaries",
        ),
        (
            lambda: uf.schedules.CosineDecay(0.1, 0),
            errors.ArgumentError,
            r"CosineDecay: decay_steps is a number in \(0, inf\), not 0",
        ),
    ],
)
def test_what_is_refused(make: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make()
