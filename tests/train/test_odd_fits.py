"""Calls of `fit` as people make them by mistake, or against the grain: each ends as in Keras, or in an error of ours."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.models import TRAINABLE
from tests.train.keras_judge import keras
from unifront import errors

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 4)).astype("float32"), RNG.integers(0, 3, 20)
QUIET: dict[str, Any] = {"verbose": 0, "shuffle": False}
WEIGHTS = np.arange(20.0)


def model_of(kit: Any, outputs: int = 1, norm: bool = False, optimizer: Any = "sgd", loss: Any = None) -> Any:
    x = kit.Input((4,))
    y = kit.layers.Dense(5, activation="relu")(x)
    y = kit.layers.BatchNormalization()(y) if norm else y
    heads = [kit.layers.Dense(3, activation="softmax", name=f"head_{i}")(y) for i in range(outputs)]
    model = kit.Model(x, heads if outputs > 1 else heads[0])
    own = np.random.default_rng(3)
    model.set_weights([own.normal(size=w.shape) if w.ndim > 1 else w for w in model.get_weights()])
    chosen = loss or "sparse_categorical_crossentropy"
    backend = {"backend": TRAINABLE[0]} if kit is uf else {}
    model.compile(optimizer, [chosen] * outputs if outputs > 1 else chosen, **backend)
    return model


def told(kit: Any, **events: Callable[..., Any]) -> Any:
    """A callback that calls each function with its model."""

    def method(function: Callable[..., Any]) -> Any:
        return lambda self, *args, **_: function(self.model, *args)

    return type("Told", (kit.callbacks.Callback,), {name: method(one) for name, one in events.items()})()


def batches(count: int, broken: int | None = None) -> Iterator[Any]:
    for i in range(count):
        if i == broken:
            raise RuntimeError("broken pipe")
        yield X[4 * i : 4 * i + 4], Y[4 * i : 4 * i + 4]


def of_sizes(*sizes: int) -> Iterator[Any]:
    for size in sizes:
        yield X[:size], Y[:size]


def of_dtypes() -> Iterator[Any]:
    for floats, ints in (("float32", "int64"), ("float64", "int32"), ("float16", "int8")):
        yield X[:4].astype(floats), Y[:4].astype(ints)


def fitted(kit: Any, *data: Any, model: Any = None, **options: Any) -> Any:
    history = (model or model_of(kit)).fit(*(data or (X, Y)), **{**QUIET, **options})
    return history.epoch, history.history


def stop(model: Any, *_: Any) -> None:
    model.stop_training = True


def watched(kit: Any, **events: Callable[..., Any]) -> Any:
    options = {"epochs": 3, "batch_size": 5, "validation_data": (X, Y)}
    return fitted(kit, callbacks=[told(kit, **events)], **options)


def in_turns(kit: Any) -> Any:
    a, b = (model_of(kit, optimizer="adam") for _ in range(2))
    return [fitted(kit, model=one, batch_size=5) for one in (a, b, a, b)]


def in_two_calls(kit: Any) -> Any:
    model = model_of(kit)
    return fitted(kit, model=model, epochs=2), fitted(kit, model=model, epochs=4, initial_epoch=2)


def compiled_again(kit: Any) -> Any:
    model = model_of(kit)
    first = fitted(kit, model=model)
    model.compile("adam", "sparse_categorical_crossentropy")
    return first, fitted(kit, model=model)


def frozen_later(kit: Any, first: bool, then: bool) -> Any:
    """The layer before the last is frozen after an epoch, or thawed."""
    model = model_of(kit, optimizer=kit.optimizers.SGD(0.1))
    model.layers[1].trainable = first

    def change(model: Any, epoch: int, *_: Any) -> None:
        model.layers[1].trainable = then

    history = fitted(kit, model=model, epochs=3, batch_size=5, callbacks=[told(kit, on_epoch_end=change)])
    return history, model.get_weights()


def averaged_and_stopped(kit: Any, *order: str) -> Any:
    """Averages stand for the weights in the end, unless a callback restores others."""
    model = model_of(kit, optimizer=kit.optimizers.SGD(0.3, use_ema=True, ema_momentum=0.7))
    own = {
        "swap": kit.callbacks.SwapEMAWeights(swap_on_epoch=True),
        "stop": kit.callbacks.EarlyStopping("loss", mode="max", patience=1, restore_best_weights=True),
    }
    history = fitted(kit, model=model, epochs=4, batch_size=5, callbacks=[own[name] for name in order])
    return history, model.get_weights()


def other_trained(kit: Any) -> Any:
    other = model_of(kit)
    return watched(kit, on_epoch_end=lambda *_: other.fit(X, Y, verbose=0))


AS_KERAS: dict[str, Callable[[Any], Any]] = {
    "sizes": lambda kit: fitted(kit, of_sizes(4, 7, 1)),
    "dtypes": lambda kit: fitted(kit, of_dtypes()),
    "one_example": lambda kit: fitted(kit, X[:1], Y[:1], model=model_of(kit, norm=True)),
    "fewer_steps": lambda kit: fitted(kit, batch_size=4, steps_per_epoch=2, epochs=2),
    "first_epoch": lambda kit: fitted(kit, initial_epoch=2, epochs=4),
    "first_beyond": lambda kit: fitted(kit, initial_epoch=5, epochs=4),
    "no_epoch": lambda kit: fitted(kit, epochs=0),
    "one_hot_classes": lambda kit: fitted(
        kit, X, np.eye(3)[Y], model=model_of(kit, loss="categorical_crossentropy"), class_weight={0: 2.0, 1: 1.0, 2: 0.5}
    ),
    "stop_at_train_begin": lambda kit: watched(kit, on_train_begin=stop),
    "stop_at_epoch_begin": lambda kit: watched(kit, on_epoch_begin=stop),
    "stop_at_batch_begin": lambda kit: watched(kit, on_train_batch_begin=stop),
    "stop_at_batch_end": lambda kit: watched(kit, on_train_batch_end=stop),
    "stop_at_test_end": lambda kit: watched(kit, on_test_end=stop),
    "stop_at_test_batch": lambda kit: watched(kit, on_test_batch_end=stop),
    "evaluated_within": lambda kit: watched(kit, on_epoch_end=lambda m, *_: m.evaluate(X, Y, verbose=0)),
    "predicted_within": lambda kit: watched(kit, on_train_batch_end=lambda m, *_: m.predict(X, verbose=0)),
    "other_within": other_trained,
    "weights_within": lambda kit: watched(
        kit, on_epoch_end=lambda m, *_: m.set_weights([0 * w for w in m.get_weights()])
    ),
    "rate_within": lambda kit: watched(
        kit, on_train_batch_begin=lambda m, i, *_: m.optimizer.learning_rate.assign(0.1 * (i + 1))
    ),
    "frozen_within": lambda kit: frozen_later(kit, True, False),
    "averaged": averaged_and_stopped,
    "averaged_stop": lambda kit: averaged_and_stopped(kit, "stop"),
    "averaged_swap_stop": lambda kit: averaged_and_stopped(kit, "swap", "stop"),
    "averaged_stop_swap": lambda kit: averaged_and_stopped(kit, "stop", "swap"),
    "validated_weights": lambda kit: fitted(kit, validation_data=(X, Y, WEIGHTS), validation_batch_size=3),
    "one_callback_twice": lambda kit: fitted(kit, epochs=2, callbacks=[told(kit)] * 2, validation_split=0.2),
    "in_turns": in_turns,
    "in_two_calls": in_two_calls,
    "compiled_again": compiled_again,
    "evaluate_one": lambda kit: model_of(kit).evaluate(X[:1], Y[:1], verbose=0),
    "evaluate_steps": lambda kit: model_of(kit).evaluate(X, Y, batch_size=4, steps=2, verbose=0),
    "evaluate_stopped": lambda kit: model_of(kit).evaluate(
        X, Y, batch_size=5, verbose=0,
        callbacks=[told(kit, on_test_batch_end=lambda m, *_: setattr(m, "stop_evaluating", True))],
    ),
    "predict_steps": lambda kit: model_of(kit).predict(X, batch_size=4, steps=2, verbose=0),
}  # fmt: skip


def assert_close(found: Any, expected: Any) -> None:
    if isinstance(expected, dict):
        assert sorted(found) == sorted(expected)
        for name, value in expected.items():
            assert_close(found[name], value)
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_close(one, other)
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("ignore:Your input ran out of data")  # Keras says so where a generator ends
@pytest.mark.parametrize("case", AS_KERAS)
def test_ends_as_in_keras(case: str) -> None:
    assert_close(AS_KERAS[case](uf), AS_KERAS[case](keras))


REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "broken_data": (lambda: fitted(uf, batches(5, 2)), RuntimeError, "broken pipe"),
    "broken_validation": (lambda: fitted(uf, validation_data=batches(5, 2)), RuntimeError, "broken pipe"),
    "broken_callback": (
        lambda: watched(uf, on_train_end=lambda *_: 1 / 0),
        ZeroDivisionError,
        "division by zero",
    ),
    "classes_of_two_outputs": (
        lambda: fitted(uf, X, [Y, Y], model=model_of(uf, 2), class_weight={0: 1.0}),
        errors.ArgumentError,
        "class_weight is for models of one output",
    ),
    "empty_validation": (
        lambda: fitted(uf, validation_data=(X[:0], Y[:0])),
        errors.DataError,
        "the input has 0 examples",
    ),
    "no_validation_batch": (
        lambda: fitted(uf, validation_data=batches(0)),
        errors.DataError,
        "gave no batch, so there is nothing to evaluate",
    ),
    "lengths": (lambda: fitted(uf, X, Y[:5]), errors.DataError, "has 5 examples; the input has 20"),
    "labels": (lambda: fitted(uf, X, Y + 1), errors.DataError, "holds labels from 1 to 3"),
    "nan_weights": (
        lambda: fitted(uf, sample_weight=np.full(20, np.nan)),
        errors.DataError,
        "numbers that are not finite",
    ),
    "empty_batch": (
        lambda: model_of(uf).train_on_batch(X[:0], Y[:0]),
        errors.DataError,
        "the input has 0 examples",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_is_refused(case: str) -> None:
    call, error, match = REFUSED[case]
    with pytest.raises(error, match=match):
        call()


@pytest.mark.parametrize(("count", "epochs"), [(2, [0]), (5, [0, 1]), (6, [0, 1])])
def test_data_that_run_out(count: int, epochs: list[int]) -> None:
    model = model_of(uf)
    end: list[Any] = []
    callback = told(uf, on_train_end=lambda model, logs: end.append(logs))
    with pytest.warns(UserWarning, match=r"The data ran out in epoch \d, of 3 batches each"):
        found, history = fitted(
            uf, batches(5) if count == 5 else of_sizes(*[4] * count), model=model, steps_per_epoch=3, epochs=3,
            callbacks=callback,
        )  # fmt: skip
    assert found == epochs
    assert model.optimizer.iterations == count
    assert end == [{"loss": history["loss"][-1]}]


def test_data_that_suffice_are_not_warned_of() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fitted(uf, of_sizes(*[4] * 6), steps_per_epoch=3, epochs=2)[0] == [0, 1]


@pytest.mark.parametrize(
    ("thawed", "backend"),
    [(True, TRAINABLE[0]), *((False, name) for name in TRAINABLE)],
)
def test_layers_frozen_by_a_callback(thawed: bool, backend: str) -> None:
    """As two calls of `fit`, with the change between them."""
    results = []
    for parts in (((0, 3),), ((0, 1), (1, 3))):
        model = model_of(uf, norm=True, optimizer=uf.optimizers.SGD(0.1, momentum=0.9))
        model.layers[1].trainable = not thawed

        def change(model: Any, epoch: int, *_: Any) -> None:
            if epoch == 0:
                model.layers[1].trainable = thawed

        losses: list[float] = []
        for first, last in parts:
            callback = told(uf, on_epoch_end=change)
            history = model.fit(
                X, Y, batch_size=5, initial_epoch=first, epochs=last, callbacks=callback, backend=backend, **QUIET
            )  # fmt: skip
            losses += history.history["loss"]
        results.append((losses, model.get_weights()))
    assert_close(results[0], results[1])
