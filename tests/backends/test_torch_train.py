"""The training step of the PyTorch backend, judged by hand-written PyTorch with the same numbers."""

from __future__ import annotations

import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from unifront import ops
from unifront.backends import HostKey, TrainPlan, TrainState, UpdateGroup, get_backend
from unifront.dtypes import float64, int64
from unifront.dtypes import key as key_dtype
from unifront.errors import ArgumentError
from unifront.ir.emit import storage_of
from unifront.ir.types import TensorType
from unifront.opset import optimize
from unifront.opset.spec import OpSpec
from unifront.opset.tensor import Builder
from unifront.reference import row_of
from unifront.train.optimizers import clip
from unifront.weights import Variable

torch = pytest.importorskip("torch")

BATCH, SIZE, CLASSES = 8, 6, 3
RULES: dict[str, tuple[OpSpec, dict[str, Any], int]] = {
    "sgd": (optimize.SGD_UPDATE, {"weight_decay": 0.0}, 0),
    "sgd decayed": (optimize.SGD_UPDATE, {"weight_decay": 0.1}, 0),
    "momentum": (optimize.MOMENTUM_UPDATE, {"momentum": 0.9, "nesterov": False, "weight_decay": 0.0}, 1),
    "nesterov": (optimize.MOMENTUM_UPDATE, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}, 1),
    "adam": (optimize.ADAM_UPDATE, {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "weight_decay": 0.0}, 2),
    "adamw": (optimize.ADAM_UPDATE, {"beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-3, "weight_decay": 0.1}, 2),
    "rmsprop": (optimize.RMSPROP_UPDATE, {"rho": 0.9, "epsilon": 1e-7, "weight_decay": 0.01}, 1),
    "adagrad": (optimize.ADAGRAD_UPDATE, {"epsilon": 1e-7, "weight_decay": 0.01}, 1),
    "lion": (optimize.LION_UPDATE, {"beta_1": 0.9, "beta_2": 0.99, "weight_decay": 0.01}, 1),
}
ADAM = RULES["adam"]


def weights(rng: np.random.Generator) -> list[Variable]:
    def variable(path: str, *shape: int, trainable: bool = True) -> Variable:
        return Variable(path, shape, "float64", initial=rng.normal(size=shape), trainable=trainable)

    return [
        variable("one/kernel", SIZE, 5), variable("one/bias", 5), variable("two/kernel", 5, CLASSES),
        variable("two/bias", CLASSES), variable("unused", 2), variable("norm/mean", SIZE, trainable=False),
    ]  # fmt: skip


def plan_of(
    variables: list[Variable], rule: tuple[OpSpec, dict[str, Any], int], clip: bool = False
) -> TrainPlan:
    """An MLP with a running mean of its input; its totals are the sum of the losses and the count."""
    builder = Builder("mlp")
    x = builder.input("x", TensorType(float64, (BATCH, SIZE)))
    y = builder.input("y", TensorType(int64, (BATCH,)))
    builder.input("key", TensorType(key_dtype))
    totals = builder.input("totals", TensorType(float64, (2,)))
    k1, b1, k2, b2, _, mean = (builder.variable(variable) for variable in variables)
    hidden = ops.relu(ops.dense(x, k1, b1))
    losses = ops.sparse_softmax_cross_entropy(ops.dense(hidden, k2, b2), y)
    loss = ops.divide(ops.sum(losses), float(BATCH))
    new_totals = ops.add(totals, ops.stack([loss, 1.0]))
    moved = ops.add(ops.multiply(mean, 0.9), ops.multiply(ops.sum(x, 0), 0.1 / BATCH))
    graph = builder.graph([loss, new_totals, moved])
    spec, attributes, slots = rule
    transform = None
    if clip:
        clipper = Builder("clip")
        inputs = [clipper.input(f"g{i}", v.type) for i, v in enumerate(variables[:5])]
        transform = clipper.graph([ops.multiply(g, 0.5) for g in inputs])
    return TrainPlan(graph, (5,), (UpdateGroup(spec, attributes, (0, 1, 2, 3, 4), slots),), transform)


def state_of(plan: TrainPlan, variables: list[Variable], slots: int) -> TrainState:
    backend = get_backend("torch")
    layouts = storage_of(plan.graph, backend.rows("cpu").storage)

    def native(value: np.ndarray, i: int) -> Any:
        array = backend.array(value, "cpu")
        layout = layouts[i]
        return layout.to_native(array) if layout else array

    values = [native(variable.numpy(), i) for i, variable in enumerate(variables)]
    zeros = [tuple(native(np.zeros(variables[i].shape), i) for _ in range(slots)) for i in range(5)]
    return TrainState(values, zeros, backend.array(np.zeros(2), "cpu"), HostKey(0))


def values_of(plan: TrainPlan, state: TrainState) -> list[np.ndarray]:
    backend = get_backend("torch")
    layouts = storage_of(plan.graph, backend.rows("cpu").storage)
    return [
        backend.numpy(layout.from_native(value) if layout else value)
        for value, layout in zip(state.variables, layouts, strict=True)
    ]


def data(rng: np.random.Generator) -> tuple[Any, Any]:
    return torch.from_numpy(rng.normal(size=(40, SIZE))), torch.from_numpy(rng.integers(CLASSES, size=40))


def by_hand(
    variables: list[Variable], x: Any, y: Any, indices: Any, rates: list[float],
    rule: tuple[OpSpec, dict[str, Any], int], factor: float = 1.0,
) -> tuple[list[np.ndarray], list[float]]:  # fmt: skip
    """The same in plain PyTorch, the update by the NumPy reference of the rule."""
    spec, attributes, slots = rule
    values = [torch.from_numpy(variable.numpy()) for variable in variables]
    state = [[np.zeros(value.shape) for _ in range(slots)] for value in values]
    losses = []
    for iteration, (rows, rate) in enumerate(zip(indices, rates, strict=True)):
        leaves = [value.clone().requires_grad_() for value in values[:5]]
        hidden = torch.relu(x[rows] @ leaves[0] + leaves[1])
        loss = torch.nn.functional.cross_entropy(hidden @ leaves[2] + leaves[3], y[rows])
        (loss + 0 * leaves[4].sum()).backward()
        losses.append(loss.item())
        for i, leaf in enumerate(leaves):
            grad = leaf.grad.numpy() * factor
            new = row_of(spec)(
                values[i].numpy(), grad, *state[i], np.int64(iteration), np.float64(rate), **attributes
            )
            new, *state[i] = new if isinstance(new, tuple) else (new,)
            values[i] = torch.from_numpy(np.asarray(new))
        values[5] = values[5] * 0.9 + x[rows].mean(0) * 0.1
    return [value.numpy() for value in values], losses


def assert_same(actual: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_a_trajectory_is_that_of_plain_torch(rule: tuple[OpSpec, dict[str, Any], int]) -> None:
    rng = np.random.default_rng(0)
    variables, (x, y) = weights(rng), data(rng)
    indices = torch.from_numpy(rng.integers(40, size=(12, BATCH)))
    rates = [0.01 / (1 + 0.1 * i) for i in range(12)]
    plan = plan_of(variables, rule)
    step = get_backend("torch").train_step(plan, state_of(plan, variables, rule[2]), "cpu")
    step.run([x, y], indices, rates)
    expected, losses = by_hand(variables, x, y, indices, rates, rule)
    assert_same(values_of(plan, step.state), expected)
    np.testing.assert_allclose(step.state.totals.numpy(), [sum(losses), 12.0], rtol=1e-12)
    assert step.state.iteration == 12
    assert not any(value.requires_grad for value in step.state.variables)


def test_a_step_on_a_batch_is_a_run_of_one() -> None:
    rng = np.random.default_rng(1)
    variables, (x, y) = weights(rng), data(rng)
    plan = plan_of(variables, ADAM)
    indices = torch.from_numpy(rng.integers(40, size=(3, BATCH)))
    one, other = (
        get_backend("torch").train_step(plan, state_of(plan, variables, 2), "cpu") for _ in range(2)
    )
    one.run([x, y], indices, [0.01] * 3)
    for rows in indices:
        other([x[rows], y[rows]], 0.01)
    assert_same(values_of(plan, one.state), values_of(plan, other.state))


def test_gradients_go_through_the_transform() -> None:
    rng = np.random.default_rng(2)
    variables, (x, y) = weights(rng), data(rng)
    plan = plan_of(variables, RULES["momentum"], clip=True)
    indices = torch.from_numpy(rng.integers(40, size=(5, BATCH)))
    step = get_backend("torch").train_step(plan, state_of(plan, variables, 1), "cpu")
    step.run([x, y], indices, [0.01] * 5)
    expected, _ = by_hand(variables, x, y, indices, [0.01] * 5, RULES["momentum"], factor=0.5)
    assert_same(values_of(plan, step.state), expected)


@pytest.mark.parametrize("name", ["adamw", "nesterov"])
def test_a_rule_without_a_row_runs_as_its_decomposition(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = RULES[name]
    monkeypatch.setattr("unifront_torch.train.MULTI_TENSOR", {})
    rng = np.random.default_rng(3)
    variables, (x, y) = weights(rng), data(rng)
    plan = plan_of(variables, rule)
    indices = torch.from_numpy(rng.integers(40, size=(5, BATCH)))
    step = get_backend("torch").train_step(plan, state_of(plan, variables, rule[2]), "cpu")
    step.run([x, y], indices, [0.01] * 5)
    expected, _ = by_hand(variables, x, y, indices, [0.01] * 5, rule)
    assert_same(values_of(plan, step.state), expected)


def test_values_put_into_the_state_are_taken_up() -> None:
    rng = np.random.default_rng(4)
    variables, (x, y) = weights(rng), data(rng)
    plan = plan_of(variables, ADAM)
    indices = torch.from_numpy(rng.integers(40, size=(4, BATCH)))
    step = get_backend("torch").train_step(plan, state_of(plan, variables, 2), "cpu")
    step.run([x, y], indices, [0.01] * 4)
    step.state = state_of(plan, variables, 2)
    step.run([x, y], indices, [0.01] * 4)
    expected, _ = by_hand(variables, x, y, indices, [0.01] * 4, ADAM)
    assert_same(values_of(plan, step.state), expected)
    step.state.variables[:] = state_of(plan, variables, 2).variables
    step.state.slots[:] = state_of(plan, variables, 2).slots
    step.state.iteration = 0
    step.run([x, y], indices, [0.01] * 4)
    assert_same(values_of(plan, step.state), expected)


def test_a_variable_set_to_a_weight_keeps_the_value_it_was_given() -> None:
    builder = Builder("snapshot")
    builder.input("key", TensorType(key_dtype))
    totals = builder.input("totals", TensorType(float64, (1,)))
    weight = builder.variable(Variable("weight", (3,), "float64", initial=np.ones(3)))
    builder.variable(Variable("snapshot", (3,), "float64", initial=np.zeros(3), trainable=False))
    graph = builder.graph([ops.sum(ops.square(weight)), totals, ops.stop_gradient(weight)])
    spec, attributes, _ = RULES["sgd"]
    plan = TrainPlan(graph, (1,), (UpdateGroup(spec, attributes, (0,), 0),))
    values = [torch.ones(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)]
    state = TrainState(values, [()], torch.zeros(1, dtype=torch.float64), HostKey(0))
    step = get_backend("torch").train_step(plan, state, "cpu")
    step([], 0.25)
    assert [value.tolist() for value in step.state.variables] == [[0.5] * 3, [1.0] * 3]


def test_steps_leave_nothing_behind() -> None:
    rng = np.random.default_rng(5)
    variables, (x, y) = weights(rng), data(rng)
    plan = plan_of(variables, ADAM)
    step = get_backend("torch").train_step(plan, state_of(plan, variables, 2), "cpu")
    indices = torch.from_numpy(rng.integers(40, size=(5, BATCH)))

    def alive() -> int:
        return sum(issubclass(type(found), torch.Tensor) for found in gc.get_objects())

    step.run([x, y], indices, [0.01] * 5)
    gc.collect()
    gc.disable()  # not even a reference cycle, which would keep device memory until Python looks for cycles
    try:
        before = alive()
        for _ in range(4):
            step.run([x, y], indices, [0.01] * 5)
        assert alive() == before
    finally:
        gc.enable()
    assert step.state.totals.grad_fn is None
    assert all(value.grad_fn is None for value in step.state.variables)


def test_gradients_of_variables_and_of_unused_inputs() -> None:
    builder = Builder("product")
    x, _ = (builder.input(name, TensorType(float64, (3,))) for name in ("x", "unused"))
    weight = builder.variable(Variable("layer/weight", (3,), "float64", initial=np.zeros(3)))
    graph = builder.graph([ops.sum(ops.multiply(x, weight))])
    backend = get_backend("torch")
    program = backend.value_and_grad(graph, ["unused", "layer/weight"], "cpu")
    a, b, w = (torch.arange(3, dtype=torch.float64) + i for i in range(3))
    value, by_unused, by_weight = program([a, b], [w])
    assert value.item() == (a * w).sum().item()
    assert by_unused.tolist() == [0.0, 0.0, 0.0]
    assert by_weight.tolist() == a.tolist()
    assert not any(one.requires_grad for one in (w, value, by_weight))


def test_an_unknown_name_to_differentiate_by_is_named() -> None:
    builder = Builder("identity")
    graph = builder.graph([ops.sum(builder.input("x", TensorType(float64, (3,))))])
    with pytest.raises(ValueError, match="no input or variable 'z' to differentiate by; it has x"):
        get_backend("torch").value_and_grad(graph, ["z"], "cpu")


MOVES: list[Callable[[Any], Any]] = [
    lambda a: a.t().contiguous().t(),
    lambda a: a.expand(a.shape),
    torch.clone,
]


@pytest.mark.parametrize("move", MOVES)
def test_kernels_see_gradients_in_the_layout_of_their_parameter(move: Callable[[Any], Any]) -> None:
    from unifront_torch.train import _like

    param, grad = torch.zeros(4, 3), torch.randn(4, 3)
    found = _like(param, move(grad))
    assert found.stride() == param.stride()
    assert torch.equal(found, grad)
    assert _like(torch.zeros(4, 1), torch.zeros(1, 4).t()).stride() == (1, 1)


def test_threads_draw_apart() -> None:
    x, keys = torch.ones(20_000), [HostKey(number) for number in range(8)]

    def drawn(key: HostKey) -> Any:
        return torch.stack([ops.dropout(x, key.fold_in(i), rate=0.5) for i in range(20)])

    expected = [drawn(key) for key in keys]
    with ThreadPoolExecutor(4) as pool:
        assert all(map(torch.equal, pool.map(drawn, keys), expected))


def by_place(gradient: Any) -> Any:
    """The gradient times a number of its own for each of its elements."""
    shape = gradient.type.shape
    return ops.multiply(gradient, np.arange(np.prod(shape), dtype="float64").reshape(shape))


TRANSFORMS: dict[str, Callable[[list[Any]], list[Any]]] = {
    "value": lambda gradients: clip(gradients, ("clipvalue", 1e-3)),
    "norm": lambda gradients: clip(gradients, ("clipnorm", 1e-3)),
    "global norm": lambda gradients: clip(gradients, ("global_clipnorm", 1e-3)),
    "by place": lambda gradients: [by_place(gradient) for gradient in gradients],
    "by axis": lambda gradients: [ops.multiply(g, ops.sum(g, 0, keepdims=True)) for g in gradients],
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_transform_sees_gradients_as_keras_lays_them_out(name: str) -> None:
    """Whatever the layouts of kernels: a convolution's and a GRU's are others in PyTorch."""
    rng = np.random.default_rng(6)
    shapes = ((2, 3, 4, 5), (5, 6), (2, 6))
    kernels = [Variable(f"v{i}", s, "float64", initial=rng.normal(size=s)) for i, s in enumerate(shapes)]
    builder = Builder("layouts")
    x = builder.input("x", TensorType(float64, (2, 5, 7, 4)))
    builder.input("key", TensorType(key_dtype))
    totals = builder.input("totals", TensorType(float64, (1,)))
    image, kernel, recurrent = (builder.variable(variable) for variable in kernels)
    steps = ops.reshape(ops.conv(x, image), (2, 20, 5))
    loss = ops.sum(ops.square(ops.gru(steps, kernel, recurrent)[0]))
    graph = builder.graph([loss, totals])
    clipper = Builder("transform")
    inputs = [clipper.input(f"g{i}", variable.type) for i, variable in enumerate(kernels)]
    transform = clipper.graph(TRANSFORMS[name](inputs))
    spec, attributes, _ = RULES["sgd"]
    plan = TrainPlan(graph, (), (UpdateGroup(spec, attributes, (0, 1, 2), 0),), transform)
    backend = get_backend("torch")
    data = backend.array(rng.normal(size=(2, 5, 7, 4)), "cpu")
    gradients = backend.value_and_grad(graph, [variable.path for variable in kernels], "cpu")
    layouts = gradients.storage
    values = [
        layout.to_native(backend.array(v.numpy(), "cpu")) for v, layout in zip(kernels, layouts, strict=True)
    ]
    none = backend.array(np.zeros(1), "cpu")
    found = gradients([data, HostKey(0), none], values)[2:]
    wanted = backend.compile(transform, "cpu")(
        [layout.from_native(gradient) for layout, gradient in zip(layouts, found, strict=True)], []
    )
    step = backend.train_step(plan, TrainState(list(values), [()] * 3, none, HostKey(0)), "cpu")
    step([data], 1.0)
    after = [layout.from_native(v).numpy() for v, layout in zip(step.state.variables, layouts, strict=True)]
    assert_same(after, [v.numpy() - change.numpy() for v, change in zip(kernels, wanted, strict=True)])


@pytest.mark.parametrize(("mode", "trains"), [(torch.no_grad, True), (torch.inference_mode, False)])
def test_it_trains_or_says_why_not(mode: Callable[[], Any], trains: bool) -> None:
    rng = np.random.default_rng(7)
    variables, (x, y) = weights(rng), data(rng)
    plan = plan_of(variables, RULES["sgd"])
    with mode():
        step = get_backend("torch").train_step(plan, state_of(plan, variables, 0), "cpu")
        if trains:
            step([x[:BATCH], y[:BATCH]], 0.1)
        else:
            with pytest.raises(ArgumentError, match=r"no gradients inside torch\.inference_mode"):
                step([x[:BATCH], y[:BATCH]], 0.1)
    moved = not np.array_equal(values_of(plan, step.state)[0], variables[0].numpy())
    assert moved == trains
