"""What all callbacks are, and a list of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from rich.console import Console

from unifront import tree
from unifront.arguments import checked, shown
from unifront.errors import ArgumentError
from unifront.train.plain import changes, copied

if TYPE_CHECKING:
    from unifront.model import Model

Logs = dict[str, Any]


class Callback:
    """Override what you need; the names are Keras's.

    ``self.model`` is the model; its ``stop_training = True`` ends training. ``self.params`` holds ``epochs``,
    ``steps`` (of an epoch; None where that is not known), ``verbose``, ``backend`` (``"torch:cpu"`` …), and
    ``metrics``, which maps the names of the logs to ``"min"``, ``"max"`` or None: whether less is better, or more, or
    that is not known.

    `Model.fit` calls ``on_train_*`` and ``on_epoch_*``, and ``on_test_*`` at each validation; `Model.evaluate` calls
    ``on_test_*`` and `Model.predict` ``on_predict_*``. What happens at batches is called only where it is overridden
    (see `wants`), and then the device is waited for at each of them.
    """

    sends = False
    """Whether it writes files or sends something, which ``fit(fast_dev_run=True)`` leaves out."""

    model: Any = None
    params: Mapping[str, Any] = MappingProxyType({})

    def set_model(self, model: Model) -> None:
        """Called once before training, evaluation or prediction."""
        self.model = model

    def set_params(self, params: Mapping[str, Any]) -> None:
        """Called once before training, evaluation or prediction."""
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """After the last epoch, with its logs; not after an error or an interrupt."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Before each epoch, counted from 0."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """After each epoch, with the losses and metrics of training and validation.

        What is added to ``logs`` reaches the callbacks after this one, and the history.
        """

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """An older name of `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """An older name of `on_train_batch_end`."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before each batch of an epoch."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After each batch, with the losses and metrics of the epoch so far."""
        self.on_batch_end(batch, logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Before an evaluation or a validation."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """After it, with its losses and metrics."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before each batch of it."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After each batch of it, with the losses and metrics so far."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Before a prediction."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """After it."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before each batch of it."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After each batch of it, with ``logs["outputs"]``."""

    def wants(self, event: str) -> bool:
        """Whether ``event`` (``"on_train_batch_end"`` …) does something; unless overridden, if it is overridden.

        A callback that does so at some of its settings only says so here, and costs nothing at the others.
        """
        also = {"on_train_batch_begin": "on_batch_begin", "on_train_batch_end": "on_batch_end"}
        return any(
            getattr(getattr(self, name), "__func__", None) is not getattr(Callback, name)
            for name in (event, also.get(event, event))
        )

    # ------------------------------------------------------------ going on in another process

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: the attributes that have changed since training began, as far as they are plain
        data (numbers, text, arrays, and lists, tuples and dicts of them). See ``fit(resume=...)``."""
        return changes(vars(self), self._begun or {})

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` gave; called after `on_train_begin`."""
        vars(self).update(state)

    _begun: dict[str, Any] | None = None

    def _note_beginning(self) -> None:
        self._begun = copied(vars(self))

    def __repr__(self) -> str:
        own = {name: value for name, value in vars(self).items() if name not in ("model", "params")}
        text = ", ".join(f"{name}={shown(value)}" for name, value in own.items() if name[0] != "_")
        return f"<{type(self).__name__}({text})>"


class History(Callback):
    """What `Model.fit` returns: ``history`` maps each loss and metric to its values, epoch by epoch."""

    def __init__(self) -> None:
        self.epoch: list[int] = []
        self.history: dict[str, list[Any]] = {}
        self._epochs: dict[str, list[int]] = {}

    def __repr__(self) -> str:
        last = ", ".join(
            f"{name} {values[-1]:.4g}" if isinstance(values[-1], float) else f"{name} {values[-1]}"
            for name, values in self.history.items()
            if values
        )
        return f"<History of {len(self.epoch)} epochs{f': at last {last}' if last else ''}>"

    def plot(self, path: Any = None) -> Any:
        """Each loss and metric by the epochs, as a figure of matplotlib, which is saved at ``path`` if that is given.

        Example::

            model.fit(x, y, epochs=10, validation_split=0.2).plot("curves.png")
        """
        from unifront.train.plots import plot_history

        return plot_history(self, path)

    def report(self, path: Any) -> None:
        """Write what was trained and how it went, as one HTML file that needs no other."""
        from unifront.train.plots import report

        report(self, path)

    def epochs_of(self, name: str) -> list[int]:
        """Epochs, counted from 1, of the values of a loss or metric: of a validation they may be fewer than all."""
        epochs, count = self._epochs.get(name, []), len(self.history[name])
        return epochs if len(epochs) == count else [*range(1, count + 1)]

    def put_behind(self, first: History) -> None:
        """Begin with what ``first`` holds, as if one training had given both."""
        done = len(first.epoch)
        self.epoch = [*first.epoch, *(done + epoch for epoch in self.epoch)]
        self._epochs = {
            name: [*first.epochs_of(name), *(done + epoch for epoch in self.epochs_of(name))]
            if name in first.history
            else [done + epoch for epoch in self.epochs_of(name)]
            for name in self.history
        }
        self.history = {
            name: [*first.history.get(name, []), *values] for name, values in self.history.items()
        }

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self.epoch = []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)
            self._epochs.setdefault(name, []).append(epoch + 1)


class LambdaCallback(Callback):
    """A callback made of functions, which take what the methods of `Callback` of these names take.

    Args:
        kwargs: functions for the other methods by their names, such as ``on_test_begin``; and attributes.

    Example::

        uf.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs["loss"]))
    """

    @checked
    def __init__(
        self,
        on_epoch_begin: Callable[..., Any] | None = None,
        on_epoch_end: Callable[..., Any] | None = None,
        on_train_begin: Callable[..., Any] | None = None,
        on_train_end: Callable[..., Any] | None = None,
        on_train_batch_begin: Callable[..., Any] | None = None,
        on_train_batch_end: Callable[..., Any] | None = None,
        **kwargs: Any,
    ) -> None:
        given = {event: function for event, function in locals().items() if event.startswith("on_")}
        unknown = [name for name in kwargs if name.startswith("on_") and not hasattr(Callback, name)]
        if unknown:
            raise ArgumentError(f"LambdaCallback: there is no event {unknown[0]!r}.")
        for event, function in {**given, **kwargs}.items():
            if function is not None:
                setattr(self, event, function)


class CallbackList(Callback):
    """Several callbacks as one.

    Args:
        callbacks: one, several or None.
        add_history, add_progbar: whether a `History` and a `ProgbarLogger` are added if there is none.
        model: see `Callback.set_model`.
        params: see `Callback.set_params`.
    """

    def __init__(
        self, callbacks: Any = None, add_history: bool = False, add_progbar: bool = False, model: Any = None,
        **params: Any,
    ) -> None:  # fmt: skip
        from unifront.train.callbacks.progress import ProgbarLogger

        given = callbacks.callbacks if isinstance(callbacks, CallbackList) else tree.leaves(callbacks)
        self.callbacks: list[Callback] = [one for one in given if one is not None]
        self.around: Callable[[], AbstractContextManager[None]] = nullcontext
        for callback in self.callbacks:
            if not isinstance(callback, Callback):
                raise ArgumentError(f"A callback is a uf.callbacks.Callback, not {callback!r}.")
        for wanted, kind in ((add_history, History), (add_progbar, ProgbarLogger)):
            if wanted and not any(isinstance(one, kind) for one in self.callbacks):
                self.callbacks.append(kind())
        self.set_model(model)
        self.set_params(params)

    def append(self, callback: Callback) -> None:
        """One more, the last."""
        self.callbacks.append(callback)
        callback.set_model(self.model)
        callback.set_params(self.params)

    def set_model(self, model: Any) -> None:
        if model is not None:
            self.model = model
            for callback in self.callbacks:
                callback.set_model(model)

    def set_params(self, params: Mapping[str, Any]) -> None:
        self.params = params
        for callback in self.callbacks if params else ():
            callback.set_params(params)

    def wants(self, event: str) -> bool:
        return any(callback.wants(event) for callback in self.callbacks)

    def those_that_want(self, *events: str) -> CallbackList:
        """The list of those that do something at one of ``events``, within the same block."""
        chosen = CallbackList([one for one in self.callbacks if any(map(one.wants, events))])
        chosen.around = self.around
        return chosen

    def each(self, event: str, *args: Any) -> None:
        """Call ``event`` of every callback, within what is ``around`` the user's code."""
        if self.callbacks:
            with self.around():
                for callback in self.callbacks:
                    getattr(callback, event)(*args)

    def __len__(self) -> int:
        return len(self.callbacks)


def _told(event: str) -> Callable[..., None]:
    def tell(self: CallbackList, logs: Logs | None = None) -> None:
        self.each(event, {} if logs is None else logs)

    def tell_of(self: CallbackList, index: int, logs: Logs | None = None) -> None:
        self.each(event, index, {} if logs is None else logs)

    numbered = "epoch" in event or "batch" in event
    chosen: Callable[..., None] = tell_of if numbered else tell
    chosen.__name__, chosen.__doc__ = event, f"Call ``{event}`` of every callback."
    return chosen


EVENTS = tuple(name for name in vars(Callback) if name.startswith("on_"))
"""The names of all events."""
for _event in EVENTS:
    setattr(CallbackList, _event, _told(_event))


def rated(optimizer: Any) -> dict[str, Any]:
    """What the logs call the learning rate, and whose it is: one, or one of each optimizer of a `MultiOptimizer`."""
    several = getattr(optimizer, "optimizers", None)
    if several is None:
        return {"learning_rate": optimizer}
    found: dict[str, Any] = {}
    for one in several:
        name, number = f"learning_rate_{one.name}", 0
        while name in found:
            number += 1
            name = f"learning_rate_{one.name}_{number}"
        found[name] = one
    return found


def constant_rate(optimizer: Any) -> float | None:
    """The learning rate of ``optimizer``; None if a schedule gives it, or several optimizers have theirs."""
    rate = None if optimizer.schedule is not None else getattr(optimizer, "learning_rate", None)
    return None if rate is None else float(rate)


def say(text: str) -> None:
    """Print, above the progress bar."""
    Console().print(text, highlight=False, soft_wrap=True)
