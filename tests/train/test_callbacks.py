"""Callbacks, and what may happen in the middle of training: reading, stopping, interrupting."""

from __future__ import annotations

import inspect
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import unifront as uf
from tests.models import MODELS, TRAINABLE, cross_entropy
from tests.train.keras_judge import keras
from unifront import errors, layers

ANY = TRAINABLE[0]


def compiled(name: str = "mlp", rate: float = 0.05, metrics: Any = None) -> tuple[uf.Model, Any, Any]:
    uf.set_seed(1)
    model, (x, y) = MODELS[name]("float64")
    model.compile(uf.optimizers.SGD(rate), cross_entropy(), metrics=metrics)
    return model, x, y


class Recorder(uf.callbacks.Callback):
    """The events, in order."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self.events.append("train begin")

    def on_train_end(self, logs: Any = None) -> None:
        self.events.append("train end")

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.events.append(f"epoch {epoch} begin")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.events.append(f"epoch {epoch} end {sorted(logs)}")

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.events.append(f"batch {batch} begin")

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.events.append(f"batch {batch} end {sorted(logs)}")


def test_the_order_of_events() -> None:
    model, x, y = compiled(metrics=["accuracy"])
    recorder = Recorder()
    model.fit(
        x, y, batch_size=20, epochs=1, verbose=0, callbacks=[recorder], backend=ANY, validation_split=0.5
    )
    assert recorder.events == [
        "train begin",
        "epoch 0 begin",
        "batch 0 begin",
        "batch 0 end ['accuracy', 'loss']",
        "epoch 0 end ['accuracy', 'loss', 'val_accuracy', 'val_loss']",
        "train end",
    ]


def test_what_callbacks_are_told() -> None:
    model, x, y = compiled(metrics=["accuracy"])
    callback = uf.callbacks.Callback()
    options = {"verbose": 0, "callbacks": callback, "backend": ANY}
    model.fit(x, y, batch_size=7, epochs=3, validation_split=0.5, **options)
    directions = {"loss": None, "accuracy": "max", "val_loss": None, "val_accuracy": "max"}
    assert callback.params["backend"].startswith(ANY)
    told = {"epochs": 3, "steps": 3, "verbose": 0, "metrics": directions}
    assert {name: callback.params[name] for name in told} == told
    assert callback.model is model
    model.fit(iter([(x, y)]), **options)
    assert callback.params["steps"] is None


def test_what_a_callback_logs_is_in_the_history() -> None:
    model, x, y = compiled()
    scripted = Scripted("bonus", [1.0, 2.0])
    plateau = uf.callbacks.ReduceLROnPlateau("bonus", mode="max")
    history = model.fit(x, y, epochs=2, verbose=0, callbacks=[scripted, plateau], backend=ANY).history
    assert history["bonus"] == [1.0, 2.0]
    assert history["learning_rate"] == [0.05, 0.05]


def test_lambda_callback() -> None:
    model, x, y = compiled()
    seen: list[Any] = []
    callback = uf.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: seen.append(epoch),
        on_epoch_end=lambda epoch, logs: seen.append(logs["loss"] > 0),
    )
    model.fit(x, y, epochs=2, verbose=0, callbacks=[callback], backend=ANY)
    assert seen == [0, True, 1, True]
    assert not callback.wants("on_train_batch_end")


def test_lambda_callback_at_every_event() -> None:
    model, x, y = compiled()
    seen: list[str] = []
    events = list(inspect.signature(uf.callbacks.LambdaCallback).parameters)
    assert events == list(inspect.signature(keras.callbacks.LambdaCallback).parameters)
    events.remove("kwargs")
    functions = {event: lambda *args, event=event: seen.append(event) for event in events}
    model.fit(x, y, verbose=0, callbacks=uf.callbacks.LambdaCallback(**functions), backend=ANY, batch_size=40)
    assert seen == [
        "on_train_begin", "on_epoch_begin", "on_train_batch_begin", "on_train_batch_end", "on_epoch_end", "on_train_end"
    ]  # fmt: skip


class Scripted(uf.callbacks.Callback):
    """Puts chosen numbers into the logs, so that what other callbacks do is known."""

    def __init__(self, name: str, values: list[float]) -> None:
        self.name, self.values = name, values
        self.weights: list[np.ndarray] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs[self.name] = self.values[epoch]
        self.weights.append(self.model.get_weights()[0])


@pytest.mark.parametrize(
    ("monitor", "mode", "values", "patience", "epochs", "best"),
    [
        ("val_loss", "auto", [3.0, 2.0, 2.5, 2.4, 1.0], 2, 4, 1),
        ("val_accuracy", "auto", [0.3, 0.5, 0.4, 0.45, 0.9], 2, 4, 1),
        ("score", "max", [0.3, 0.5, 0.4, 0.9, 0.9], 2, 5, 3),
        ("val_loss", "min", [3.0, 2.0, 1.0, 0.5, 0.2], 1, 5, 4),
        ("val_loss", "auto", [1.0, 2.0, 3.0, 4.0, 5.0], 0, 2, 0),
        ("val_loss", "auto", [1.0, float("nan"), 3.0, 4.0, 5.0], 2, 3, 0),
    ],
)
def test_early_stopping(
    monitor: str, mode: str, values: list[float], patience: int, epochs: int, best: int
) -> None:
    model, x, y = compiled()
    scripted = Scripted(monitor, values)
    stopping = uf.callbacks.EarlyStopping(monitor, patience=patience, mode=mode, restore_best_weights=True)
    history = model.fit(x, y, epochs=5, verbose=0, callbacks=[scripted, stopping], backend=ANY)
    assert len(history.epoch) == epochs
    assert stopping.best_epoch == best
    np.testing.assert_array_equal(model.get_weights()[0], scripted.weights[best])
    assert stopping.stopped_epoch == (epochs - 1 if epochs < 5 else 0)


EIGHTHS = st.integers(0, 8).map(lambda number: number / 8)  # exact, so that ties are ties
MODES = st.sampled_from(["auto", "min", "max"])
WAITS = st.integers(0, 3)


class Stub:
    """As much of a model as callbacks look at; its weights say which epoch it is."""

    def __init__(self) -> None:
        self.stop_training, self.epoch, self.restored = False, 0, None
        self.optimizer = SimpleNamespace(learning_rate=1.0)

    def get_weights(self) -> list[np.ndarray]:
        return [np.array(self.epoch)]

    def set_weights(self, weights: list[np.ndarray]) -> None:
        self.restored = int(weights[0])


def play(callback: Any, values: list[float | None]) -> list[Any]:
    """What a callback of ours or of Keras does, epoch by epoch, when ``val_loss`` goes through ``values``."""
    callback.set_model(model := Stub())
    if isinstance(callback, uf.callbacks.Callback):
        callback.set_params({"metrics": {"val_loss": "min"}})
    callback.on_train_begin()
    seen: list[Any] = []
    for model.epoch, value in enumerate(values):
        logs = {} if value is None else {"val_loss": value}
        callback.on_epoch_end(model.epoch, logs)
        seen.append((model.stop_training, model.optimizer.learning_rate, callback.best, sorted(logs)))
        if model.stop_training:
            break
    callback.on_train_end()
    return [
        *seen,
        model.restored,
        *(getattr(callback, name, None) for name in ("best_epoch", "stopped_epoch")),
    ]


@given(
    values=st.lists(EIGHTHS, min_size=1, max_size=12),
    options=st.fixed_dictionaries(
        {"min_delta": st.sampled_from([0.0, 0.125, -0.25]), "patience": WAITS, "mode": MODES},
        optional={"baseline": EIGHTHS, "restore_best_weights": st.booleans(), "start_from_epoch": WAITS},
    ),
)
def test_early_stopping_as_in_keras(values: list[float | None], options: dict[str, Any]) -> None:
    ours, judge = uf.callbacks.EarlyStopping(**options), keras.callbacks.EarlyStopping(**options)
    for _ in range(2):  # used again, it begins anew
        assert play(ours, values) == play(judge, values)


@given(
    values=st.lists(EIGHTHS, min_size=1, max_size=16),
    options=st.fixed_dictionaries(
        {"factor": st.sampled_from([0.5, 0.25]), "patience": WAITS, "mode": MODES},
        optional={
            "min_delta": st.sampled_from([0.0, 0.125, 0.25]),
            "cooldown": WAITS,
            "min_lr": st.sampled_from([0.0, 0.0625, 0.1875, 2.0]),
        },
    ),
)
def test_reduce_lr_on_plateau_as_in_keras(values: list[float | None], options: dict[str, Any]) -> None:
    ours, judge = uf.callbacks.ReduceLROnPlateau(**options), keras.callbacks.ReduceLROnPlateau(**options)
    for _ in range(2):
        assert play(ours, values) == play(judge, values)


@pytest.mark.parametrize("name", ["EarlyStopping", "ReduceLROnPlateau"])
def test_arguments_and_defaults_are_those_of_keras(name: str) -> None:
    own, judge = (
        {p.name: p.default for p in inspect.signature(getattr(kit.callbacks, name)).parameters.values()}
        for kit in (uf, keras)
    )
    if name != "LambdaCallback":
        judge.pop("kwargs", None)
    assert list(own.items()) == list(judge.items())


@pytest.mark.parametrize("name", ["EarlyStopping", "ReduceLROnPlateau"])
def test_nan_is_never_better(name: str) -> None:
    """Keras takes a NaN that comes first for the best, and then nothing is better."""
    callback = getattr(uf.callbacks, name)(patience=2)
    play(callback, [float("nan"), 3.0, float("nan"), 2.0])
    assert callback.best == 2.0


def test_epochs_without_validation_are_passed_over() -> None:
    model, x, y = compiled()
    stopping = uf.callbacks.EarlyStopping(patience=1, min_delta=100.0)
    options = {"validation_split": 0.5, "validation_freq": 2, "verbose": 0, "backend": ANY}
    history = model.fit(x, y, epochs=9, callbacks=stopping, **options)
    assert history.epoch == [0, 1, 2, 3]
    assert len(history.history["val_loss"]) == 2


def score(true: Any, predicted: Any) -> Any:
    return uf.ops.mean(predicted, axis=-1)


@pytest.mark.parametrize(
    ("metric", "monitor", "more"),
    [
        ("accuracy", "val_accuracy", True),
        (uf.metrics.SparseCategoricalAccuracy(name="hits"), "hits", True),
        (uf.metrics.MeanSquaredError(name="distance"), "distance", False),
        (None, "val_loss", False),
        (score, "score", None),
    ],
)
def test_auto_mode_asks_the_metric(metric: Any, monitor: str, more: bool | None) -> None:
    x = uf.Input((5,))
    model = uf.Model(x, layers.Dense(1)(x))
    model.compile("sgd", "mse", metrics=[metric] if metric else None)
    stopping = uf.callbacks.EarlyStopping(monitor)
    options = {"verbose": 0, "callbacks": [stopping], "validation_split": 0.5, "backend": ANY}
    if more is None:
        with pytest.raises(
            errors.ArgumentError, match="EarlyStopping: whether less or more of 'score' is better"
        ):
            model.fit(np.ones((4, 5)), np.ones(4), **options)
    else:
        model.fit(np.ones((4, 5)), np.ones(4), **options)
        assert stopping.better(2.0, 1.0) is more


def test_verbose_says_what_was_done(capsys: pytest.CaptureFixture[str]) -> None:
    model, x, y = compiled()
    stopping = uf.callbacks.EarlyStopping("loss", 100.0, 1, 1, restore_best_weights=True)
    plateau = uf.callbacks.ReduceLROnPlateau("loss", 0.5, 1, 1, min_delta=100.0)
    model.fit(x, y, epochs=9, verbose=0, callbacks=[plateau, stopping], backend=ANY)
    assert capsys.readouterr().out.splitlines() == [
        "The learning rate is 0.025 after epoch 2.",
        "Stopped after epoch 2.",
        "The weights are those after epoch 1, the best.",
    ]


def test_reduce_lr_on_plateau() -> None:
    model, x, y = compiled(rate=0.4)
    scripted = Scripted("val_loss", [1.0, 1.0, 1.0, 0.5, 0.5, 0.5])
    plateau = uf.callbacks.ReduceLROnPlateau(factor=0.5, patience=2, min_lr=0.15)
    rates: list[float] = []
    watch = uf.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: rates.append(model.optimizer.learning_rate)
    )
    model.fit(x, y, epochs=6, verbose=0, callbacks=[scripted, plateau, watch], backend=ANY)
    assert rates == [0.4, 0.4, 0.2, 0.2, 0.2, 0.15]


def test_a_rate_has_the_value_of_a_float32_as_in_keras() -> None:
    model, x, y = compiled(rate=0.1)
    plateau = uf.callbacks.ReduceLROnPlateau("loss", 0.1, 1, min_delta=100.0)
    model.fit(x, y, epochs=2, verbose=0, callbacks=[plateau], backend=ANY)
    rate = model.optimizer.learning_rate
    assert (rate.value.dtype, rate.numpy().dtype) == ("float32", "float32")
    assert rate.value == 0.01 == pytest.approx(float(rate), rel=1e-15)


def several_rates() -> uf.optimizers.MultiOptimizer:
    one, other = uf.optimizers.SGD(0.4), uf.optimizers.SGD(0.2)
    return uf.optimizers.MultiOptimizer(uf.optimizers.OptimizerMap(one, {".*bias": other}))


def test_each_rate_of_a_multi_optimizer_is_made_smaller_from_its_own() -> None:
    model, x, y = compiled()
    model.compile(several_rates(), cross_entropy())
    scripted = Scripted("val_loss", [1.0, 1.0, 1.0, 1.0])
    plateau = uf.callbacks.ReduceLROnPlateau(factor=0.5, patience=1, min_lr=0.1)
    seen = model.fit(x, y, epochs=4, verbose=0, callbacks=[scripted, plateau], backend=ANY).history
    assert seen["learning_rate_sgd"] == [0.2, 0.2, 0.1, 0.1]  # of the biases: the map is asked first
    assert seen["learning_rate_sgd_1"] == [0.4, 0.4, 0.2, 0.1]


def test_each_rate_of_a_multi_optimizer_is_scheduled() -> None:
    model, x, y = compiled()
    model.compile(several_rates(), cross_entropy())
    halve = uf.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    model.fit(x, y, epochs=2, verbose=0, callbacks=[halve], backend=ANY)
    assert [one.learning_rate for one in model.optimizer.optimizers] == pytest.approx([0.05, 0.1])


def test_a_learning_rate_set_in_a_callback_is_used() -> None:
    model, x, y = compiled()
    before = model.get_weights()

    class Zero(uf.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            self.model.optimizer.learning_rate = 0.0

    model.fit(x, y, epochs=2, verbose=0, callbacks=[Zero()], backend=ANY)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("backend", TRAINABLE)
def test_reading_weights_in_the_middle_changes_nothing(backend: str) -> None:
    class Reader(uf.callbacks.Callback):
        seen: list[np.ndarray]

        def on_train_begin(self, logs: Any = None) -> None:
            self.seen = [self.model.get_weights()[0]]

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.seen.append(self.model.get_weights()[0])
            assert self.model.predict(x[:2], backend="numpy").shape == (2, 3)

    reader = Reader()
    found = []
    for callbacks in ([], [reader]):
        model, x, y = compiled("cnn")
        model.compile(uf.optimizers.Adam(0.01), cross_entropy())
        history = model.fit(x, y, batch_size=10, epochs=2, verbose=0, callbacks=callbacks, backend=backend)
        found.append((history.history["loss"], model.get_weights()))
    assert len(reader.seen) == 9
    assert all((a != b).any() for a, b in zip(reader.seen, reader.seen[1:], strict=False))
    np.testing.assert_array_equal(reader.seen[-1], found[1][1][0])
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-12)
    for a, b in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("backend", TRAINABLE)
def test_weights_set_in_the_middle_are_trained_on(backend: str) -> None:
    model, x, y = compiled()
    start = model.get_weights()

    class Reset(uf.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.model.set_weights(start)

    history = model.fit(x, y, batch_size=40, epochs=3, verbose=0, callbacks=[Reset()], backend=backend)
    np.testing.assert_allclose(history.history["loss"], history.history["loss"][0], rtol=1e-12)


def test_stop_training_ends_after_the_epoch() -> None:
    model, x, y = compiled()

    class Stop(uf.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.stop_training = epoch == 1

    assert model.fit(x, y, epochs=5, verbose=0, callbacks=[Stop()], backend=ANY).epoch == [0, 1]
    assert model.fit(x, y, epochs=1, verbose=0, backend=ANY).epoch == [0]


def test_stop_training_in_a_batch_ends_the_epoch() -> None:
    model, x, y = compiled()

    class Stop(uf.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.model.stop_training = batch == 1

    history = model.fit(x, y, batch_size=8, epochs=5, verbose=0, callbacks=[Stop()], backend=ANY)
    assert model.optimizer.iterations == 2
    assert history.epoch == [0]


@pytest.mark.parametrize("event", ["on_train_begin", "on_epoch_begin", "on_train_batch_begin"])
def test_training_stopped_before_a_batch_ends_after_it(event: str) -> None:
    model, x, y = compiled()

    def stop(*_: Any) -> None:
        model.stop_training = True

    callback = uf.callbacks.LambdaCallback(**{event: stop})
    assert model.fit(x, y, batch_size=8, epochs=5, verbose=0, callbacks=callback, backend=ANY).epoch == [0]
    assert model.optimizer.iterations == 1  # as in Keras


@pytest.mark.parametrize("backend", TRAINABLE)
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupt_leaves_the_weights_readable(error: type[BaseException], backend: str) -> None:
    model, x, y = compiled()
    model.compile(uf.optimizers.Adam(0.01), cross_entropy())
    start = model.get_weights()

    class Interrupt(uf.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 2:
                raise error

    with pytest.raises(error):
        model.fit(x, y, batch_size=8, verbose=1, callbacks=[Interrupt()], backend=backend)
    assert model.optimizer.iterations == 3
    assert all(
        np.isfinite(a).all() and (a != b).any() for a, b in zip(model.get_weights(), start, strict=True)
    )
    model.fit(x, y, batch_size=8, verbose=0, backend=backend)
    assert model.optimizer.iterations == 8


def test_frozen_layers_stay_and_thaw() -> None:
    model, x, y = compiled()
    frozen = model.layers[1]  # after the InputLayer
    start = model.get_weights()
    frozen.trainable = False
    model.compile(uf.optimizers.SGD(0.1), cross_entropy())
    model.fit(x, y, epochs=2, verbose=0, backend=ANY)
    now = model.get_weights()
    assert [bool((a == b).all()) for a, b in zip(now, start, strict=True)] == [True, True, False, False]
    frozen.trainable = True
    model.fit(x, y, verbose=0, backend=ANY)
    assert all((a != b).any() for a, b in zip(model.get_weights(), now, strict=True))


def test_a_frozen_model_inside_another_keeps_its_statistics_too() -> None:
    """Fine-tuning: Keras runs the batch norm of a frozen base for inference."""
    image = uf.Input((6,), dtype="float64")
    base = uf.Model(image, layers.BatchNormalization()(layers.Dense(4)(image)), name="base")
    base.trainable = False
    x = uf.Input((6,), dtype="float64")
    model = uf.Model(x, layers.Dense(3, name="head")(base(x)))
    model.compile("sgd", cross_entropy())
    start = model.get_weights()
    model.fit(np.random.default_rng(0).normal(3, 2, (32, 6)), np.arange(32) % 3, verbose=0, backend=ANY)
    changed = [bool((a != b).any()) for a, b in zip(model.get_weights(), start, strict=True)]
    assert [weight.path for weight in model.trainable_weights] == ["head/kernel", "head/bias"]
    assert changed == [False] * 6 + [True] * 2
    base.trainable = True
    assert len(model.trainable_weights) == 6


def test_two_models_share_a_layer() -> None:
    shared = layers.Dense(4, activation="tanh")
    x1, x2 = uf.Input((5,), dtype="float64"), uf.Input((5,), dtype="float64")
    first, second = uf.Model(x1, layers.Dense(3)(shared(x1))), uf.Model(x2, layers.Dense(2)(shared(x2)))
    _, x, y = compiled()
    for model, backend, targets in ((first, TRAINABLE[0], y), (second, TRAINABLE[-1], y % 2)):
        model.compile("sgd", cross_entropy())
        before = shared.get_weights()[0]
        model.fit(x, targets, verbose=0, backend=backend)
        assert (shared.get_weights()[0] != before).any()
    kernel = shared.get_weights()[0]
    for model in (first, second):
        assert any(np.array_equal(weight, kernel) for weight in model.get_weights())


def test_recompiling_starts_the_optimizer_anew_and_keeps_the_weights() -> None:
    model, x, y = compiled()
    model.fit(x, y, verbose=0, backend=ANY)
    weights = model.get_weights()
    model.compile("adam", cross_entropy(), metrics=["accuracy"])
    assert model.optimizer.iterations == 0
    for a, b in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert sorted(model.fit(x, y, verbose=0, backend=ANY).history) == ["accuracy", "loss"]


@pytest.mark.parametrize("backend", TRAINABLE)
def test_fitting_again_makes_nothing_new(backend: str) -> None:
    import gc

    model, x, y = compiled()
    counts = []
    for _ in range(4):
        model.fit(x, y, batch_size=8, verbose=0, backend=backend, validation_split=0.2)
        model.predict(x, backend=backend)
        gc.collect()
        counts.append(len(model.programs))
    assert len(set(counts)) == 1


@pytest.mark.skipif(len(TRAINABLE) < 2, reason="needs two frameworks")
def test_two_backends_at_once_in_threads() -> None:
    found: dict[str, Any] = {}

    def train(backend: str) -> None:
        uf.set_seed(1)
        with uf.backend(backend):
            model, (x, y) = MODELS["mlp"]("float64")
            model.compile(uf.optimizers.SGD(0.1), cross_entropy())
            history = model.fit(x, y, batch_size=8, epochs=10, shuffle=False, verbose=0)
            found[backend] = (history.history["loss"], model.weights[0].home)

    threads = [threading.Thread(target=train, args=(name,)) for name in TRAINABLE]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(TRAINABLE)
    first = found[TRAINABLE[0]][0]
    for name, (losses, home) in found.items():
        assert home.startswith(name)
        np.testing.assert_allclose(losses, first, rtol=1e-9)


def test_what_is_refused() -> None:
    model, x, y = compiled()
    with pytest.raises(
        errors.UnknownName, match=r"Unknown log for EarlyStopping to monitor 'val_loss'.*Did you mean 'loss'"
    ):
        model.fit(x, y, verbose=0, callbacks=[uf.callbacks.EarlyStopping()], backend=ANY)
    for wrong in (compiled, [compiled], uf.callbacks.EarlyStopping):
        with pytest.raises(errors.ArgumentError, match=r"A callback is a uf\.callbacks\.Callback, not <"):
            model.fit(x, y, verbose=0, callbacks=wrong, backend=ANY)
    model.compile(uf.optimizers.SGD(uf.schedules.CosineDecay(0.1, 10)), cross_entropy())
    plateau = uf.callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=100.0)
    with pytest.raises(errors.ArgumentError, match="the optimizer needs a constant one"):
        model.fit(x, y, epochs=3, verbose=0, callbacks=[plateau], backend=ANY)


STOP, PLATEAU, FUNCTIONS = (
    uf.callbacks.EarlyStopping, uf.callbacks.ReduceLROnPlateau, uf.callbacks.LambdaCallback
)  # fmt: skip


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: STOP(patience=-1), errors.ArgumentError, "EarlyStopping: patience is an int >= 0, not -1"),
        (lambda: STOP(patience="2"), errors.ArgumentError, "EarlyStopping: patience is an int >= 0, not '2'"),
        (lambda: STOP(mode="least"), errors.UnknownName, "Unknown mode of EarlyStopping 'least'.*Known: auto, max, min"),
        (lambda: STOP(mode="mim"), errors.UnknownName, "Did you mean 'min'"),
        (lambda: STOP(min_delta=float("nan")), errors.ArgumentError, "EarlyStopping: min_delta is a number .*not nan"),
        (lambda: STOP(baseline="0.5"), errors.ArgumentError, "EarlyStopping: baseline is a number .*not '0.5'"),
        (lambda: STOP(start_from_epoch=1.5), errors.ArgumentError, r"start_from_epoch is an int >= 0, not 1\.5"),
        (lambda: STOP(verbose="yes"), errors.ArgumentError, "verbose is an int >= 0, not 'yes'"),
        (lambda: PLATEAU(factor=1.0), errors.ArgumentError, r"ReduceLROnPlateau: factor is a number in \(0, 1\), not 1\.0"),
        (lambda: PLATEAU(cooldown=-1), errors.ArgumentError, "ReduceLROnPlateau: cooldown is an int >= 0, not -1"),
        (lambda: PLATEAU(min_lr=-1), errors.ArgumentError, r"min_lr is a number in \[0, inf\), not -1"),
        (lambda: FUNCTIONS(on_epoch_end=3), errors.ArgumentError, "LambdaCallback: on_epoch_end is a function, not 3"),
    ],
)  # fmt: skip
def test_arguments_that_are_refused(make: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make()
