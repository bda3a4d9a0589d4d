"""What is TensorFlow's own about steps: variables updated in place, functions traced once, fused kernels."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest

from tests.backends.steps import BATCH, MLP, RULES, SIZE, Rule, Running, assert_values, decreasing
from unifront import ops
from unifront.backends import get_backend
from unifront.dtypes import float64
from unifront.ir.types import TensorType
from unifront.opset.optimize import ADAM_UPDATE, GROUPED
from unifront.opset.tensor import Builder

tf = pytest.importorskip("tensorflow")

BACKEND = get_backend("tensorflow")


def mlp() -> tuple[MLP, Running]:
    net = MLP()
    return net, Running("tensorflow", net.step((Rule(*RULES["adam"], learning_rate=decreasing), range(5))))


def test_variables_are_updated_in_place_whatever_is_put_in_their_stead() -> None:
    net, step = mlp()
    held = list(step.step.state.variables)
    assert all(isinstance(variable, tf.Variable) for variable in held)
    step(net.x[:8], net.y[:8])
    step.step.state = step.start()
    step.done = 0
    step.run([net.x, net.y], net.indices)
    assert all(one is other for one, other in zip(step.step.state.variables, held, strict=True))
    assert_values(step, net.by_hand(RULES["adam"], net.indices, decreasing)[0])


def test_a_program_reads_the_variables_that_a_step_leaves() -> None:
    net, step = mlp()
    builder = Builder("mlp")
    inputs = builder.input("x", TensorType(float64, (BATCH, SIZE)))
    kernel, bias = (builder.variable(weight) for weight in net.weights[:2])
    output = ops.sum(ops.square(ops.dense(inputs, kernel, bias)))
    program = BACKEND.value_and_grad(builder.graph([output]), ["b1", "x"])
    places = {variable.name: i for i, variable in enumerate(step.plan.graph.variables)}
    x = BACKEND.array(net.x)
    for _ in range(2):
        step(net.x, net.y)
        held = [step.step.state.variables[places[path]] for path in ("k1", "b1")]
        found = program([x], held)
        values = [tf.constant(value.numpy()) for value in held]
        for actual, expected in zip(found, program([x], values), strict=True):
            np.testing.assert_array_equal(actual, expected)
        product = net.x @ values[0].numpy() + values[1].numpy()
        np.testing.assert_allclose(found[1], 2 * product.sum(0), rtol=1e-12)


def test_a_plan_is_traced_once_for_as_long_as_it_lives() -> None:
    from unifront_tensorflow.step import _compiled

    gc.collect()
    before = len(_compiled)
    net = MLP()
    plan = net.step((Rule(*RULES["adam"]), range(5)))
    steps = [Running("tensorflow", plan) for _ in range(2)]
    for step in steps:
        step(net.x[:8], net.y[:8])
        step(net.x[:3], net.y[:3])  # of another size
    assert steps[0].step._functions is steps[1].step._functions
    assert_values(steps[0], steps[1].values())
    assert len(_compiled) == before + 1
    kept = weakref.ref(steps[0].step._functions)
    del plan, steps, step
    gc.collect()
    assert kept() is None
    assert len(_compiled) == before


def test_adam_in_float32_corrects_its_bias_as_well_as_in_float64() -> None:
    from unifront_tensorflow.lower.optimize import IN_PLACE
    from unifront_tensorflow.variables import Reference

    rng = np.random.default_rng(5)
    found = []
    start, grads = rng.normal(size=7), rng.normal(size=(3, 7))
    for dtype in (tf.float32, tf.float64):
        held = [tf.Variable(tf.cast(value, dtype)) for value in (start, 0 * start, 0 * start)]
        param, m, v = (Reference(one.handle, BACKEND.type_of(one)) for one in held)
        for iteration, grad in enumerate(grads):
            counters = (tf.constant(iteration), tf.constant(0.1, dtype))
            row, attributes = IN_PLACE[GROUPED[ADAM_UPDATE]], RULES["adam"][1]
            row(param, tf.cast(grad, dtype), m, v, *counters, count=1, **attributes)
        found.append(held[0].numpy())
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("act", ["step", "program"])
@pytest.mark.parametrize(
    ("size", "small", "alone"),
    [(3, 10**7, True), (3, 0, False), (None, 10**7, False)],
    ids=["small", "large", "loop"],
)
def test_one_thread_starts_the_kernels_of_what_is_small_and_has_no_loop(
    act: str, size: int | None, small: int, alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import unifront as uf
    from unifront_tensorflow import runtime, step

    x, y = np.ones((4, 5, 3), "float32"), np.ones((4, 2), "float32")

    def found() -> np.ndarray:
        first = uf.layers.Flatten() if size else uf.layers.SimpleRNN(2, activation="softsign")
        model = uf.Sequential([uf.Input((5, 3)), first, uf.layers.Dense(2)], name="small")
        for weight in model.weights:
            weight.assign(np.full(weight.shape, 0.1, "float32"))
        model.compile("adam", loss="mse")
        if act == "program":
            return np.asarray(model.predict(np.repeat(x, 5, 0), batch_size=4, backend="tensorflow"))
        return np.asarray([model.train_on_batch(x, y, backend="tensorflow") for _ in range(5)])

    def limit(patch: pytest.MonkeyPatch, small: int) -> None:
        for module in (step, runtime):
            patch.setattr(module, "POLICY", replace(step.POLICY, small=small))

    with monkeypatch.context() as patch:
        limit(patch, 0)
        expected = found()
    executors = []
    execute = runtime.execute.execute

    def watched(
        name: str, count: int, inputs: object, attributes: tuple[object, ...], where: object
    ) -> object:
        if act in name:
            executors.append(dict(zip(attributes[::2], attributes[1::2], strict=True))["executor_type"])
        return execute(name, count, inputs, attributes, where)

    monkeypatch.setattr(runtime.execute, "execute", watched)
    limit(monkeypatch, small)
    np.testing.assert_allclose(found(), expected, rtol=1e-6)
    assert executors == [("SINGLE_THREADED_EXECUTOR" if alone else "")] * 5
