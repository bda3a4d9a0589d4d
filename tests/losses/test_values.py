"""Every loss in all its options, with weights and masks: values and gradients, judged by Keras in float64."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import unifront as uf
from tests.losses.cases import CASES, Case
from tests.models import TRAINABLE
from unifront import ops
from unifront.testing import assert_close

CALLS = [  # a reduction, whether weighted, whether masked
    ("sum_over_batch_size", False, False),
    ("mean", True, True),
    ("sum", True, False),
    ("none", False, True),
    ("mean_with_sample_weight", True, False),
]
VALUES = {"float64": 1e-9, "float32": 1e-6}
GRADIENTS = {"float64": 1e-9, "float32": 1e-5}  # a gradient adds up more roundings than a value


def unreduced(case: Case) -> tuple[int, ...]:
    """The shape of the loss of each example."""
    with_none = getattr(keras.losses, case.name)(reduction="none", dtype="float64", **case.arguments)
    return tuple(with_none(case.true, case.predicted).shape)


@cache
def weights_of(number: int) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray]:
    """Sample weights, a mask, and numbers that make one of what is not reduced, for a case."""
    rng = np.random.default_rng(number)
    shape = unreduced(CASES[number])
    mask = rng.random(shape) > 0.3
    return (rng.random(shape) + 0.1, mask, rng.normal(size=shape)) if shape else (None, None, np.ones(()))


def calls_on(backend: str) -> list[tuple[str, bool, bool]]:
    """All on one backend; elsewhere one with everything, for it is compiling that takes time."""
    return CALLS if backend == "torch" else CALLS[1:2]


def each(number: int, backend: str, make: Callable[..., Any], call: Callable[..., Any]) -> list[Any]:
    """What a loss gives in each call."""
    weight, mask, _ = weights_of(number)
    return [
        call(
            make(reduction=reduction, **CASES[number].arguments),
            weight if weighted else None,
            mask if masked else None,
        )
        for reduction, weighted, masked in calls_on(backend)
    ]


@cache
def judged(number: int, backend: str) -> tuple[list[np.ndarray], np.ndarray]:
    """The values, and the gradient of their sum, by Keras."""
    case, mix = CASES[number], weights_of(number)[2]
    predicted = tf.Variable(case.predicted)

    def call(loss: Any, weight: Any, mask: Any) -> Any:
        y_pred = tf.identity(predicted)
        if mask is not None:
            y_pred._keras_mask = tf.constant(mask)
        return loss(case.true, y_pred, sample_weight=weight)

    with tf.GradientTape() as tape:
        make = getattr(keras.losses, case.name)
        values = each(number, backend, lambda **k: make(dtype="float64", **k), call)
        total = tf.add_n([tf.reduce_sum(v * mix) if v.shape.rank else v for v in values])
    return [v.numpy() for v in values], tape.gradient(total, predicted).numpy()


@cache
def found(backend: str, dtype: str) -> list[tuple[list[np.ndarray], np.ndarray]]:
    """The same by unifront for all cases, in one program."""

    def one(number: int, predicted: Any) -> tuple[Any, list[Any]]:
        case, mix = CASES[number], weights_of(number)[2].astype(dtype)

        def call(loss: Any, weight: Any, mask: Any) -> Any:
            true = case.true.astype(dtype) if case.true.dtype.kind == "f" else case.true
            return loss(true, predicted, None if weight is None else weight.astype(dtype), mask=mask)

        values = each(number, backend, getattr(uf.losses, case.name), call)
        total: Any = 0.0
        for value in values:
            total = total + (ops.sum(value * mix) if len(value.shape) else value)
        return total, values

    def all_of_them(*predicted: Any) -> Any:
        results = []
        for number, y_pred in enumerate(predicted):
            function = uf.value_and_grad(lambda y, number=number: one(number, y), has_aux=True)
            (_, values), gradient = function(y_pred)
            results.append((values, gradient))
        return results

    with uf.backend(backend):
        results = uf.jit(all_of_them)(*(case.predicted.astype(dtype) for case in CASES))
    return [([np.asarray(v) for v in values], np.asarray(gradient)) for values, gradient in results]


@pytest.mark.parametrize("dtype", [pytest.param("float64", marks=pytest.mark.slow), "float32"])
@pytest.mark.parametrize("backend", TRAINABLE)
def test_values_and_gradients_are_those_of_keras(backend: str, dtype: str) -> None:
    for number, (values, gradient) in enumerate(found(backend, dtype)):
        case = CASES[number]
        expected, slope = judged(number, backend)
        bounds, of_gradient = ({**each, "float64": case.bound} for each in (VALUES, GRADIENTS))
        for ours, theirs, how in zip(values, expected, calls_on(backend), strict=True):
            assert_close(ours, theirs, dtype=dtype, bounds=bounds, what=f"{case.title} {how}")
        assert_close(gradient, slope, dtype=dtype, bounds=of_gradient, what=f"gradient of {case.title}")


AT_ONCE = [case for case in CASES if case.name != "CTC"]  # whose scan compiles for seconds when run at once


@pytest.mark.parametrize("case", AT_ONCE, ids=[case.title for case in AT_ONCE])
def test_functions_at_once(case: Case) -> None:
    cls = getattr(uf.losses, case.name)
    name = cls.function.__name__
    arguments = dict(case.arguments)
    if case.name == "CategoricalGeneralizedCrossEntropy":
        arguments.setdefault("q", 0.5)
    expected = getattr(keras.losses, name)(case.true, tf.constant(case.predicted), **arguments).numpy()
    for backend in (*TRAINABLE, "numpy"):
        with uf.backend(backend):
            native = ops.convert_to_tensor(case.predicted)
            ours = getattr(uf.losses, name)(case.true, native, **arguments)
            bounds = {**VALUES, "float64": case.bound}
            assert_close(ops.convert_to_numpy(ours), expected, bounds=bounds, what=f"{name} on {backend}")
