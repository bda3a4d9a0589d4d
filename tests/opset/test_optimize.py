"""Optimizer rules: the decomposition against the reference, and both against Keras over several steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from unifront import ops, testing
from unifront.errors import DTypeError, ShapeError
from unifront.opset import optimize
from unifront.opset.spec import OPS, OpSpec
from unifront.reference import BACKEND, row_of

RULES = [OPS[f"{name}_update"] for name in ("sgd", "momentum", "adam", "rmsprop", "adagrad", "lion")]


@pytest.mark.parametrize("spec", RULES, ids=lambda spec: spec.name)
def test_decomposition_means_the_same_as_the_reference(spec: OpSpec) -> None:
    for sample in spec.samples(np.random.default_rng(3)):
        for dtype in ("float64", "float32"):
            wide = [o if o.dtype.kind == "i" else np.asarray(o, dtype) for o in sample.operands]
            expected = row_of(spec)(*wide, **sample.attributes)
            natives = [BACKEND.array(o) for o in wide]
            assert spec.decomposition is not None
            actual = spec.decomposition(*natives, **sample.attributes)
            for a, e in zip(_tuple(actual), _tuple(expected), strict=True):
                testing.assert_close(a, e, dtype=dtype, what=spec.name)


def _tuple(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


def _keras(name: str, **config: Any) -> Any:
    keras = pytest.importorskip("keras")
    return getattr(keras.optimizers, name)(**config)


CASES: list[tuple[str, dict[str, Any], Callable[..., Any], dict[str, Any], list[float]]] = [
    ("SGD", {"weight_decay": 0.01}, optimize.sgd_update, {"weight_decay": 0.01}, []),
    ("SGD", {"momentum": 0.9}, optimize.momentum_update, {"momentum": 0.9}, [0.0]),
    ("SGD", {"momentum": 0.8, "nesterov": True, "weight_decay": 0.02}, optimize.momentum_update,
     {"momentum": 0.8, "nesterov": True, "weight_decay": 0.02}, [0.0]),
    ("Adam", {}, optimize.adam_update, {}, [0.0, 0.0]),
    ("AdamW", {"weight_decay": 0.01, "beta_1": 0.8}, optimize.adam_update,
     {"weight_decay": 0.01, "beta_1": 0.8}, [0.0, 0.0]),
    ("RMSprop", {"rho": 0.8}, optimize.rmsprop_update, {"rho": 0.8}, [0.0]),
    ("Adagrad", {}, optimize.adagrad_update, {}, [0.1]),
    ("Lion", {"weight_decay": 0.01}, optimize.lion_update, {"weight_decay": 0.01}, [0.0]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "config", "update", "attributes", "initial"), CASES)
def test_agrees_with_keras_over_ten_steps(
    name: str, config: dict[str, Any], update: Any, attributes: dict[str, Any], initial: list[float]
) -> None:
    keras = pytest.importorskip("keras")
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=(4, 3)), rng.normal(size=(10, 4, 3))
    optimizer = _keras(name, learning_rate=0.05, **config)
    variable = keras.Variable(start, dtype="float64")
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient, dtype="float64")], [variable])
    param: Any = start
    slots = [np.full_like(start, value) for value in initial]
    for iteration, gradient in enumerate(gradients):
        rate = np.asarray(np.float32(0.05), np.float64)  # Keras keeps its learning rate in float32
        param, *slots = _tuple(update(param, gradient, *slots, np.int32(iteration), rate, **attributes))
    bounds = {"float64": 1e-5}  # Keras keeps its constants in float32, and Adam divides by 1 - beta_2
    testing.assert_close(param, keras.ops.convert_to_numpy(variable.value), bounds=bounds, what=name)


def test_wrong_operands_are_named() -> None:
    x = np.zeros((2, 3))
    with pytest.raises(ShapeError, match=r"param is \(2, 3\), but its gradient or slot is \(3,\)"):
        ops.sgd_update(x, np.zeros(3), np.int32(0), 0.1)
    with pytest.raises(DTypeError, match="iteration is float64; an integer is needed"):
        ops.sgd_update(x, x, np.asarray(0.0), 0.1)
