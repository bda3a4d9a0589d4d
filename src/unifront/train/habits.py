"""How people train in practice: find a learning rate, train by one cycle, fine-tune what was trained elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from unifront.errors import ArgumentError, UnknownName
from unifront.paths import path_of
from unifront.trace import restore_rng, rng_state
from unifront.train.callbacks import Callback, History, TerminateOnNaN
from unifront.train.callbacks.base import Logs
from unifront.train.schedules import OneCycle
from unifront.weights import Variable

if TYPE_CHECKING:
    from unifront.layers.layer import Layer
    from unifront.model import Model

SMOOTHING = 0.9
"""The share of the mean of losses so far in the next one."""
DIVERGED = 4.0
"""How many times the best loss counts as diverged."""
FIRST_RATE = 100.0
"""How many times smaller the rate of the first layer is than that of the last, in fine-tuning (fastai)."""


@dataclass(frozen=True)
class LearningRates:
    """What `Model.lr_find` found: the smoothed loss of a batch at each learning rate."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]

    @property
    def suggestion(self) -> float:
        """A good rate to train with: the middle of the longest descent, over ups and downs between batches.

        As fastai's "valley", but that the descent begins as many rates before its end as it has steps down: fastai
        counts what went up and down before, on a plain, as part of it.
        """
        lengths = [1] * len(self.losses)
        for i, loss in enumerate(self.losses):
            for j in range(i):
                if self.losses[j] > loss:
                    lengths[i] = max(lengths[i], lengths[j] + 1)
        end = int(np.argmax(lengths))
        return self.rates[max(end - lengths[end] // 2, 0)]

    @property
    def minimum(self) -> float:
        """The rate at which the loss is lowest; a tenth of it is the most to train with."""
        return self.rates[int(np.argmin(self.losses))]

    def plot(self, path: Any = None) -> Any:
        """The losses by the rates, as a figure of matplotlib, which is saved at ``path`` if that is given."""
        from unifront.train.plots import plot_rates

        return plot_rates(self, path)

    def __repr__(self) -> str:
        return f"<LearningRates: suggested {self.suggestion:.2g}, lowest loss at {self.minimum:.2g}>"


class _Finder(TerminateOnNaN):
    """Notes the loss of each batch, and ends when it has diverged."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: list[float] = []
        self._mean = 0.0

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        loss = (logs or {})["loss"]
        self.model._compiled().tracker.reset_state()  # so that the next loss is of the next batch alone
        self._mean = SMOOTHING * self._mean + (1 - SMOOTHING) * loss
        smooth = self._mean / (1 - SMOOTHING ** (len(self.losses) + 1))
        if not math.isfinite(smooth) or (self.losses and smooth > DIVERGED * min(self.losses)):
            self.model.stop_training = True
        else:
            self.losses.append(smooth)


def lr_find(
    model: Model, x: Any, y: Any, start: float, end: float, steps: int, options: dict[str, Any]
) -> LearningRates:
    """See `Model.lr_find`."""
    if not 0 < start < end or steps < 3:
        raise ArgumentError(
            f"lr_find goes from a positive rate to a larger one in 3 steps or more, not from {start!r} to {end!r} in "
            f"{steps!r}."
        )
    model.fit(x, y, **{**options, "epochs": 0, "verbose": 0})  # makes weights and slots
    optimizer, finder = model.optimizer, _Finder()
    begun, growth = optimizer.calls, (end / start) ** (1 / (steps - 1))
    with _as_before(model), _at_rate(optimizer, lambda step: start * growth ** (step - begun)):
        given = {"epochs": 1, "steps_per_epoch": steps, "verbose": 0, "callbacks": finder}
        model.fit(x, y, **{**options, **given})
    if len(finder.losses) < 3:
        raise ArgumentError(
            f"lr_find: the loss diverges at once, at the rate {start:g}; start from a smaller one."
        )
    return LearningRates(tuple(start * growth**i for i in range(len(finder.losses))), tuple(finder.losses))


@contextmanager
def _as_before(model: Model) -> Iterator[None]:
    """A block after which weights, slots and random numbers are as before."""
    optimizer = model.optimizer
    slots = [variable for variable in optimizer.variables if type(variable) is Variable]
    values = [(variable, variable.numpy()) for variable in (*model.weights, *slots)]
    calls, rng = optimizer.calls, rng_state()
    try:
        yield
    finally:
        for variable, value in values:
            variable.assign(value)
        optimizer.calls = calls
        restore_rng(*rng)
        model.stop_training = False


@contextmanager
def _at_rate(optimizer: Any, rate: Any, groups: dict[str, Any] | None = None) -> Iterator[None]:
    """A block in which ``optimizer`` has another learning rate, and for some weights others."""
    before = optimizer._learning_rate, optimizer.groups
    optimizer._learning_rate = rate
    optimizer.groups = {**(groups or {}), **optimizer.groups}
    try:
        yield
    finally:
        optimizer._learning_rate, optimizer.groups = before


def _cycle(rate: float, steps: int, begun: int) -> Callable[[int], float]:
    cycle = OneCycle(rate, total_steps=steps)
    return lambda step: float(cycle(step - begun))


def fit_one_cycle(
    model: Model, x: Any, y: Any, epochs: int, rate: float | None, options: dict[str, Any],
    shares: dict[str, float] | None = None,
) -> History:  # fmt: skip
    """See `Model.fit_one_cycle`; ``shares`` of the rate for weights by their paths."""
    probe = Callback()  # nothing is resumed yet: the cycle begins where the training did
    model.fit(x, y, epochs=0, **{**options, "verbose": 0, "callbacks": probe, "resume": None})
    steps, optimizer = probe.params["steps"], model.optimizer
    if steps is None:
        raise ArgumentError(
            "fit_one_cycle: how many batches an epoch has is not known; give steps_per_epoch."
        )
    chosen = float(optimizer.learning_rate) if rate is None else rate
    total, begun = max(1, steps * epochs), optimizer.calls
    groups: dict[str, Any] = {}
    for variable in model.trainable_weights if shares else ():
        own = {"learning_rate": _cycle(chosen * (shares or {})[variable.path], total, begun)}
        groups[variable.path] = {**optimizer.group_of(variable)[1], **own}
    with _at_rate(optimizer, _cycle(chosen, total, begun), groups):
        history: History = model.fit(x, y, epochs=epochs, **options)
    return history


def fine_tune(
    model: Model, x: Any, y: Any, epochs: int, freeze_epochs: int, head: Any, rate: float | None,
    options: dict[str, Any],
) -> History:  # fmt: skip
    """See `Model.fine_tune`."""
    model.fit(x, y, epochs=0, **{**options, "verbose": 0, "callbacks": None, "resume": None})
    folder = options.get("resume")
    of_head, of_all = (
        options if folder is None else {**options, "resume": path_of(folder) / part}
        for part in ("head", "all")
    )
    layers = [layer for layer in model.layers if layer.weights]
    last = _named(layers, head)
    chosen = float(model.optimizer.learning_rate) if rate is None else rate
    frozen = [layer for layer in layers if layer not in last and layer.trainable]
    try:
        for layer in frozen:
            layer.trainable = False
        first = fit_one_cycle(model, x, y, freeze_epochs, chosen, of_head) if freeze_epochs else History()
    finally:
        for layer in frozen:
            layer.trainable = True
    depth = max(len(layers) - 1, 1)
    shares = {
        weight.path: FIRST_RATE ** (i / depth - 1)
        for i, layer in enumerate(layers)
        for weight in layer.weights
    }
    history = fit_one_cycle(model, x, y, epochs, chosen / 2, of_all, shares)
    history.put_behind(first)
    return history


def _named(layers: Sequence[Layer], head: Any) -> list[Layer]:
    """The layers that ``head`` names: a name, several, a number of the last ones, or None for the last one."""
    if not layers:
        raise ArgumentError("fine_tune: the model has no weights.")
    if head is None or isinstance(head, int):
        return list(layers[-(head or 1) :])
    names = [head] if isinstance(head, str) else list(head)
    known = {layer.name: layer for layer in layers}
    for name in names:
        if name not in known:
            raise UnknownName("layer with weights to be the head", name, known)
    return [known[name] for name in names]
