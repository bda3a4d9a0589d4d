"""Finding a learning rate, one cycle, fine-tuning; and the pictures of training."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.models import TRAINABLE
from unifront import layers
from unifront.errors import ArgumentError, UnknownName
from unifront.train.habits import LearningRates
from unifront.train.plots import confusion
from unifront.train.schedules import OneCycle

ANY = "torch" if "torch" in TRAINABLE else TRAINABLE[0]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 4)).astype(np.float32)
Y = X @ np.array([[1.0], [-2.0], [0.5], [3.0]], np.float32)
OPTIONS: dict[str, Any] = {"batch_size": 8, "verbose": 0, "backend": ANY}


def model_of(optimizer: Any = None) -> uf.Model:
    uf.set_seed(2)
    names = ("first", "second", "last")
    inner = [layers.Dense(3, activation="tanh", name=name) for name in names[:2]]
    model = uf.Sequential([layers.Input((4,)), *inner, layers.Dense(1, name=names[2])], name="small")
    model.compile(optimizer or uf.optimizers.SGD(0.05, momentum=0.9), "mse")
    return model


class Rates(uf.callbacks.Callback):
    """Notes rates, and the weights after each epoch."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.weights: list[dict[str, np.ndarray]] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.rates.append(float(self.model.optimizer.learning_rate))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.weights.append({weight.path: weight.numpy() for weight in self.model.weights})


def test_a_learning_rate_is_found_and_nothing_is_changed() -> None:
    plain, model = model_of(), model_of()
    found = model.lr_find(X, Y, steps=60, **OPTIONS)
    assert found.rates[0] == pytest.approx(1e-6)
    assert len(found.rates) == len(found.losses) <= 60
    assert 1e-4 < found.suggestion < found.minimum <= 10
    assert model.optimizer.learning_rate == np.float32(0.05) or model.optimizer.learning_rate == 0.05
    assert model.optimizer.iterations == 0
    for one in (plain, model):
        one.fit(X, Y, epochs=2, **OPTIONS)
    for one, other in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_losses_are_those_of_single_batches() -> None:
    """At rates that change nothing, the first one is that of the first batch, and the smoothing is the mean's."""
    model = model_of()
    found = model.lr_find(X, Y, start=1e-12, end=1e-11, steps=3, shuffle=False, **OPTIONS)
    losses = [float(model.evaluate(X[i : i + 8], Y[i : i + 8], backend=ANY)) for i in (0, 8, 16)]
    mean, smoothed = 0.0, []
    for i, loss in enumerate(losses, 1):
        mean = 0.9 * mean + 0.1 * loss
        smoothed.append(mean / (1 - 0.9**i))
    np.testing.assert_allclose(found.losses, smoothed, rtol=1e-5)


def test_the_middle_of_the_longest_descent() -> None:
    rates = tuple(10.0**i for i in range(-5, 4))
    found = LearningRates(rates, (4.0, 5.0, 4.9, 5.1, 3.0, 1.0, 1.1, 0.9, 8.0))  # of 5.0 4.9 3.0 1.0 0.9
    assert found.suggestion == rates[5]
    assert found.minimum == rates[7]
    assert repr(found) == "<LearningRates: suggested 1, lowest loss at 1e+02>"


def test_a_plain_before_the_descent_does_not_count() -> None:
    """Where the loss only goes up and down by chance, as it does at rates that are too small."""
    rng, rates = np.random.default_rng(0), tuple(10.0 ** (i / 10 - 6) for i in range(80))
    plain = 2 + 0.02 * rng.normal(size=50)
    found = LearningRates(rates, (*plain, *np.linspace(2, 1, 25), *np.linspace(1.1, 4, 5)))
    assert rates[52] < found.suggestion < rates[68]
    assert LearningRates(rates[:4], (1.0, 2.0, 3.0, 4.0)).suggestion == rates[0]
    assert rates[1] <= LearningRates(rates[:4], (4.0, 3.0, 2.0, 1.0)).suggestion <= rates[2]


def test_one_cycle() -> None:
    model, rates = model_of(), Rates()
    model.fit(X, Y, **OPTIONS)  # the cycle begins where the training is
    history = model.fit_one_cycle(X, Y, epochs=3, learning_rate=0.1, callbacks=rates, **OPTIONS)
    cycle = OneCycle(0.1, total_steps=24)
    np.testing.assert_allclose(rates.rates, [float(cycle(step)) for step in range(24)], rtol=1e-6)
    assert len(history.epoch) == 3
    assert float(model.optimizer.learning_rate) == pytest.approx(0.05)
    again = model_of()
    again.fit(X, Y, **OPTIONS)
    again.compile(uf.optimizers.SGD(OneCycle(0.1, total_steps=24), momentum=0.9), "mse")


def test_fine_tuning_trains_the_head_first_and_early_layers_slowly() -> None:
    model, rates = model_of(), Rates()
    begin = {weight.path: weight.numpy() for weight in model.weights}
    history = model.fine_tune(X, Y, epochs=2, freeze_epochs=2, learning_rate=0.02, callbacks=rates, **OPTIONS)
    assert history.epoch == [0, 1, 2, 3]
    assert len(history.history["loss"]) == 4
    moved = [
        {path: not np.array_equal(value, begin[path]) for path, value in weights.items()}
        for weights in rates.weights
    ]
    assert moved[1] == {path: path.startswith("last") for path in begin}
    assert all(moved[3].values())
    change = {
        p: np.abs(rates.weights[3][p] - rates.weights[1][p]).mean() for p in begin if p.endswith("kernel")
    }
    assert change["first/kernel"] * 5 < change["last/kernel"]
    assert all(layer.trainable for layer in model.layers)
    assert model.optimizer.groups == {}


def test_rates_of_fine_tuning() -> None:
    """The last layer at half of the rate, the first at a hundredth of that: by a weight whose gradient is one."""
    model = model_of()
    seen: dict[str, float] = {}

    class Look(uf.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            optimizer = self.model.optimizer
            for weight in self.model.trainable_weights:
                pattern, _ = optimizer.group_of(weight)
                top = max(float(optimizer.rate(optimizer.calls + step, pattern)) for step in range(8))
                seen[weight.path] = top

    model.fine_tune(X, Y, freeze_epochs=0, learning_rate=0.2, callbacks=Look(), **OPTIONS)
    tops = [seen[f"{name}/kernel"] for name in ("first", "second", "last")]
    np.testing.assert_allclose(tops, [0.001, 0.01, 0.1], rtol=0.05)


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: model_of().lr_find(X, Y, start=1.0, end=0.1), ArgumentError, "from a positive rate to a larger one"),
        (lambda: model_of().fine_tune(X, Y, head="lsat", **OPTIONS), UnknownName, "Did you mean 'last'"),
        (lambda: model_of().fit_one_cycle(iter([(X, Y)]), **OPTIONS), ArgumentError, "give steps_per_epoch"),
        (lambda: confusion([0, 1], [0]), ArgumentError, "There are 2 labels for 1 predictions"),
        (lambda: confusion([0, 3], [0, 1], 2), ArgumentError, "The labels run from 0 to 1"),
        (lambda: confusion([0.5], [1]), ArgumentError, "y_true is labels"),
        (lambda: uf.callbacks.History().plot(), ArgumentError, "There is nothing to plot"),
    ],
)  # fmt: skip
def test_what_is_refused(make: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make()


def test_confusion() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    true, predicted = RNG.integers(0, 4, 50), RNG.integers(0, 4, 50)
    judge = metrics.confusion_matrix(true, predicted, labels=range(4))
    np.testing.assert_array_equal(confusion(true, predicted, 4), judge)
    np.testing.assert_array_equal(confusion(true[:, None], np.eye(4)[predicted]), judge)


def test_pictures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    model = model_of()
    history = model.fit(X, Y, epochs=5, validation_split=0.25, validation_freq=2, **OPTIONS)
    (axis,) = history.plot(tmp_path / "curves.png").axes
    training, validation = axis.lines
    assert list(training.get_ydata()) == history.history["loss"]
    assert list(training.get_xdata()) == [1, 2, 3, 4, 5]
    assert list(validation.get_xdata()) == [2, 4]
    (axis,) = LearningRates((0.1, 1.0, 10.0), (3.0, 2.0, 4.0)).plot(tmp_path / "rates.svg").axes
    assert axis.get_xscale() == "log"
    figure = uf.utils.plot_confusion_matrix([0, 1, 1], [0, 1, 0], ["cat", "<dog>"], tmp_path / "table.pdf")
    assert [text.get_text() for text in figure.axes[0].texts] == ["1", "0", "1", "1"]
    counts = [one for _ in range(3) for one in (123456, 1, 0)]
    figure = uf.utils.plot_confusion_matrix(
        np.repeat(np.repeat(range(3), 3), counts),
        np.repeat(np.tile(range(3), 3), counts),
        ["a", "b", "name " * 9],
    )
    figure.draw_without_rendering()
    (axis,) = figure.axes
    cell = axis.get_window_extent().width / 3
    # Long names leave room for the numbers, and these for each other.
    assert axis.get_window_extent().width > figure.dpi * 2
    assert all(text.get_window_extent().width < cell for text in axis.texts)
    heads = {path.name: path.read_bytes()[:5] for path in tmp_path.iterdir()}
    assert heads == {"curves.png": b"\x89PNG\r", "rates.svg": b"<?xml", "table.pdf": b"%PDF-"}


def test_many_pictures_stand_in_several_rows() -> None:
    pytest.importorskip("matplotlib")
    history = uf.callbacks.History()
    for epoch, logs in enumerate([{str(i): i for i in range(9)}] * 3):
        history.on_epoch_end(epoch, logs)
    figure = history.plot()
    assert [axis.get_title() for axis in figure.axes] == [str(i) for i in range(9)]
    assert tuple(figure.get_size_inches()) == (12, 9)


@pytest.mark.parametrize(("freq", "expected"), [(3, [3, 6]), ([1, 5], [1, 5])])
def test_validations_stand_at_their_epochs(freq: Any, expected: list[int]) -> None:
    """In one training, and in the second part of two."""
    model = model_of()
    history = model.fit(X, Y, epochs=7, validation_split=0.25, validation_freq=freq, **OPTIONS)
    assert history.epochs_of("val_loss") == expected
    more = model.fit(X, Y, epochs=9, initial_epoch=7, **OPTIONS)
    assert more.epochs_of("loss") == [8, 9]
    tuned = model.fine_tune(
        X, Y, epochs=7, freeze_epochs=6, validation_split=0.25, validation_freq=freq, **OPTIONS
    )
    assert tuned.epochs_of("loss") == list(range(1, 14))
    assert tuned.epochs_of("val_loss") == [*expected, *(6 + epoch for epoch in expected)]


def test_a_report(tmp_path: Path) -> None:
    model = model_of()
    history = model.fit(X, Y, epochs=3, validation_split=0.25, **OPTIONS)
    history.report(tmp_path / "run.html")
    text = (tmp_path / "run.html").read_text()
    assert "<title>small</title>" in text
    assert "SGD(" in text
    assert f"{history.history['val_loss'][-1]:.6g}" in text
    assert len(re.findall("<polyline", text)) == 2
    assert len(re.findall("<circle", text)) == 6
    assert not re.search(r'(src|href)="', text)  # nothing from elsewhere
    assert "second" in text
