"""Threads that use a model while `fit` runs: they see whole steps, and `fit` does not see them."""

from __future__ import annotations

import copy
import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.layers.judge import BACKENDS
from unifront import layers
from unifront.errors import ArgumentError

WIDTH, ROWS, BATCH = 3, 64, 4
STEPS = ROWS // BATCH
RATE = 2.0**-20
"""What each step takes from each weight, whatever the weights are: sums of it are exact, in any order."""
LAYERS, FAR = 2, 2.0**10
X, Y = np.ones((ROWS, WIDTH)), np.full(ROWS, -FAR)


@pytest.fixture(autouse=True)
def quick_switches() -> Iterator[None]:
    """Threads take turns a hundred times as often as they do."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-5)
    yield
    sys.setswitchinterval(before)


def counting_model() -> uf.Model:
    """After ``n`` steps every weight is ``-n * RATE``."""
    x = uf.Input((WIDTH,), dtype="float64")
    options: dict[str, Any] = {"use_bias": False, "kernel_initializer": "zeros"}
    branches = [layers.Dense(1, name=f"branch_{i}", **options)(x) for i in range(LAYERS)]
    model = uf.Model(x, layers.Add()(branches), name="counting")
    model.compile(uf.optimizers.SGD(RATE), "mae", metrics=["mae"])
    return model


def steps_in(values: Any) -> int:
    """Of which step ``values`` are; an error if of several."""
    (step,) = {float(number) for value in values for number in np.unique(value) / -RATE}
    assert step == int(step)
    return int(step)


def of_outputs(outputs: np.ndarray) -> int:
    return steps_in([outputs / (WIDTH * LAYERS)])


def saves(folder: Path) -> Callable[[uf.Model], int]:
    names = itertools.count()

    def save(model: uf.Model) -> int:
        path = folder / f"{next(names) % 4}-{threading.get_ident()}.uf"
        model.save(path)
        loaded = uf.load(path)
        step = steps_in(loaded.get_weights())
        assert loaded.optimizer.iterations == step
        return step

    return save


def compares(backend: str) -> Callable[[uf.Model], int]:
    def compare(model: uf.Model) -> int:
        found = uf.parity(model, X[:2], backends=[backend])
        assert found.worst_forward == 0
        return of_outputs(np.array([found.forward[-1].size * -1]))

    return compare


def uses(backend: str, folder: Path) -> dict[str, Callable[[uf.Model], int]]:
    """What threads do, and of which step that was."""
    return {
        "predict": lambda model: of_outputs(model.predict(X, batch_size=ROWS, backend=backend)),
        "predict elsewhere": lambda model: of_outputs(model.predict(X, batch_size=ROWS, backend="numpy")),
        "evaluate": lambda model: of_outputs(
            model.evaluate(X[:BATCH], Y[:BATCH], backend=backend, return_dict=True)["loss"] - FAR
        ),
        "get_weights": lambda model: steps_in(model.get_weights()),
        "copy": lambda model: steps_in(copy.deepcopy(model).get_weights()),
        "save": saves(folder),
        "parity": compares(backend),
    }


def used_during_fit(
    model: uf.Model, backend: str, works: dict[str, Callable[[uf.Model], int]], times: int
) -> uf.callbacks.History:
    """Each of ``works`` is done ``times`` times in a thread of its own while the model trains."""
    started, faults, left = threading.Event(), [], threading.Semaphore(0)

    def work(name: str, use: Callable[[uf.Model], int]) -> None:
        started.wait()
        last = 0
        try:
            for _ in range(times):
                step = use(model)
                assert step == 0 or step >= last
                last = step
        except BaseException as error:  # noqa: BLE001  # seen below
            error.add_note(f"in {name}")
            faults.append(error)
        finally:
            left.release()

    class Ends(uf.callbacks.Callback):
        """Training goes on until the threads are done."""

        def on_train_begin(self, logs: Any = None) -> None:
            started.set()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.stop_training = left._value == len(works)

    threads = [threading.Thread(target=work, args=item, daemon=True) for item in works.items()]
    for thread in threads:
        thread.start()
    history = model.fit(
        X, Y, epochs=10**6, batch_size=BATCH, verbose=0, backend=backend, callbacks=[Ends()],
        validation_data=(X[:BATCH], Y[:BATCH]),
    )  # fmt: skip
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    if faults:
        raise BaseExceptionGroup("threads", faults)
    return history


def check_nothing_lost(model: uf.Model, history: uf.callbacks.History) -> None:
    """Every step counts once: in the weights, in the optimizer, and in what each epoch logged."""
    epochs = len(history.epoch)
    assert model.optimizer.iterations == epochs * STEPS == steps_in(model.get_weights())
    number = WIDTH * LAYERS * -RATE
    before = np.arange(epochs) * STEPS + (STEPS - 1) / 2  # steps done before one of an epoch, on average
    for name in ("loss", "mae"):
        np.testing.assert_array_equal(history.history[name], FAR + number * before)
        after = number * STEPS * (1 + np.arange(epochs))
        np.testing.assert_array_equal(history.history[f"val_{name}"], FAR + after)


@pytest.mark.parametrize("backend", BACKENDS)
def test_threads_see_whole_steps_and_fit_does_not_see_them(backend: str, tmp_path: Path) -> None:
    model = counting_model()
    check_nothing_lost(model, used_during_fit(model, backend, uses(backend, tmp_path), 2))


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", uses("numpy", Path()))
def test_many_uses_during_fit(name: str, backend: str, tmp_path: Path) -> None:
    model = counting_model()
    several = {f"{name} {i}": uses(backend, tmp_path)[name] for i in range(3)}
    check_nothing_lost(model, used_during_fit(model, backend, several, 20 if name == "parity" else 100))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_second_fit_is_refused_and_the_first_goes_on(backend: str) -> None:
    model, before = counting_model(), threading.active_count()

    def fit(model: uf.Model) -> int:
        with pytest.raises(
            ArgumentError, match="'counting' is being trained already, by another call of fit"
        ):
            model.fit(X, Y, verbose=0, backend=backend)
        return 0

    check_nothing_lost(model, used_during_fit(model, backend, {"fit": fit}, 5))
    assert model.fit(X, Y, verbose=0, backend=backend).epoch == [0]
    assert threading.active_count() == before


@pytest.mark.parametrize("backend", BACKENDS)
def test_models_that_share_weights_train_at_once(backend: str) -> None:
    """Each step is whole, and none is lost, whichever model did it."""
    shared = counting_model()
    models = [uf.Model(shared.inputs, shared.outputs, name=f"model_{i}") for i in range(2)]
    epochs, faults = 3, []

    def fit(model: uf.Model) -> None:
        try:
            model.compile(uf.optimizers.SGD(RATE), "mae")
            model.fit(X, Y, epochs=epochs, batch_size=BATCH, verbose=0, backend=backend)
        except Exception as error:  # noqa: BLE001  # seen below
            faults.append(error)

    threads = [threading.Thread(target=fit, args=(model,), daemon=True) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    assert faults == []
    assert steps_in(shared.get_weights()) == 2 * epochs * STEPS


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_schedule_may_read_the_weights_that_its_step_trains(backend: str) -> None:
    model = counting_model()

    def rate(step: int) -> float:
        assert steps_in(model.get_weights()) <= step
        return RATE

    model.compile(uf.optimizers.SGD(rate), "mae")
    model.fit(X, Y, batch_size=BATCH, verbose=0, backend=backend)
    assert steps_in(model.get_weights()) == STEPS


def test_threads_see_whole_steps_of_jaxs_form() -> None:
    jax = pytest.importorskip("jax")

    class Stateless(uf.Model):
        def train_step(self, state: Any, data: Any) -> Any:
            x, y = data
            trainable, others, slots, metrics = state

            def loss_of(trainable: Any) -> Any:
                predicted, _ = self.stateless_call(trainable, others, x)
                return self.compute_loss(y=y, y_pred=predicted)

            loss, gradients = jax.value_and_grad(loss_of)(trainable)
            trainable, slots = self.optimizer.stateless_apply(slots, gradients, trainable)
            return {"loss": loss}, (trainable, others, slots, metrics)

    model = counting_model()
    model = Stateless(model.inputs[0], model.outputs[0], name="counting")
    model.compile(uf.optimizers.SGD(RATE), "mae")
    kinds = ("predict", "predict elsewhere", "evaluate", "get_weights")
    works = {name: use for name, use in uses("jax", Path()).items() if name in kinds}
    works["iterations"] = lambda model: int(model.optimizer.iterations)
    history = used_during_fit(model, "jax", works, 20)
    epochs = len(history.epoch)
    assert model.optimizer.iterations == epochs * STEPS == steps_in(model.get_weights())
