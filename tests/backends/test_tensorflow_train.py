"""The training step of the TensorFlow backend, judged by hand-written TensorFlow with the same numbers."""

from __future__ import annotations

import gc
import sys
import weakref
from typing import Any

import numpy as np
import pytest

from unifront import ops
from unifront.backends import TrainPlan, TrainState, TrainStep, UpdateGroup, get_backend
from unifront.dtypes import float64, int64
from unifront.dtypes import key as key_dtype
from unifront.ir.dims import symbol
from unifront.ir.facts import opaque
from unifront.ir.types import TensorType
from unifront.opset import optimize
from unifront.opset.spec import OpSpec
from unifront.opset.tensor import Builder, bind
from unifront.reference import row_of
from unifront.weights import Variable

tf = pytest.importorskip("tensorflow")

SIZE, HIDDEN, CLASSES = 6, 5, 3
Rule = tuple[OpSpec, dict[str, Any], int]
RULES: dict[str, Rule] = {
    "sgd": (optimize.SGD_UPDATE, {"weight_decay": 0.0}, 0),
    "sgd, decay": (optimize.SGD_UPDATE, {"weight_decay": 0.1}, 0),
    "momentum": (optimize.MOMENTUM_UPDATE, {"momentum": 0.9, "nesterov": False, "weight_decay": 0.0}, 1),
    "nesterov": (optimize.MOMENTUM_UPDATE, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}, 1),
    "adam": (optimize.ADAM_UPDATE, {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "weight_decay": 0.0}, 2),
    "adam, no beta": (
        optimize.ADAM_UPDATE, {"beta_1": 0.0, "beta_2": 0.9, "epsilon": 1e-3, "weight_decay": 0.0}, 2,
    ),
    "adamw": (optimize.ADAM_UPDATE, {"beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-3, "weight_decay": 0.1}, 2),
    "rmsprop": (optimize.RMSPROP_UPDATE, {"rho": 0.9, "epsilon": 1e-7, "weight_decay": 0.01}, 1),
    "adagrad": (optimize.ADAGRAD_UPDATE, {"epsilon": 1e-7, "weight_decay": 0.0}, 1),
    "lion": (optimize.LION_UPDATE, {"beta_1": 0.9, "beta_2": 0.99, "weight_decay": 0.01}, 1),
}  # fmt: skip
ADAM = RULES["adam"]
BACKEND = get_backend("tensorflow")


def weights(rng: np.random.Generator) -> list[Variable]:
    """An MLP's weights, one that nothing uses, and a running mean."""
    shapes = {
        "one/kernel": (SIZE, HIDDEN), "one/bias": (HIDDEN,), "two/kernel": (HIDDEN, CLASSES),
        "two/bias": (CLASSES,), "unused": (2,), "mean": (SIZE,),
    }  # fmt: skip
    return [
        Variable(path, shape, "float64", initial=rng.normal(size=shape), trainable=path != "mean")
        for path, shape in shapes.items()
    ]


def plan_of(variables: list[Variable], rule: Rule, *, halve: bool = False) -> TrainPlan:
    """Totals are the sum of the losses and the count; the gradients are halved if asked."""
    builder = Builder("mlp")
    batch = symbol("batch")
    x = builder.input("x", TensorType(float64, (batch, SIZE)))
    y = builder.input("y", TensorType(int64, (batch,)))
    builder.input("key", TensorType(key_dtype))
    totals = builder.input("totals", TensorType(float64, (2,)))
    k1, b1, k2, b2, _, mean = (builder.variable(variable) for variable in variables)
    hidden = ops.relu(ops.dense(x, k1, b1))
    loss = ops.mean(ops.sparse_softmax_cross_entropy(ops.dense(hidden, k2, b2), y))
    new_totals = ops.add(totals, ops.stack([loss, 1.0]))
    moved = ops.add(ops.multiply(mean, 0.9), ops.multiply(ops.mean(x, 0), 0.1))
    graph = builder.graph([loss, new_totals, moved])
    spec, attributes, slots = rule
    transform = None
    if halve:
        inner = Builder("halve")
        gradients = [inner.input(f"g{i}", v.type) for i, v in enumerate(variables[:5])]
        transform = inner.graph([ops.multiply(g, 0.5) for g in gradients])
    return TrainPlan(graph, (5,), (UpdateGroup(spec, attributes, (0, 1, 2, 3, 4), slots),), transform)


def state_of(variables: list[Variable], slots: int) -> TrainState:
    values = [BACKEND.array(variable.numpy()) for variable in variables]
    zeros = [tuple(BACKEND.array(np.zeros(v.shape)) for _ in range(slots)) for v in variables[:5]]
    return TrainState(values, zeros, BACKEND.array(np.zeros(2)), BACKEND.key(0))


def step_of(variables: list[Variable], rule: Rule, **options: Any) -> TrainStep:
    return BACKEND.train_step(plan_of(variables, rule, **options), state_of(variables, rule[2]))


def data(rng: np.random.Generator) -> tuple[Any, Any]:
    return tf.constant(rng.normal(size=(40, SIZE))), tf.constant(rng.integers(CLASSES, size=40))


def by_hand(
    variables: list[Variable],
    x: Any,
    y: Any,
    indices: Any,
    rates: list[float],
    rule: Rule,
    factor: float = 1.0,
) -> tuple[list[np.ndarray], list[float]]:
    """The same in plain TensorFlow, the update by the NumPy reference of the rule."""
    spec, attributes, slots = rule
    values = [tf.Variable(variable.numpy()) for variable in variables]
    state = [[np.zeros(value.shape) for _ in range(slots)] for value in values]
    losses = []
    for iteration, (rows, rate) in enumerate(zip(indices, rates, strict=True)):
        inputs, labels = tf.gather(x, rows), tf.gather(y, rows)
        with tf.GradientTape() as tape:
            hidden = tf.nn.relu(inputs @ values[0] + values[1])
            logits = hidden @ values[2] + values[3]
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        grads = tape.gradient(loss, values[:5], unconnected_gradients="zero")
        losses.append(float(loss))
        for i, grad in enumerate(grads):
            operands = [
                values[i].numpy(),
                grad.numpy() * factor,
                *state[i],
                np.int64(iteration),
                np.float64(rate),
            ]
            new = row_of(spec)(*operands, **attributes)
            new, *state[i] = new if isinstance(new, tuple) else (new,)
            values[i].assign(new)
        values[5].assign(values[5] * 0.9 + tf.reduce_mean(inputs, 0) * 0.1)
    return [value.numpy() for value in values], losses


def assert_values(step: TrainStep, expected: list[np.ndarray]) -> None:
    for actual, value in zip(step.state.variables, expected, strict=True):
        np.testing.assert_allclose(BACKEND.numpy(actual), value, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_a_trajectory_is_that_of_plain_tensorflow(rule: Rule) -> None:
    rng = np.random.default_rng(0)
    variables, (x, y) = weights(rng), data(rng)
    indices = rng.integers(40, size=(12, 8))
    rates = [0.01 / (1 + 0.1 * i) for i in range(12)]
    step = step_of(variables, rule)
    step.run([x, y], BACKEND.array(indices), rates)
    expected, losses = by_hand(variables, x, y, indices, rates, rule)
    assert_values(step, expected)
    np.testing.assert_allclose(step.state.totals.numpy(), [sum(losses), 12.0], rtol=1e-12)
    assert step.state.iteration == 12


def test_steps_on_batches_of_any_size_are_not_traced_again() -> None:
    rng = np.random.default_rng(1)
    variables, (x, y) = weights(rng), data(rng)
    step = step_of(variables, ADAM)
    indices = [rng.integers(40, size=n) for n in (8, 8, 3)]
    rates = [0.01, 0.02, 0.02]
    for rows, rate in zip(indices, rates, strict=True):
        step([tf.gather(x, rows), tf.gather(y, rows)], rate)
    expected, _ = by_hand(variables, x, y, indices, rates, ADAM)
    assert_values(step, expected)
    assert step.state.iteration == 3


def test_a_run_goes_on_where_a_step_left_off() -> None:
    rng = np.random.default_rng(2)
    variables, (x, y) = weights(rng), data(rng)
    step = step_of(variables, ADAM)
    indices = rng.integers(40, size=(5, 8))
    step([tf.gather(x, indices[0]), tf.gather(y, indices[0])], 0.01)
    step.run([x, y], BACKEND.array(indices[1:4]), [0.01] * 3)
    step([tf.gather(x, indices[4]), tf.gather(y, indices[4])], 0.01)
    expected, losses = by_hand(variables, x, y, indices, [0.01] * 5, ADAM)
    assert_values(step, expected)
    np.testing.assert_allclose(step.state.totals.numpy(), [sum(losses), 5.0], rtol=1e-12)


def test_gradients_go_through_the_transform() -> None:
    rng = np.random.default_rng(3)
    variables, (x, y) = weights(rng), data(rng)
    rule = RULES["momentum"]
    indices = rng.integers(40, size=(5, 8))
    step = step_of(variables, rule, halve=True)
    step.run([x, y], BACKEND.array(indices), [0.01] * 5)
    expected, _ = by_hand(variables, x, y, indices, [0.01] * 5, rule, factor=0.5)
    assert_values(step, expected)


@pytest.mark.parametrize("name", ["sgd", "nesterov", "adamw"])
def test_a_fused_rule_is_its_decomposition(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unifront_tensorflow.train.IN_PLACE", {})
    rng = np.random.default_rng(4)
    variables, (x, y) = weights(rng), data(rng)
    indices = rng.integers(40, size=(5, 8))
    step = step_of(variables, RULES[name])
    step.run([x, y], BACKEND.array(indices), [0.01] * 5)
    expected, _ = by_hand(variables, x, y, indices, [0.01] * 5, RULES[name])
    assert_values(step, expected)


def test_adam_in_float32_corrects_its_bias_as_well_as_in_float64() -> None:
    from unifront_tensorflow.lower.optimize import IN_PLACE
    from unifront_tensorflow.variables import Reference

    rng = np.random.default_rng(5)
    found = []
    start, grads = rng.normal(size=7), rng.normal(size=(3, 7))
    for dtype in (tf.float32, tf.float64):
        param, m, v = (tf.Variable(tf.cast(value, dtype)) for value in (start, 0 * start, 0 * start))
        for iteration, grad in enumerate(grads):
            rate = tf.constant(0.1, dtype)
            first, *slots = (Reference(held.handle, BACKEND.type_of(held)) for held in (param, m, v))
            IN_PLACE[ADAM[0]](first, tf.cast(grad, dtype), slots, tf.constant(iteration), rate, **ADAM[1])
        found.append(param.numpy())
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6, atol=1e-6)


def test_values_put_into_the_state_are_taken_over() -> None:
    rng = np.random.default_rng(6)
    variables, (x, y) = weights(rng), data(rng)
    indices = rng.integers(40, size=(4, 8))
    step = step_of(variables, ADAM)
    expected, _ = by_hand(variables, x, y, indices, [0.01] * 4, ADAM)
    for _ in range(2):
        step.run([x, y], BACKEND.array(indices), [0.01] * 4)
        assert_values(step, expected)
        step.state = state_of(variables, 2)
    first = step.state.variables[0]
    step.run([x, y], BACKEND.array(indices[:0]), [])
    assert step.state.variables[0] is not first
    np.testing.assert_array_equal(step.state.variables[0].numpy(), first.numpy())


def test_each_step_has_a_key_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = OpSpec(
        "noise",
        lambda x, key: x,
        lambda x, key: x,
        lambda rng: (),
        "a test",
        random=True,
        facts=opaque("half"),
    )

    def row(x: Any, key: Any) -> Any:
        return x * tf.random.stateless_uniform(tf.shape(x), key, dtype=x.dtype)

    monkeypatch.setitem(sys.modules["unifront_tensorflow.lower"].TABLE, noise, row)
    builder = Builder("random")
    x = builder.input("x", TensorType(float64, (4,)))
    key = builder.input("key", TensorType(key_dtype))
    totals = builder.input("totals", TensorType(float64, (4,)))
    weight = Variable("weight", (4,), "float64", initial=np.ones(4))
    dropped = bind(noise, ops.multiply(x, builder.variable(weight)), key)
    graph = builder.graph([ops.sum(dropped), ops.add(totals, dropped)])
    plan = TrainPlan(graph, (), (UpdateGroup(optimize.SGD_UPDATE, {"weight_decay": 0.0}, (0,), 0),))

    def sums(seed: int, runs: int) -> np.ndarray:
        state = TrainState([BACKEND.array(np.ones(4))], [()], BACKEND.array(np.zeros(4)), BACKEND.key(seed))
        step = BACKEND.train_step(plan, state)
        found = []
        for _ in range(runs):
            step([tf.ones(4, tf.float64)], 0.0)
            found.append(step.state.totals.numpy())
        return np.diff([np.zeros(4), *found], axis=0)

    first = sums(1, 12)
    assert len({tuple(row) for row in first}) == 12
    np.testing.assert_array_equal(first, sums(1, 12))
    assert not np.array_equal(first, sums(2, 12))


def test_a_program_reads_the_variables_that_a_step_leaves() -> None:
    rng = np.random.default_rng(7)
    variables, (x, y) = weights(rng), data(rng)
    step = step_of(variables, ADAM)
    builder = Builder("mlp")
    inputs = builder.input("x", TensorType(float64, (symbol("batch"), SIZE)))
    kernel, bias = (builder.variable(variable) for variable in variables[:2])
    output = ops.sum(ops.square(ops.dense(inputs, kernel, bias)))
    program = BACKEND.value_and_grad(builder.graph([output]), ["one/bias", "x"])
    for _ in range(2):
        step([x, y], 0.1)
        held = step.state.variables[:2]
        found = program([x], held)
        values = [tf.constant(value.numpy()) for value in held]
        for actual, expected in zip(found, program([x], values), strict=True):
            np.testing.assert_array_equal(actual, expected)
        product = x @ values[0] + values[1]
        np.testing.assert_allclose(found[1], 2 * tf.reduce_sum(product, 0), rtol=1e-12)


def test_a_plan_is_traced_once_for_as_long_as_it_lives() -> None:
    from unifront_tensorflow import train

    rng = np.random.default_rng(8)
    variables, (x, y) = weights(rng), data(rng)
    plan = plan_of(variables, ADAM)
    before = len(train._compiled)
    steps = [BACKEND.train_step(plan, state_of(variables, 2)) for _ in range(2)]
    for step in steps:
        step([x, y], 0.01)
    assert steps[0]._functions.one is steps[1]._functions.one  # type: ignore[attr-defined]
    assert_values(steps[0], [value.numpy() for value in steps[1].state.variables])
    assert len(train._compiled) == before + 1
    kept = weakref.ref(steps[0]._functions)  # type: ignore[attr-defined]
    del plan, steps, step
    gc.collect()
    assert kept() is None
    assert len(train._compiled) <= before
