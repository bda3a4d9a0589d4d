"""Compiled steps on every backend that trains, judged by the same training written out in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.backends.steps import (
    BATCH,
    MLP,
    RULES,
    SGD,
    Rule,
    Running,
    assert_values,
    decreasing,
    gradients_of,
    variable,
)
from tests.backends.steps import traced as traced_step
from tests.models import TRAINABLE
from unifront import ops
from unifront.backends import get_backend
from unifront.dtypes import dtype_of, float64
from unifront.errors import UnknownName
from unifront.gradients import value_and_grad
from unifront.ir.types import TensorType
from unifront.opset.tensor import Builder, update
from unifront.reference import row_of
from unifront.weights import Variable

Gradients = list[np.ndarray]
pytestmark = pytest.mark.parametrize("backend", TRAINABLE)


def mlp(backend: str, name: str = "adam", rate: Any = decreasing, **options: Any) -> tuple[MLP, Running]:
    net = MLP()
    return net, Running(backend, net.step((Rule(*RULES[name], learning_rate=rate, **options), range(5))))


@pytest.mark.parametrize("name", RULES)
def test_training_is_that_written_by_hand(backend: str, name: str) -> None:
    net, step = mlp(backend, name)
    expected, losses = net.by_hand(RULES[name], net.indices, decreasing)
    step.run([net.x, net.y], net.indices)
    assert_values(step, expected)
    np.testing.assert_allclose(step.results(), [losses[-1]], rtol=1e-12)


@pytest.mark.parametrize("name", ["sgd", "nesterov", "adamw"])
def test_a_rule_without_a_fused_row_is_its_decomposition(
    backend: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = get_backend(backend)
    rows = own.rows
    monkeypatch.setattr(
        type(own), "rows", lambda self, device=None: replace(rows(device), in_place={}, read=None)
    )
    if hasattr(own, "_compiled"):  # JAX's rows for compiled programs, of which none writes in place
        assert not own._compiled.in_place
    net, step = mlp(backend, name)
    step.run([net.x, net.y], net.indices)
    assert_values(step, net.by_hand(RULES[name], net.indices, decreasing)[0])


def test_runs_and_single_steps_go_on_from_each_other(backend: str) -> None:
    net, step = mlp(backend)
    parts: list[Any] = [net.indices[:1], net.indices[1:5], net.indices[5:6], net.indices[6:]]
    for number, part in enumerate(parts):
        if number % 2:
            step.run([net.x, net.y], part)
        else:
            step(net.x[part[0]], net.y[part[0]])
    expected, losses = net.by_hand(RULES["adam"], net.indices, decreasing)
    assert_values(step, expected)
    np.testing.assert_allclose(step.results(), [losses[-1]], rtol=1e-12)


def test_batches_may_have_any_size(backend: str) -> None:
    net, step = mlp(backend)
    indices = [net.indices[0], net.indices[1, :3], np.arange(40)]
    for rows in indices:
        step(net.x[rows], net.y[rows])
    assert_values(step, net.by_hand(RULES["adam"], indices, decreasing)[0])


def test_a_run_of_no_steps_changes_nothing(backend: str) -> None:
    net, step = mlp(backend)
    before = step.values()
    step.run([net.x, net.y], np.zeros((0, 8), np.int32))
    assert_values(step, before)


def norms(gradients: Gradients) -> list[float]:
    return [float(np.sqrt((gradient**2).sum())) for gradient in gradients]


LIMIT = 0.02
CLIPPINGS: dict[str, Callable[[Gradients], Gradients]] = {
    "clipvalue": lambda gs: [np.clip(g, -LIMIT, LIMIT) for g in gs],
    "clipnorm": lambda gs: [g * min(1, LIMIT / norm) for g, norm in zip(gs, norms(gs), strict=True)],
    "global_clipnorm": lambda gs: [g * min(1, LIMIT / np.hypot.reduce(norms(gs))) for g in gs],
}


@pytest.mark.parametrize("kind", CLIPPINGS)
def test_gradients_are_clipped(backend: str, kind: str) -> None:
    net, step = mlp(backend, "momentum", **{kind: LIMIT})
    step.run([net.x, net.y], net.indices)
    assert_values(step, net.by_hand(RULES["momentum"], net.indices, decreasing, CLIPPINGS[kind])[0])


def test_two_optimizers_train_by_their_own_rules(backend: str) -> None:
    net = MLP()
    plain = Rule(*RULES["sgd decayed"], learning_rate=0.05)
    moving = Rule(*RULES["nesterov"], learning_rate=decreasing)
    step = Running(backend, net.step((plain, (3, 1)), (moving, (2, 0))))
    step.run([net.x, net.y], net.indices)
    assert_values(step, two_by_hand(net))


def two_by_hand(net: MLP) -> dict[str, np.ndarray]:
    """`SGD` with decay for biases, Nesterov's momentum for kernels."""
    values = [weight.numpy().copy() for weight in net.weights]
    speed = {0: np.zeros(values[0].shape), 2: np.zeros(values[2].shape)}
    for number, rows in enumerate(net.indices):
        gradients = gradients_of(values, net.x[rows], net.y[rows])[1]
        rate = decreasing(number)
        for i in (1, 3):
            values[i] = values[i] * (1 - 0.1 * 0.05) - 0.05 * gradients[i]
        for i in (0, 2):
            speed[i] = speed[i] * 0.9 - rate * gradients[i]
            values[i] = values[i] * (1 - 0.01 * rate) + speed[i] * 0.9 - rate * gradients[i]
    return dict(zip(("k1", "b1", "k2", "b2"), values, strict=True))


def test_an_optimizer_applied_twice_counts_twice(backend: str) -> None:
    weight = variable("weight", [3.0])
    optimizer = Rule(SGD, learning_rate=lambda step: 10.0**-step)

    def function(x: Any) -> Any:
        for _ in range(2):
            optimizer.apply([ops.multiply(x, 1.0)], [weight])
        return ops.multiply(weight, 1.0)

    step = Running(backend, traced_step(function, x=TensorType(float64, (1,))))
    step.run([np.ones(1)], np.zeros((2, 1), np.int32))
    np.testing.assert_allclose(step.values()["weight"], [3 - 1.111], rtol=1e-14)
    np.testing.assert_allclose(step.results()[0], [3 - 1.111], rtol=1e-14)


def test_counters_reach_each_run(backend: str) -> None:
    weight = variable("weight", [0.0])
    optimizer = Rule(SGD, learning_rate=lambda step: 2.0**step)

    def function(x: Any) -> Any:
        optimizer.apply([ops.multiply(x, -1.0)], [weight])
        return weight

    step = Running(backend, traced_step(function, x=TensorType(float64, (1,))))
    found = []
    for _ in range(3):
        step(np.ones(1))
        found.append(step.results()[0].item())
    assert found == [1.0, 3.0, 7.0]
    step.run([np.ones(3)], np.zeros((37, 1), np.int32))
    assert step.results()[0].item() == 2.0**40 - 1


def test_results_are_those_of_the_last_run(backend: str) -> None:
    weight = variable("weight", np.zeros(2), trainable=False)

    def function(x: Any) -> Any:
        update(weight, ops.add(weight, ops.sum(x, 0)))
        return {"sum": ops.sum(x), "batch": x, "weight": weight}

    step = Running(backend, traced_step(function, x=TensorType(float64, (BATCH, 2))))
    x = np.arange(80.0).reshape(40, 2)
    indices = np.arange(36).reshape(36, 1)[:, [0, 0, 0]]
    indices[-1] = [7, 9, 39]
    step.run([x], indices)
    total, batch, value = step.results()
    np.testing.assert_array_equal(batch, x[[7, 9, 39]])
    assert total == x[[7, 9, 39]].sum()
    np.testing.assert_array_equal(value, x[indices].sum((0, 1)))
    np.testing.assert_array_equal(step.values()["weight"], value)
    step(x[:1])
    np.testing.assert_array_equal(step.results()[1], x[:1])
    np.testing.assert_array_equal(value, x[indices].sum((0, 1)))


def test_values_put_into_the_state_are_taken_up(backend: str) -> None:
    net, step = mlp(backend)
    expected, _ = net.by_hand(RULES["adam"], net.indices, decreasing)

    def assert_trained() -> None:
        step.run([net.x, net.y], net.indices)
        assert_values(step, expected)
        step.done = 0

    assert_trained()
    step.step.state = step.start()
    assert_trained()
    step.step.state.variables = step.start().variables
    assert_trained()
    step.step.state.variables[:] = step.start().variables
    assert_trained()
    for position, value in enumerate(step.start().variables):
        step.step.state.variables[position] = value
    assert_trained()


def test_an_array_that_stands_twice_in_the_state_trains(backend: str) -> None:
    net, step = mlp(backend)
    variables = step.step.state.variables = step.start().variables
    places = {variable.name: i for i, variable in enumerate(step.plan.graph.variables)}
    for weight in net.weights:
        variables[places[f"{weight.path}/slot_0"]] = variables[places[f"{weight.path}/slot_1"]]
    step.run([net.x, net.y], net.indices)
    assert_values(step, net.by_hand(RULES["adam"], net.indices, decreasing)[0])


def test_two_steps_of_one_plan_train_apart(backend: str) -> None:
    net = MLP()
    plan = net.step((Rule(*RULES["adam"], learning_rate=decreasing), range(5)))
    one, other = Running(backend, plan), Running(backend, plan)
    before = other.values()
    one.run([net.x, net.y], net.indices)
    assert_values(other, before)
    other.run([net.x, net.y], net.indices)
    assert_values(other, one.values())


def test_each_run_draws_its_own_numbers_and_a_seed_repeats_them(backend: str) -> None:
    net = MLP()
    plan = net.step(dropout=0.5)

    def losses(seed: int, runs: int) -> list[float]:
        step = Running(backend, plan, seed)
        found = []
        for _ in range(runs):
            step(net.x[:8], net.y[:8])
            found.append(step.results()[0].item())
        return found

    first = losses(1, 8)
    assert len(set(first)) == 8
    assert losses(1, 8) == first
    assert not set(losses(2, 8)) & set(first)
    step = Running(backend, plan, 1)
    step.run([net.x, net.y], np.tile(np.arange(8), (8, 1)))
    np.testing.assert_allclose(step.results()[0], first[-1], rtol=1e-12)
    np.testing.assert_allclose(step.values()["totals"], [sum(first), 8.0], rtol=1e-12)


def test_a_variable_set_to_a_weight_keeps_what_it_was_given(backend: str) -> None:
    weight, before = variable("weight", np.ones(3)), variable("before", np.zeros(3), trainable=False)
    after = variable("after", np.zeros(3), trainable=False)

    def function() -> Any:
        old = ops.multiply(weight, 1.0)
        update(before, weight)
        _, gradients = value_and_grad(lambda: ops.sum(ops.square(weight)), wrt=[weight])()
        Rule(SGD, learning_rate=0.25).apply(gradients, [weight])
        update(after, weight)
        return old, weight

    step = Running(backend, traced_step(function))
    for factor in (1.0, 0.5):
        step()
        found = step.values()
        np.testing.assert_array_equal(found["before"], np.full(3, factor))
        np.testing.assert_array_equal(found["after"], np.full(3, factor / 2))
        np.testing.assert_array_equal(found["weight"], np.full(3, factor / 2))
        np.testing.assert_array_equal(step.results(), [np.full(3, factor), np.full(3, factor / 2)])


def test_two_variables_change_places(backend: str) -> None:
    a, b = variable("a", [1.0, 2.0], trainable=False), variable("b", [3.0, 4.0], trainable=False)

    def function() -> Any:
        old = ops.multiply(a, 1.0)
        update(a, b)
        update(b, old)
        return ops.sum(a)

    step = Running(backend, traced_step(function))
    for first, second in (([3.0, 4.0], [1.0, 2.0]), ([1.0, 2.0], [3.0, 4.0])):
        step()
        assert step.values()["a"].tolist() == first
        assert step.values()["b"].tolist() == second


def test_weights_whose_gradients_are_each_other(backend: str) -> None:
    """An update that overwrites one weight must not be what another one reads."""
    start = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    weights = [variable(f"weight{i}", value) for i, value in enumerate(start)]
    optimizer = Rule(*RULES["sgd decayed"], learning_rate=0.5)

    def function() -> Any:
        a, b, c = weights
        optimizer.apply(
            [ops.multiply(b, 1.0), ops.reshape(ops.stop_gradient(c), (2,)), ops.stop_gradient(a)], weights
        )
        return ops.add(a, b)

    step = Running(backend, traced_step(function))
    a, b, c = map(np.array, start)
    for _ in range(3):
        step()
        a, b, c = (own * 0.95 - 0.5 * other for own, other in ((a, b), (b, c), (c, a)))
        np.testing.assert_allclose(step.results()[0], a + b, rtol=1e-12)
        assert_values(step, {"weight0": a, "weight1": b, "weight2": c})


ALIASES: dict[str, Callable[[Variable], Any]] = {
    "itself": lambda weight: weight,
    "reshape": lambda weight: ops.reshape(ops.stop_gradient(ops.reshape(weight, (6,))), (2, 3)),
    "transpose": lambda weight: ops.transpose(ops.stop_gradient(ops.transpose(weight))),
    "cast": lambda weight: ops.cast(weight, "float64"),
    "stop_gradient": ops.stop_gradient,
    "cond": lambda weight: ops.cond(
        ops.greater(ops.sum(weight), -1e9),
        lambda: ops.reshape(weight, (2, 3)),
        lambda: ops.zeros((2, 3), "float64"),
    ),
    "split": lambda weight: ops.concatenate(ops.split(weight, 2), 0),
    "slice": lambda weight: ops.strided_slice(weight, (0, 0), (2, 3)),
    "while_loop": lambda weight: ops.while_loop(
        lambda i, w: ops.less(i, 0), lambda i, w: (ops.add(i, 1), ops.multiply(w, 2.0)), (0, weight)
    )[1],
}


@pytest.mark.parametrize("inside", [False, True], ids=["outside", "inside"])
@pytest.mark.parametrize("name", ALIASES)
def test_an_alias_of_a_weight_does_not_train_along(backend: str, name: str, inside: bool) -> None:
    """What is set to a weight, by an operation that may give its memory, stays as it was when the weight moves."""
    weight = variable("weight", np.arange(6.0).reshape(2, 3))
    kept = variable("kept", np.zeros((2, 3)), trainable=False)
    optimizer = Rule(*RULES["momentum"], learning_rate=0.25)

    def function() -> Any:
        def loss_of() -> Any:
            if inside:
                update(kept, ALIASES[name](weight))
            return ops.sum(ops.square(weight))

        if not inside:
            update(kept, ALIASES[name](weight))
        _, gradients = value_and_grad(loss_of, wrt=[weight])()
        optimizer.apply(gradients, [weight])
        return ALIASES[name](weight)

    step = Running(backend, traced_step(function))
    before = weight.numpy()
    for _ in range(3):
        step()
        found = step.values()
        np.testing.assert_allclose(found["kept"], before, rtol=1e-12)
        assert not np.array_equal(found["weight"], before)
        np.testing.assert_array_equal(step.results()[0], found["weight"])
        before = found["weight"]


def test_an_update_in_the_forward_pass_comes_before_the_optimizers(backend: str) -> None:
    """The weight is halved, the loss is that of the half, and its gradient moves the half."""
    weight = variable("weight", [8.0])

    def function() -> Any:
        def loss_of() -> Any:
            update(weight, ops.multiply(weight, 0.5))
            return ops.sum(ops.square(weight))

        loss, gradients = value_and_grad(loss_of, wrt=[weight])()
        Rule(SGD, learning_rate=0.25).apply(gradients, [weight])
        return loss, *gradients

    step = Running(backend, traced_step(function))
    step()
    # d(w/2)²/dw = w/2, by the weight as it was before
    assert [result.item() for result in step.results()] == [16.0, 4.0]
    assert step.values()["weight"].item() == 4.0 - 0.25 * 4.0
    step.run([], np.zeros((1, 0), np.int32))
    assert step.values()["weight"].item() == 1.5 - 0.25 * 1.5


def by_place(gradient: Any) -> Any:
    """The gradient times a number of its own for each of its elements."""
    return ops.multiply(gradient, np.arange(float(np.prod(gradient.shape))).reshape(gradient.shape))


CHANGES: dict[str, Callable[[Any], Any]] = {
    "norm": lambda gradient: ops.divide(gradient, ops.sqrt(ops.sum(ops.square(gradient)))),
    "by place": by_place,
    "by axis": lambda gradient: ops.multiply(gradient, ops.sum(gradient, 0, keepdims=True)),
    "by row": lambda gradient: ops.multiply(gradient, np.arange(float(gradient.shape[-1]))),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_step_sees_gradients_as_keras_lays_them_out(backend: str, name: str) -> None:
    """Whatever the layouts of kernels: a convolution's and a GRU's are others in PyTorch."""
    rng = np.random.default_rng(6)
    shapes = ((2, 3, 4, 5), (5, 6), (2, 6))
    kernels = [variable(f"kernel{i}", rng.normal(size=shape)) for i, shape in enumerate(shapes)]
    data = rng.normal(size=(2, 5, 7, 4))

    def loss_of(x: Any) -> Any:
        image, kernel, recurrent = kernels
        steps = ops.reshape(ops.conv(x, image), (2, 20, 5))
        return ops.sum(ops.square(ops.gru(steps, kernel, recurrent)[0]))

    def function(x: Any) -> Any:
        loss, gradients = value_and_grad(loss_of, wrt=kernels)(x)
        Rule(SGD, learning_rate=1.0).apply([CHANGES[name](g) for g in gradients], kernels)
        return loss, *gradients

    step = Running(backend, traced_step(function, x=TensorType(float64, data.shape)))
    step(data)
    own = get_backend(backend)
    loss, gradients = value_and_grad(loss_of, wrt=kernels)(own.array(data))
    found = step.results()
    np.testing.assert_allclose(found[0], own.numpy(loss), rtol=1e-12)
    for kernel, gradient, result in zip(kernels, gradients, found[1:], strict=True):
        expected = own.numpy(gradient)
        np.testing.assert_allclose(result, expected, rtol=1e-9, atol=1e-12)
        change = get_backend("numpy").numpy(CHANGES[name](expected))
        np.testing.assert_allclose(step.values()[kernel.path], kernel.numpy() - change, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["sgd decayed", "nesterov", "adam", "rmsprop"])
def test_rules_of_16_bits_compute_in_32(backend: str, name: str, dtype: str) -> None:
    """The square of 1e-4 is zero in float16, and 0.999 is 1 in bfloat16."""
    spec, attributes, slots = RULES[name]
    kind = dtype_of(dtype)
    start = np.array([1.0, -2.0, 0.5])
    weight = Variable.at("weight", (3,), dtype, initial=start.astype(kind.numpy))
    gradient = np.array([1e-4, -3e-4, 2e-2]).astype(kind.numpy)

    def function(x: Any) -> Any:
        Rule(spec, attributes, slots, learning_rate=0.125).apply([x], [weight])

    step = Running(backend, traced_step(function, x=TensorType(kind, (3,))))
    step(gradient)
    wide = (weight.numpy().astype(np.float32), gradient.astype(np.float32))
    state = [np.zeros(3, np.float32)] * slots
    new = row_of(spec)(*wide, *state, np.int32(0), np.float32(0.125), **attributes)
    expected = new if isinstance(new, tuple) else (new,)
    paths = ["weight", *(f"weight/slot_{i}" for i in range(slots))]
    for path, value in zip(paths, expected, strict=True):
        np.testing.assert_allclose(
            step.values()[path].astype(np.float32),
            value.astype(kind.numpy).astype(np.float32),
            rtol=8e-3,
            atol=1e-7,
        )


def test_gradients_of_variables_and_of_unused_inputs(backend: str) -> None:
    own = get_backend(backend)
    builder = Builder("product")
    x, _ = (builder.input(name, TensorType(float64, (3,))) for name in ("x", "unused"))
    weight = builder.variable(variable("layer/weight", np.zeros(3)))
    graph = builder.graph([ops.sum(ops.multiply(x, weight))])
    program = own.value_and_grad(graph, ["unused", "layer/weight"])
    a, b, w = (np.arange(3.0) + i for i in range(3))
    results = program([own.array(a), own.array(b)], [own.array(w)])
    value, by_unused, by_weight = map(own.numpy, results)
    assert value == (a * w).sum()
    assert by_unused.tolist() == [0.0, 0.0, 0.0]
    assert by_weight.tolist() == a.tolist()


def test_an_unknown_name_to_differentiate_by_is_named(backend: str) -> None:
    builder = Builder("identity")
    graph = builder.graph([ops.sum(builder.input("x", TensorType(float64, (3,))))])
    with pytest.raises(UnknownName, match="Unknown input or variable 'z'. Known: x"):
        get_backend(backend).value_and_grad(graph, ["z"])
