"""Shorter trainings, and where numbers that are not finite come from."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.models import TRAINABLE
from unifront import layers
from unifront.errors import ArgumentError, NonFiniteLoss
from unifront.train.limits import batches, seconds

ANY = "torch" if "torch" in TRAINABLE else TRAINABLE[0]
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 4)).astype(np.float32), RNG.normal(size=(40, 1)).astype(np.float32)


def model_of(*middle: Any, rate: float = 0.01) -> uf.Model:
    uf.set_seed(2)
    model = uf.Sequential(
        [layers.Input((4,)), layers.Dense(3, name="first"), *middle, layers.Dense(1, name="last")]
    )
    model.compile(uf.optimizers.SGD(rate), "mse")
    return model


class Counts(uf.callbacks.Callback):
    """Counts batches of training and of validation."""

    def __init__(self) -> None:
        self.train, self.test, self.epochs = 0, 0, 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.train += 1

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        self.test += 1

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.epochs += 1


class Sends(uf.callbacks.Callback):
    sends = True

    def on_train_begin(self, logs: Any = None) -> None:
        raise AssertionError


class Stream:
    def __iter__(self) -> Any:
        return ((X[i : i + 5], Y[i : i + 5]) for i in range(0, 40, 5))


@pytest.mark.parametrize("stream", [False, True], ids=["arrays", "stream"])
@pytest.mark.parametrize(
    ("options", "counts"),
    [
        ({}, (16, 16, 2)),
        ({"fast_dev_run": True}, (1, 1, 1)),
        ({"fast_dev_run": 3}, (3, 3, 1)),
        ({"limit_train_batches": 3}, (6, 16, 2)),
        ({"limit_train_batches": 99, "limit_val_batches": 2}, (16, 4, 2)),
        ({"limit_train_batches": 5, "steps_per_epoch": 3}, (6, 16, 2)),
    ],
)
def test_so_many_batches(options: dict[str, Any], counts: tuple[int, ...], stream: bool) -> None:
    data = {"x": Stream()} if stream else {"x": X, "y": Y, "batch_size": 5}
    callbacks = [counted := Counts(), *([Sends()] if "fast_dev_run" in options else [])]
    held_out = Stream() if stream else (X, Y)
    model_of().fit(
        **data, validation_data=held_out, epochs=2, verbose=0, backend=ANY, callbacks=callbacks, **options
    )
    assert (counted.train, counted.test, counted.epochs) == counts


def test_shares_of_batches() -> None:
    counted = Counts()
    options = {
        "limit_train_batches": 0.5,
        "limit_val_batches": 0.1,
        "validation_data": (X, Y),
        "batch_size": 5,
    }
    model_of().fit(X, Y, verbose=0, backend=ANY, callbacks=counted, **options)
    assert (counted.train, counted.test) == (4, 1)


def test_each_limited_epoch_is_of_other_examples() -> None:
    """A new order each epoch, of which the first batches are taken."""
    wide = np.eye(40, dtype=np.float32)
    model = uf.Sequential([layers.Input((40,)), layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    model.compile(uf.optimizers.SGD(1.0), "mse")
    seen = []
    watch = uf.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(model.get_weights()[0].ravel() != 0)
    )
    model.fit(
        wide,
        np.ones(40),
        batch_size=4,
        epochs=3,
        limit_train_batches=2,
        verbose=0,
        backend=ANY,
        callbacks=watch,
    )
    assert [int(one.sum()) for one in seen][0] == 8
    assert int(seen[-1].sum()) > 8


def test_overfitting_a_few_batches() -> None:
    history = model_of().fit(
        X, Y, batch_size=5, epochs=2, overfit_batches=2, validation_data=(X, Y), verbose=0, backend=ANY
    ).history  # fmt: skip
    few = model_of().fit(
        X[:10], Y[:10], batch_size=5, epochs=2, shuffle=False, validation_data=(X[:10], Y[:10]), verbose=0, backend=ANY
    ).history  # fmt: skip
    assert history == few


def test_so_much_time(tmp_path: Path) -> None:
    class Slow(uf.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            time.sleep(0.02)

    def train(**options: Any) -> tuple[uf.Model, uf.callbacks.History]:
        model = model_of()
        given = {"batch_size": 5, "epochs": 4, "verbose": 0, "backend": ANY, "callbacks": Slow(), **options}
        return model, model.fit(X, Y, **given)

    whole, history = train()
    stopped, _ = train(max_time=0.25, resume=tmp_path)
    assert 0 < stopped.optimizer.iterations < 32
    again, _ = train(max_time=0.25, resume=tmp_path)
    assert again.optimizer.iterations <= stopped.optimizer.iterations + 1  # the time is up, or nearly
    resumed, last = train(max_time={"minutes": 5}, resume=tmp_path)
    assert last.history == history.history
    for one, other in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (90, 90.0),
        ("00:00:01:30", 90.0),
        (timedelta(seconds=90), 90.0),
        ({"minutes": 1.5}, 90.0),
        (None, None),
    ],
)
def test_times(given: Any, meant: float | None) -> None:
    assert seconds(given) == meant


@pytest.mark.parametrize(
    ("make", "match"),
    [
        *((lambda given=given: seconds(given), "max_time is a number of seconds") for given in (0, True, "1h", {"years": 1})),
        *((lambda given=given: batches("n", given, 9), "n is a positive number") for given in (0, -1, True, "all")),
        (lambda: batches("n", 1.5, 9), "n=1.5 is a float, so a share"),
        (lambda: batches("n", 0.5, None), "n=0.5 is a share of batches whose number is not known"),
        (lambda: model_of().fit(X, Y, fast_dev_run="yes"), "fast_dev_run is True, False, or a number"),
        (lambda: model_of().fit(Stream(), overfit_batches=2), "overfit_batches needs arrays"),
    ],
)  # fmt: skip
def test_what_is_refused(make: Any, match: str) -> None:
    with pytest.raises(ArgumentError, match=match):
        make()


def test_without_looking_for_it() -> None:
    with pytest.raises(NonFiniteLoss, match=r"fit\(detect_anomaly=True\) finds the layer that it comes from"):
        model_of(rate=1e30).fit(X, Y, epochs=9, verbose=0, backend=ANY)


@pytest.mark.parametrize("backend", TRAINABLE)
def test_the_value_that_broke_first(backend: str) -> None:
    """A logarithm of a negative number: of the layer that takes it, not of those after it or of the loss."""
    middle = layers.Lambda(lambda x: uf.ops.log(x), name="logarithm")
    model = model_of(layers.Activation("tanh", name="squash"), middle, layers.Dense(2, name="after"))
    before = model.get_weights()
    with pytest.raises(NonFiniteLoss, match="First was the value of 'log' in the layer 'logarithm'"):
        model.fit(X, Y, batch_size=8, verbose=0, backend=backend, detect_anomaly=True)
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)  # those before the step


def test_the_gradient_that_broke_first() -> None:
    """The square root of zero is zero, and its gradient is not finite."""
    root = layers.Lambda(lambda x: uf.ops.sqrt(uf.ops.multiply(x, 0.0)), name="root")
    model = model_of(root)
    with pytest.raises(NonFiniteLoss, match="First was the gradient of the weight 'first/(kernel|bias)'"):
        model.fit(X, Y, batch_size=8, verbose=0, backend=ANY, detect_anomaly=True)


def test_the_data_that_broke_first() -> None:
    broken = X.copy()
    broken[13, 2] = np.nan
    with pytest.raises(NonFiniteLoss, match=r"First was the data: '.*' of example 3 of the batch"):
        model_of().fit(broken, Y, batch_size=5, shuffle=False, verbose=0, backend=ANY, detect_anomaly=True)


def test_looking_for_it_changes_nothing() -> None:
    plain, looked = model_of(), model_of()
    for model, detects in ((plain, False), (looked, True)):
        model.fit(X, Y, batch_size=8, epochs=2, verbose=0, backend=ANY, detect_anomaly=detects)
    for one, other in zip(looked.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
