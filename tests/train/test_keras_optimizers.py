"""Every optimizer of Keras's with every option, a hundred steps beside Keras in float64; names and parameters."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.models import TRAINABLE
from tests.train.keras_judge import keras, value
from unifront import ops
from unifront.backends import get_backend
from unifront.testing import assert_close
from unifront.train import optimizers, schedules

STEPS = 100
RATE = 2**-6
"""Keras keeps the rate in float32, and takes most numbers so, hence powers of two here and below."""
RNG = np.random.default_rng(7)
SLOW = 2**-11
"""The rate of plain gradient descent, whose steps grow with the gradients."""
WORDS = np.array([[0, 2], [2, 3], [3, 0], [0, 0], [2, 2], [3, 2]])
"""Two words of an example; the first row of the table but one has no gradient, and so has the last."""
TARGETS = 300 * RNG.normal(size=(6, 3))  # far away: at rest, rounding would decide
START = {"table": RNG.normal(size=(5, 4)), "kernel": RNG.normal(size=(4, 3)), "bias": np.zeros(3)}

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {}),
    "momentum": ("SGD", {"momentum": 0.9, "weight_decay": 2**-6}),
    "nesterov": ("SGD", {"momentum": 0.875, "nesterov": True}),
    "clipnorm": ("SGD", {"momentum": 0.5, "clipnorm": 0.25}),
    "clipvalue": ("Adam", {"clipvalue": 2**-3}),
    "global_clipnorm": ("Adagrad", {"global_clipnorm": 0.5}),
    "adam": ("Adam", {}),
    "amsgrad": ("Adam", {"amsgrad": True, "beta_2": 0.875}),
    "adam without beta_1": ("Adam", {"beta_1": 0.0, "epsilon": 2**-10}),
    "adamw": ("AdamW", {"weight_decay": 2**-4}),
    "adamw amsgrad": ("AdamW", {"weight_decay": 2**-4, "amsgrad": True}),
    "adamax": ("Adamax", {"weight_decay": 2**-5}),
    "adamax other": ("Adamax", {"beta_1": 0.5, "beta_2": 0.75, "epsilon": 2**-7}),
    "nadam": ("Nadam", {"weight_decay": 2**-5}),
    "nadam other": ("Nadam", {"beta_1": 0.5, "beta_2": 0.75, "epsilon": 2**-7}),
    "rmsprop": ("RMSprop", {"rho": 0.5}),
    "rmsprop momentum": ("RMSprop", {"rho": 0.875, "momentum": 0.5, "weight_decay": 2**-5}),
    "rmsprop centered": ("RMSprop", {"rho": 0.875, "centered": True, "epsilon": 2**-10}),
    "rmsprop centered momentum": (
        "RMSprop",
        {"centered": True, "momentum": 0.75, "rho": 0.75, "epsilon": 2**-20},
    ),
    "adagrad": ("Adagrad", {"initial_accumulator_value": 0.5, "epsilon": 2**-10}),
    "adadelta": ("Adadelta", {"weight_decay": 2**-5}),
    "adadelta other": ("Adadelta", {"rho": 0.5, "epsilon": 2**-7}),
    "ftrl": ("Ftrl", {}),
    "ftrl l1": ("Ftrl", {"l1_regularization_strength": 0.5, "l2_regularization_strength": 0.25}),
    "ftrl other": (
        "Ftrl",
        {"learning_rate_power": -0.25, "beta": 0.5, "l2_shrinkage_regularization_strength": 0.125,
         "initial_accumulator_value": 0.5, "weight_decay": 2**-5},
    ),
    "lamb": ("Lamb", {"beta_1": 0.875, "beta_2": 0.9375, "epsilon": 2**-20, "weight_decay": 2**-5}),
    "lion": ("Lion", {"weight_decay": 2**-5}),
    "lion other": ("Lion", {"beta_1": 0.5, "beta_2": 0.75}),
    "adafactor": ("Adafactor", {"weight_decay": 2**-5}),
    "adafactor other": (
        "Adafactor",
        {"relative_step": False, "clip_threshold": 0.5, "beta_2_decay": -0.5, "epsilon_2": 0.25, "epsilon_1": 1e-3},
    ),
    "muon": ("Muon", {"exclude_layers": ["bias"]}),
    "muon other": (
        "Muon",
        {"nesterov": False, "ns_steps": 3, "momentum": 0.5, "rms_rate": None, "adam_lr_ratio": 0.5,
         "weight_decay": 2**-5, "adam_weight_decay": 2**-4, "exclude_embeddings": False, "muon_c": 2.0},
    ),
    "schedule free": ("ScheduleFreeAdamW", {"weight_decay": 2**-5}),
    "schedule free warm": ("ScheduleFreeAdamW", {"warmup_steps": 10, "beta_1": 0.75, "epsilon": 1e-4}),
    "average": ("Adamax", {"use_ema": True, "ema_momentum": 0.875}),
    "average overwrites": ("Adam", {"use_ema": True, "ema_momentum": 0.75, "ema_overwrite_frequency": 7}),
    "gathers": ("Nadam", {"gradient_accumulation_steps": 4, "weight_decay": 2**-5}),
    "gathers and averages": (
        "Adam",
        {"gradient_accumulation_steps": 3, "use_ema": True, "ema_momentum": 0.75, "ema_overwrite_frequency": 5},
    ),
    "unscales": ("Lion", {"loss_scale_factor": 8.0}),
}  # fmt: skip

BY_HAND = {"clipnorm", "global_clipnorm", "lamb", "adafactor", "adafactor other", "muon", "muon other"}
"""Keras on PyTorch computes ``maximum``, ``minimum``, ``mean`` and ``norm`` of float64 in float32: its steps differ
by some 1e-8, so these cases have NumPy as a second judge."""
WRONG_IN_KERAS = {"schedule free", "schedule free warm"}
"""On PyTorch and TensorFlow Keras's "momentum before the update" is the one after it, as it keeps no copy."""


class Linear:
    """Two words of a table, added, and a dense layer, at the start."""

    def __init__(self, make: Any) -> None:
        paths = {"table": "embedding/table", "kernel": "dense/kernel", "bias": "dense/bias"}
        self.variables = [make(value, paths[name]) for name, value in START.items()]


def slopes(table: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> list[np.ndarray]:
    hidden = table[WORDS].sum(axis=1)
    slope = 2 * (hidden @ kernel + bias - TARGETS) / TARGETS.size
    d_table = np.zeros_like(table)
    np.add.at(d_table, WORDS, (slope @ kernel.T)[:, None])
    return [d_table, hidden.T @ slope, slope.sum(axis=0)]


def rate_of(case: str) -> float:
    return SLOW if CASES[case][0] == "SGD" else RATE


def of_keras(case: str) -> tuple[Any, list[Any]]:
    """The optimizer and the variables of Keras."""
    name, arguments = CASES[case]

    def make(start: np.ndarray, path: str) -> Any:
        with keras.name_scope(path.split("/")[0]):
            return keras.Variable(start, dtype="float64", name=path.split("/")[1])

    return getattr(keras.optimizers, name)(rate_of(case), **arguments), Linear(make).variables


@cache
def expected(case: str) -> list[np.ndarray]:
    """The weights after a hundred steps of Keras's optimizer on gradients of NumPy's."""
    optimizer, variables = of_keras(case)
    for _ in range(STEPS):
        grads = slopes(*(value(variable.value) for variable in variables))
        optimizer.apply([keras.ops.convert_to_tensor(g, "float64") for g in grads], variables)
    optimizer.finalize_variable_values(variables)
    return [value(variable.value) for variable in variables]


def ours(case: str) -> tuple[Any, list[uf.Variable]]:
    name, arguments = CASES[case]

    def make(start: np.ndarray, path: str) -> uf.Variable:
        return uf.Variable.at(path, start.shape, "float64", initial=start)

    return getattr(optimizers, name)(rate_of(case), **arguments), Linear(make).variables


def loss_of(table: Any, kernel: Any, bias: Any) -> Any:
    hidden = ops.sum(ops.take(table, WORDS, axis=0), axis=1)
    return ops.mean(ops.square(ops.subtract(ops.add(ops.matmul(hidden, kernel), bias), TARGETS)))


@cache
def trained(backend: str) -> dict[str, list[np.ndarray]]:
    """The weights after a hundred steps of every case: one step has them all, to be compiled once."""
    made = {case: ours(case) for case in CASES}

    @uf.jit
    def step(clock: Any) -> Any:
        for optimizer, variables in made.values():

            def loss(variables: list[uf.Variable] = variables, optimizer: Any = optimizer) -> Any:
                return optimizer.scale_loss(loss_of(*variables))

            _, grads = uf.value_and_grad(loss, wrt=variables)()
            optimizer.apply(grads, variables)
        return clock

    clock = get_backend(backend).array(np.zeros(()))
    for _ in range(STEPS):
        step(clock)
    for optimizer, variables in made.values():
        assert optimizer.calls == STEPS
        optimizer.finalize_variable_values(variables)
    return {case: [variable.numpy() for variable in variables] for case, (_, variables) in made.items()}


@pytest.mark.parametrize("case", [case for case in CASES if case not in WRONG_IN_KERAS])
@pytest.mark.parametrize("backend", TRAINABLE)
def test_a_hundred_steps_as_keras(backend: str, case: str) -> None:
    bound = 1e-6 if case in BY_HAND else 1e-9
    for found, judge in zip(trained(backend)[case], expected(case), strict=True):
        assert_close(found, judge, bounds={"float64": bound}, what=case)


@pytest.mark.parametrize("case", sorted({*BY_HAND, *WRONG_IN_KERAS}))
@pytest.mark.parametrize("backend", TRAINABLE)
def test_a_hundred_steps_as_by_hand(backend: str, case: str) -> None:
    for found, judge in zip(trained(backend)[case], by_hand(case), strict=True):
        assert_close(found, judge, bounds={"float64": 1e-9}, what=case)


@cache
def by_hand(case: str) -> list[np.ndarray]:
    """The weights after a hundred steps by the formulas of the papers, in NumPy."""
    name, given = CASES[case]
    own = {
        key: getattr(getattr(optimizers, name)(**given), key) for key in getattr(optimizers, name).arguments
    }
    weights = [START[path].copy() for path in START]
    states: list[dict[str, Any]] = [{} for _ in weights]
    for step in range(1, STEPS + 1):
        grads = slopes(*weights)
        if "clipnorm" in given:
            grads = [g * given["clipnorm"] / max(given["clipnorm"], np.sqrt(np.sum(g**2))) for g in grads]
        if "global_clipnorm" in given:
            norm = np.sqrt(sum(np.sum(g**2) for g in grads))
            grads = [g * given["global_clipnorm"] / max(given["global_clipnorm"], norm) for g in grads]
        for i, gradient in enumerate(grads):
            by_adam = name == "Muon" and (i == 2 or (i == 0 and own["exclude_embeddings"]))
            decay = (
                own["adam_weight_decay"] if by_adam else given.get("weight_decay", 0.004 * (name == "Muon"))
            )
            weight = weights[i] * (1 - RATE * decay)
            rule = _adam if by_adam else HANDS[name]
            weights[i] = rule(weight, gradient, states[i], step, own)
    return weights


def _sgd(w: np.ndarray, g: np.ndarray, state: dict[str, Any], step: int, own: dict[str, Any]) -> np.ndarray:
    state["m"] = own["momentum"] * state.get("m", 0.0) - SLOW * g
    return w + state["m"]


def _adagrad(
    w: np.ndarray, g: np.ndarray, state: dict[str, Any], step: int, own: dict[str, Any]
) -> np.ndarray:
    state["s"] = state.get("s", own["initial_accumulator_value"]) + g**2
    return w - RATE * g / np.sqrt(state["s"] + own["epsilon"])


def _moments(g: np.ndarray, state: dict[str, Any], step: int, beta_1: float, beta_2: float) -> Any:
    state["m"] = beta_1 * state.get("m", 0.0) + (1 - beta_1) * g
    state["v"] = beta_2 * state.get("v", 0.0) + (1 - beta_2) * g**2
    return state["m"] / (1 - beta_1**step), state["v"] / (1 - beta_2**step)


def _adam(w: np.ndarray, g: np.ndarray, state: dict[str, Any], step: int, own: dict[str, Any]) -> np.ndarray:
    beta_1, beta_2 = own["adam_beta_1"], own["adam_beta_2"]
    m, v = _moments(g, state, step, beta_1, beta_2)
    outside = own["epsilon"] / np.sqrt(1 - beta_2**step)  # Keras's epsilon
    return w - RATE * own["adam_lr_ratio"] * m / (np.sqrt(v) + outside)


def _lamb(w: np.ndarray, g: np.ndarray, state: dict[str, Any], step: int, own: dict[str, Any]) -> np.ndarray:
    m, v = _moments(g, state, step, own["beta_1"], own["beta_2"])
    change = m / (np.sqrt(v) + own["epsilon"])
    sizes = np.linalg.norm(w.ravel()), np.linalg.norm(change.ravel())
    return w - RATE * (sizes[0] / sizes[1] if min(sizes) > 0 else 1.0) * change


def _adafactor(
    w: np.ndarray, g: np.ndarray, state: dict[str, Any], step: int, own: dict[str, Any]
) -> np.ndarray:
    rate = max(own["epsilon_2"], np.sqrt(np.mean(w**2))) * min(RATE, step**-0.5)
    beta, square = 1 - step ** own["beta_2_decay"], g**2 + own["epsilon_1"]
    if w.ndim == 2:
        for name, axis in (("r", 1), ("c", 0)):
            state[name] = beta * state.get(name, 0.0) + (1 - beta) * square.mean(axis)
        state["v"] = np.outer(state["r"], state["c"]) / state["r"].mean()
    else:
        state["v"] = beta * state.get("v", 0.0) + (1 - beta) * square
    change = g / np.sqrt(state["v"])
    return w - rate * change / max(1.0, np.sqrt(np.mean(change**2)) / own["clip_threshold"])


def _muon(w: np.ndarray, g: np.ndarray, state: dict[str, Any], step: int, own: dict[str, Any]) -> np.ndarray:
    state["m"] = own["momentum"] * state.get("m", 0.0) + g
    x = g + own["momentum"] * state["m"] if own["nesterov"] else state["m"]
    x = x / (np.linalg.norm(x) + 1e-7)
    for _ in range(own["ns_steps"]):
        outer = x @ x.T if len(x) <= len(x.T) else x.T @ x
        more = own["muon_b"] * outer + own["muon_c"] * outer @ outer
        x = own["muon_a"] * x + (more @ x if len(x) <= len(x.T) else x @ more)
    scale = 1.0 if own["rms_rate"] is None else np.sqrt(max(x.shape)) * own["rms_rate"]
    return w - RATE * scale * x


def _schedule_free(
    w: np.ndarray, g: np.ndarray, state: dict[str, Any], step: int, own: dict[str, Any]
) -> np.ndarray:
    if not state:
        state.update(z=w / (1 - RATE * 2**-5) if own["warmup_steps"] == 0 else w, v=0.0)  # before the decay
    before, beta = state["z"], own["beta_1"]
    state["v"] = own["beta_2"] * state["v"] + (1 - own["beta_2"]) * g**2
    rate = RATE * min(1.0, step / own["warmup_steps"]) if own["warmup_steps"] else RATE
    root = np.sqrt(state["v"] / (1 - own["beta_2"] ** step)) + own["epsilon"]
    state["z"] = before - rate * g / root
    x = (w - (1 - beta) * before) / beta
    x = (1 - 1 / step) * x + state["z"] / step
    return (1 - beta) * state["z"] + beta * x


HANDS = {
    "SGD": _sgd, "Adagrad": _adagrad, "Lamb": _lamb, "Adafactor": _adafactor, "Muon": _muon,
    "ScheduleFreeAdamW": _schedule_free,
}  # fmt: skip


@pytest.mark.parametrize("case", [case for case in CASES if "Adafactor" not in CASES[case][0]])
def test_variables_are_those_of_keras_in_their_order(case: str) -> None:
    """So values of a file of Keras's find their places. Keras has dummies for Adafactor's vectors."""
    judge, judged = of_keras(case)
    judge.build(judged)
    optimizer, variables = ours(case)
    optimizer.build(variables)
    assert [v.shape for v in optimizer.variables] == [tuple(v.shape) for v in judge.variables]
    names = [v.path.replace("/", "_") for v in optimizer.variables[2:]]
    for name, theirs in zip(names, judge.variables[2:], strict=True):
        assert theirs.path.endswith(name) or "product" in name
    for found, wanted in zip(optimizer.variables, judge.variables, strict=True):
        assert_close(found.numpy().astype(float), value(wanted.value).astype(float))


def parameters(thing: Any) -> dict[str, Any]:
    """The parameters of a class of ours, with those of its options."""
    return {name: one.default for name, one in inspect.signature(thing).parameters.items()}


@pytest.mark.parametrize(
    "name", [n for n in dir(keras.optimizers) if not n.startswith("_") and n != "legacy"]
)
def test_names_and_parameters_are_those_of_keras(name: str) -> None:
    same_parameters(getattr(optimizers, name), getattr(keras.optimizers, name))


@pytest.mark.parametrize("name", [n for n in dir(keras.optimizers.schedules) if not n.startswith("_")])
def test_schedules_and_their_parameters_are_those_of_keras(name: str) -> None:
    same_parameters(getattr(schedules, name), getattr(keras.optimizers.schedules, name))


def same_parameters(own: Any, theirs: Any) -> None:
    if not callable(theirs):
        return
    wanted = {
        key: one.default
        for key, one in inspect.signature(theirs).parameters.items()
        if key not in ("kwargs", "args", "self")
    }
    found = parameters(own)
    missing = wanted.keys() - found.keys() - {"identifier"}
    assert not missing
    for key, default in wanted.items():
        if key in found and default not in (None, inspect.Parameter.empty):
            assert found[key] == default, key
