"""Training that ends in the middle: the model has the weights of the last whole step, and goes on from there."""

from __future__ import annotations

import _thread
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.models import MODELS, TRAINABLE, cross_entropy
from unifront import layers

SIZE, STEPS, DONE = 8, 5, 3
"""Of five batches of eight examples, three are done when it happens."""
X, Y = MODELS["mlp"]("float64")[1]
BATCHES = [(X[i : i + SIZE], Y[i : i + SIZE]) for i in range(0, len(X), SIZE)]


class Trouble(Exception):
    pass


def compiled(rate: Any = 0.01) -> uf.Model:
    uf.set_seed(1)
    model, _ = MODELS["mlp"]("float64")
    model.compile(uf.optimizers.Adam(rate), cross_entropy())
    return model


def state(model: uf.Model) -> list[np.ndarray]:
    """Weights and slots, without the optimizer's rate: a schedule has none."""
    own = [one for one in model.optimizer.variables if not one.path.endswith("/learning_rate")]
    return [*model.get_weights(), *(one.numpy() for one in own)]


def assert_same(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


class During(uf.callbacks.Callback):
    """Does something after the third step."""

    def __init__(self, action: Callable[[], Any]) -> None:
        self.action = action

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch == DONE - 1:
            self.action()


def fail(error: type[BaseException] = Trouble) -> None:
    raise error("on purpose")


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def in_callback(action: Callable[[], Any]) -> tuple[uf.Model, Any, dict[str, Any]]:
    return compiled(), (X, Y), {"callbacks": During(action)}


def in_generator(action: Callable[[], Any]) -> tuple[uf.Model, Any, dict[str, Any]]:
    def batches() -> Iterator[Any]:
        yield from BATCHES[:DONE]
        action()

    return compiled(), (batches(),), {}


def in_step(action: Callable[[], Any]) -> tuple[uf.Model, Any, dict[str, Any]]:
    """The schedule is asked within the step."""

    def rate(step: int) -> float:
        if step == DONE - 1 and not done:
            done.append(step)
            action()
        return 0.01

    done: list[int] = []
    return compiled(rate), (X, Y), {}


WAYS = {
    "callback_fails": (in_callback, fail, Trouble),
    "interrupt_of_a_callback": (in_callback, interrupt, KeyboardInterrupt),
    "generator_fails": (in_generator, fail, Trouble),
    "interrupt_of_a_generator": (in_generator, interrupt, KeyboardInterrupt),
    "interrupt_within_a_step": (in_step, interrupt, KeyboardInterrupt),
}


@pytest.mark.parametrize("backend", TRAINABLE)
@pytest.mark.parametrize("way", WAYS)
def test_whole_steps_remain_and_training_goes_on(way: str, backend: str) -> None:
    make, action, error = WAYS[way]
    options = {"batch_size": SIZE, "shuffle": False, "verbose": 1, "backend": backend}
    judge = compiled()
    judge.fit(iter(BATCHES[:DONE]), **options)
    model, arrays, more = make(action)
    with pytest.raises(error):
        model.fit(*arrays, **options, **more)
    assert model.optimizer.iterations == DONE
    assert_same(state(model), state(judge))
    for one in (model, judge):
        one.fit(iter(BATCHES[DONE:]), **options)
    assert model.optimizer.iterations == STEPS
    assert_same(state(model), state(judge))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("backend", TRAINABLE)
def test_a_step_that_fails_is_not_counted(backend: str) -> None:
    model, arrays, more = in_step(fail)
    with pytest.raises(Trouble):
        model.fit(*arrays, batch_size=SIZE, shuffle=False, verbose=0, backend=backend, **more)
    judge = compiled()
    judge.fit(iter(BATCHES[: DONE - 1]), verbose=0, backend=backend)
    assert model.optimizer.iterations == DONE - 1
    assert_same(state(model), state(judge))


def test_a_second_interrupt_does_not_wait() -> None:
    model, arrays, more = in_step(lambda: (interrupt(), interrupt()))
    with pytest.raises(KeyboardInterrupt):
        model.fit(*arrays, batch_size=SIZE, verbose=0, backend=TRAINABLE[0], **more)
    assert model.optimizer.iterations == DONE - 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_the_users_is_called_after_the_step() -> None:
    model, arrays, more = in_step(interrupt)
    seen: list[int] = []
    before = signal.signal(signal.SIGINT, lambda *_: seen.append(model.optimizer.iterations))
    try:
        model.fit(*arrays, batch_size=SIZE, verbose=0, backend=TRAINABLE[0], **more)
        assert len(seen) == 1
        assert signal.getsignal(signal.SIGINT) is not before
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [DONE]
    assert model.optimizer.iterations == STEPS


@pytest.mark.parametrize("backend", TRAINABLE)
def test_interrupts_at_any_moment(backend: str) -> None:
    """Every step takes the same from every weight, so that the weights say how many steps were done."""
    x = uf.Input((3,), dtype="float64")
    model = uf.Model(x, layers.Dense(1, use_bias=False)(x))
    start = model.get_weights()[0]
    model.compile(uf.optimizers.SGD(2**-20), lambda true, predicted: uf.ops.mean(predicted, axis=-1))
    data = {"x": np.ones((64, 3)), "y": np.ones(64), "batch_size": 2, "verbose": 0, "backend": backend}
    model.fit(**data)
    steps = [model.optimizer.iterations]
    for delay in np.random.default_rng(0).uniform(0.05, 0.15, 10):
        timer = threading.Timer(delay, _thread.interrupt_main)
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            model.fit(epochs=10**6, **data)
        timer.join()
        steps.append(model.optimizer.iterations)
        np.testing.assert_allclose(model.get_weights()[0], start - steps[-1] * 2**-20, rtol=0, atol=1e-12)
    assert steps == sorted(steps)
    assert steps[-1] > steps[0]
