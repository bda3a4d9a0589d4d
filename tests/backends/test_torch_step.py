"""What is PyTorch's own about steps: memory, layouts in memory, modes and threads."""

from __future__ import annotations

import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.backends.steps import MLP, RULES, Rule, Running, assert_values, decreasing
from unifront import ops
from unifront.backends import HostKey
from unifront.errors import ArgumentError

torch = pytest.importorskip("torch")


def mlp(name: str = "adam") -> tuple[MLP, Running]:
    net = MLP()
    return net, Running("torch", net.step((Rule(*RULES[name], learning_rate=decreasing), range(5))))


def test_what_a_rule_updates_is_overwritten() -> None:
    net, step = mlp()
    step.run([net.x, net.y], net.indices[:1])
    state = step.step.state
    updated = [i for positions in step.step._made.in_place for i in positions]
    assert len(updated) == 3 * len(net.weights)
    before = [value.data_ptr() for value in state.variables]
    step.run([net.x, net.y], net.indices[1:])
    assert [state.variables[i].data_ptr() for i in updated] == [before[i] for i in updated]
    assert not any(value.requires_grad or value.grad_fn for value in (*state.variables, *state.results))


def test_steps_leave_nothing_behind() -> None:
    net, step = mlp()
    arrays = [torch.from_numpy(net.x), torch.from_numpy(net.y)]
    counters = [step.counters(ahead) for ahead in range(len(net.indices))]

    def alive() -> int:
        return sum(issubclass(type(found), torch.Tensor) for found in gc.get_objects())

    step.step.run(arrays, net.indices, counters)
    gc.collect()
    gc.disable()  # not even a reference cycle, which would keep device memory until Python looks for cycles
    try:
        before = alive()
        for _ in range(4):
            step.step.run(arrays, net.indices, counters)
        assert alive() == before
    finally:
        gc.enable()


MOVES: list[Callable[[Any], Any]] = [
    lambda a: a.t().contiguous().t(),
    lambda a: a.expand(a.shape),
    torch.clone,
]


@pytest.mark.parametrize("move", MOVES)
def test_kernels_see_gradients_in_the_layout_of_their_parameter(move: Callable[[Any], Any]) -> None:
    from unifront_torch.lower.optimize import like

    param, grad = torch.zeros(4, 3), torch.randn(4, 3)
    found = like(param, move(grad))
    assert found.stride() == param.stride()
    assert torch.equal(found, grad)
    assert like(torch.zeros(4, 1), torch.zeros(1, 4).t()).stride() == (1, 1)


def test_values_of_any_strides_train() -> None:
    net, step = mlp("adamw")
    places = {variable.name: i for i, variable in enumerate(step.plan.graph.variables)}
    variables = step.step.state.variables
    for path in ("k1", "k2/slot_0"):
        variables[places[path]] = variables[places[path]].t().contiguous().t()
    variables[places["b1/slot_1"]] = torch.zeros((), dtype=torch.float64).expand(5)
    step.run([net.x, net.y], net.indices)
    assert_values(step, net.by_hand(RULES["adamw"], net.indices, decreasing)[0])


@pytest.mark.parametrize(("mode", "trains"), [(torch.no_grad, True), (torch.inference_mode, False)])
def test_it_trains_or_says_why_not(mode: Callable[[], Any], trains: bool) -> None:
    with mode():
        net, step = mlp("sgd")
        if trains:
            step(net.x[:8], net.y[:8])
        else:
            with pytest.raises(ArgumentError, match=r"no gradients inside torch\.inference_mode"):
                step(net.x[:8], net.y[:8])
    assert np.array_equal(step.values()["k1"], net.weights[0].numpy()) != trains


def test_threads_draw_apart() -> None:
    x, keys = torch.ones(20_000), [HostKey(number) for number in range(8)]

    def drawn(key: HostKey) -> Any:
        return torch.stack([ops.dropout(x, key.fold_in(i), rate=0.5) for i in range(20)])

    expected = [drawn(key) for key in keys]
    with ThreadPoolExecutor(4) as pool:
        assert all(map(torch.equal, pool.map(drawn, keys), expected))


@pytest.mark.parametrize("scale", [True, False])
def test_a_group_norm_of_the_input_itself_trains(scale: bool) -> None:
    """Its gradient by the weights alone ended the process where the channels are last."""
    start = uf.Input((3, 3, 4, 2))
    normalized = uf.layers.GroupNormalization(2, scale=scale)(start)
    model = uf.Model(start, uf.layers.Dense(1)(uf.layers.Flatten()(normalized)))
    model.compile("sgd", "mse")
    x, y = np.random.default_rng(0).normal(size=(4, 3, 3, 4, 2)).astype("float32"), np.ones((4, 1))
    before = model.get_weights()
    losses = [
        model.fit(x, y, verbose=0, backend=name, epochs=2).history["loss"]
        for name in ("torch", "jax")
        if model.set_weights(before) is None
    ]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
