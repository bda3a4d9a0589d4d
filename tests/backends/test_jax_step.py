"""What is JAX's own about steps: compiling, loops of steps, donated memory, the 64-bit flag; judged by optax too."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.backends.steps import BATCH, MLP, RULES, Rule, Running, assert_values, decreasing, traced
from unifront import ops
from unifront.dtypes import float32
from unifront.gradients import value_and_grad
from unifront.ir.types import TensorType
from unifront.weights import Variable

jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")
optax = pytest.importorskip("optax")

OPTIMIZERS = {
    "sgd": ("sgd", {}, lambda: optax.sgd(decreasing)),
    "sgd decayed": (
        "sgd decayed", {}, lambda: optax.chain(optax.add_decayed_weights(0.1), optax.sgd(decreasing)),
    ),
    "nesterov": (
        "nesterov", {"weight_decay": 0.0}, lambda: optax.sgd(0.05, momentum=0.9, nesterov=True),
    ),
    # optax adds epsilon after its bias correction; without one the two forms agree
    "adam": ("adam", {"epsilon": 0.0}, lambda: optax.adam(decreasing, eps=0.0)),
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_is_that_of_optax(name: str) -> None:
    rule, changed, optimizer = OPTIMIZERS[name]
    spec, attributes, slots = RULES[rule]
    net = MLP()
    rate = 0.05 if name == "nesterov" else decreasing
    own = Rule(spec, {**attributes, **changed}, slots, learning_rate=rate)
    step = Running("jax", net.step((own, range(5))))
    step.run([net.x, net.y], net.indices)

    def loss(params: Any, x: Any, y: Any) -> Any:
        k1, b1, k2, b2 = params
        logits = jax.nn.relu(x @ k1 + b1) @ k2 + b2
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    with jax.enable_x64(True):
        params = [jnp.asarray(weight.numpy()) for weight in net.weights]
        chain = optimizer()
        state = chain.init(params)
        for rows in net.indices:
            gradients = jax.grad(loss)(params, net.x[rows], net.y[rows])
            changes, state = chain.update(gradients, state, params)
            params = optax.apply_updates(params, changes)
    for weight, expected in zip(net.weights, params, strict=True):
        np.testing.assert_allclose(step.values()[weight.path], expected, rtol=1e-9, atol=1e-11)


def test_the_flag_of_the_user_stays_as_it_was() -> None:
    net = MLP()
    step = Running("jax", net.step((Rule(*RULES["sgd"]), range(5))))
    step.run([net.x, net.y], net.indices)
    assert step.step.state.variables[0].dtype == np.float64
    assert jnp.ones(()).dtype == np.float32


@contextmanager
def compiled() -> Iterator[list[str]]:
    """The names of the functions that JAX compiles meanwhile."""
    names: list[str] = []

    def listen(event: str, _: float, **details: Any) -> None:
        if event.endswith("/backend_compile_duration"):
            names.append(details["fun_name"])

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield names
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def mlp() -> tuple[MLP, Running]:
    net = MLP()
    return net, Running("jax", net.step((Rule(*RULES["adam"], learning_rate=decreasing), range(5))))


@pytest.mark.parametrize(("block", "gathered"), [(4, 2**25), (5, 2**25), (4, 0), (50, 2**25)])
def test_blocks_of_any_size_are_the_same(block: int, gathered: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from unifront_jax import step as module

    monkeypatch.setattr(module, "POLICY", replace(module.POLICY, block=block, gathered=gathered))
    net, step = mlp()
    step.run([net.x, net.y], net.indices)
    assert_values(step, net.by_hand(RULES["adam"], net.indices, decreasing)[0])
    functions = step.step._functions
    looped = block <= len(net.indices) and gathered > 0
    assert functions.block._cache_size() == looped
    assert functions.step._cache_size() == (not looped or len(net.indices) % block != 0)


def test_steps_compile_once_however_much_data_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from unifront_jax import step as module

    monkeypatch.setattr(module, "POLICY", replace(module.POLICY, block=5))
    net, step = mlp()
    with compiled() as names:
        # One more of each kind each time: blocks of five, and the two that are left.
        for rows in (40, 39, 20, 8):
            step.run([net.x[:rows], net.y[:rows]], net.indices % rows)
            assert names.count("jit(step)") == names.count("jit(block)") == 1
        for _ in range(3):
            step(net.x[:8], net.y[:8])  # a batch that is on the device is no other program
        assert names.count("jit(step)") == 1
        step(net.x[:7], net.y[:7])
        assert names.count("jit(step)") == 2  # another size of the batch is


def test_fit_compiles_once_for_any_number_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    import unifront as uf
    from unifront_jax import step as module

    monkeypatch.setattr(module, "POLICY", replace(module.POLICY, block=5))
    model = uf.Sequential([uf.Input((3,)), uf.layers.Dense(1)])
    model.compile("adam", "mse")
    with compiled() as names:
        # More and fewer batches than `fit` hands over at a time, and some that are left.
        for rows in (800, 784, 808, 16):
            x, y = np.ones((rows, 3)), np.ones((rows, 1))
            model.fit(x, y, batch_size=8, epochs=2, verbose=0, backend="jax")
    assert names.count("jit(step)") == 1
    assert names.count("jit(block)") <= 1  # where steps take long, `fit` hands them over one by one


def test_a_plan_compiles_once_and_is_forgotten_with_its_last_user() -> None:
    from unifront_jax.step import _compiled

    gc.collect()
    before = len(_compiled)
    net = MLP()
    plan = net.step((Rule(*RULES["adam"]), range(5)))
    for _ in range(3):
        step = Running("jax", plan)
        step(net.x[:8], net.y[:8])
    assert step.step._functions.step._cache_size() == 1
    assert len(_compiled) == before + 1
    del plan, step
    gc.collect()
    assert len(_compiled) == before


@pytest.mark.parametrize("runs", [2, 40], ids=["steps", "blocks"])
def test_steps_hold_no_more_memory(runs: int) -> None:
    net, step = mlp()
    arrays = [step.native(net.x), step.native(net.y)]
    indices = np.resize(net.indices, (runs, 8))
    counters = [step.counters(ahead) for ahead in range(runs)]
    old = [step.step.state.variables[i] for i in step.plan.carry]
    step.step.run(arrays, indices, counters)
    assert all(array.is_deleted() for array in old)  # their memory is that of the new ones
    del old
    gc.collect()
    before = len(jax.live_arrays())
    for _ in range(5):
        step.step.run(arrays, indices, counters)
    gc.collect()
    assert len(jax.live_arrays()) <= before


@pytest.mark.parametrize("slow", [False, True])
def test_convolutions_do_not_run_inside_a_loop_on_the_cpu(slow: bool) -> None:
    from unifront_jax.policy import POLICY

    shape = (3, 2, 2) if slow else (2, 2)
    kernel = Variable.at("kernel", shape, "float32", initial=np.ones(shape, np.float32))

    def function(x: Any) -> Any:
        def loss_of() -> Any:
            y = ops.conv(x, kernel) if slow else ops.matmul(x, kernel)
            return ops.sum(y)

        loss, gradients = value_and_grad(loss_of, wrt=[kernel])()
        Rule(*RULES["sgd"]).apply(gradients, [kernel])
        return loss

    plan = traced(function, x=TensorType(float32, (BATCH, 8, 2))).plan
    assert POLICY.loops_well(plan.graph, "cpu") != slow  # the convolution stands in the body of its gradient
    assert POLICY.loops_well(plan.graph, "gpu")
