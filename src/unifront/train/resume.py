"""Going on exactly where a killed process was: ``fit(..., resume="folder")``.

What decides how training goes on is kept, all of one moment between two steps: weights, slots, the number of steps
(which schedules and random numbers follow), the seed, the place in the shuffled epoch, metrics so far, what callbacks
have noted, whether training was stopped. So on one machine a run that was killed and begun again ends with the same
bits as one that was not.
"""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unifront.arguments import shown
from unifront.errors import ArgumentError, FileFormatError, FileWriteError
from unifront.files import BROKEN, reason, writing
from unifront.paths import path_of
from unifront.trace import restore_rng, rng_state
from unifront.train.callbacks import Callback
from unifront.train.callbacks.base import constant_rate
from unifront.train.checkpoint import Checkpoint, read
from unifront.train.data import Stream
from unifront.train.metrics import MetricVariable
from unifront.train.optimizers.numbers import HostNumber
from unifront.train.plain import is_plain, packed, unpacked
from unifront.train.session import Session
from unifront.train.step import TracedStep
from unifront.weights import Variable

if TYPE_CHECKING:
    from unifront.model import Model

FILE = "training.safetensors"
"""The name of the checkpoint in its folder."""
LONG_EPOCH = 300.0
"""Seconds after which a checkpoint is kept within an epoch, unless another frequency is asked for."""
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Every:
    """How often a checkpoint is kept: after each epoch, after so many steps, after so many seconds."""

    epoch: bool = True
    steps: int | None = None
    seconds: float | None = None

    @classmethod
    def of(cls, given: Any) -> Every:
        """From an argument: None, ``"epoch"``, a number of steps, ``"90s"``, ``"5m"``, ``"1h"``, or a timedelta."""
        if given is None:
            return cls(seconds=LONG_EPOCH)
        if given == "epoch":
            return cls()
        if isinstance(given, int | np.integer) and not isinstance(given, bool) and given > 0:
            return cls(epoch=False, steps=int(given))
        seconds = given.total_seconds() if isinstance(given, timedelta) else None
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", given) if isinstance(given, str) else None
        seconds = float(match[1]) * _UNITS[match[2]] if match else seconds
        if seconds is None or not seconds > 0:
            raise ArgumentError(
                "save_every is 'epoch', a number of steps, or a time such as '30s', '5m', '1h' or a "
                f"datetime.timedelta, not {given!r}."
            )
        return cls(epoch=False, seconds=seconds)


@dataclass(frozen=True)
class Place:
    """A place in training, between two steps.

    Args:
        epoch: the epoch under way, or the next one.
        done: steps done of it.
        began: runs done before it.
        order: where its order of examples began, see `Order.state`.
        drawn: batches drawn of the pass under way, of data that give batches.
        passes: passes over such data before that one.
        data: examples and batch size, by which the place means what it meant.
    """

    epoch: int = 0
    done: int = 0
    began: int = 0
    order: Any = None
    drawn: int = 0
    passes: int = 0
    data: tuple[int | None, int] = (None, 0)


class Writer:
    """Writes checkpoints in a thread of its own, one at a time; of several that wait, the newest."""

    def __init__(self, path: Path, double: bool = False) -> None:
        self.path, self.double = path, double
        self._changed = threading.Condition()
        self._next: Checkpoint | None = None
        self._busy = self._closed = False
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def write(self, checkpoint: Checkpoint) -> None:
        """Have ``checkpoint`` written soon. Raises what went wrong with an earlier one."""
        self.check()
        with self._changed:
            self._next = checkpoint
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="unifront checkpoints", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def check(self) -> None:
        """Raise what went wrong in the thread, once."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def close(self) -> None:
        """Wait until all is written."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._next is not None or self._closed)
                checkpoint, self._next = self._next, None
            if checkpoint is None:
                return
            try:
                if self.double and self.path.exists():
                    with writing(_before(self.path)) as file, self.path.open("rb") as current:
                        shutil.copyfileobj(current, file)
                checkpoint.write(self.path)
            except BaseException as error:  # noqa: BLE001  # it is raised where training is
                self._error = error


def _before(path: Path) -> Path:
    """Where the checkpoint before the last one is."""
    return path.with_name(f"{path.name}.bkp")


@dataclass
class Resume:
    """The checkpoint of one run of `fit`.

    Args:
        folder: where it is, or will be.
        every: how often it is kept.
        found: the one that is there, and
        where: the place that it is of.
        seconds: trained before, in all.
        runs: of steps, done before.
        metrics: their states, in the middle of an epoch.
        out_of_time: whether training stops for that, which is no end of it.
        double: whether the checkpoint before the last one is kept too, and taken up if the last one is broken.
    """

    folder: Path
    every: Every
    found: Checkpoint | None = None
    where: Place | None = None
    seconds: float = 0.0
    runs: int = 0
    metrics: list[np.ndarray] = field(default_factory=list)
    out_of_time: bool = False
    double: bool = False
    _since: int = 0
    _last: float = field(default_factory=time.monotonic)
    _started: float = field(default_factory=time.monotonic)

    @classmethod
    def at(cls, folder: Any, every: Any, double: bool = False) -> Resume:
        """What is in ``folder``, which is made if it is not there."""
        path, often = path_of(folder), Every.of(every)
        if path.exists() and not path.is_dir():
            raise ArgumentError(f"resume is a folder for checkpoints; {path} is a file.")
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileWriteError(f"Cannot make the folder {path}: {error.strerror or error}.") from error
        if not (path / FILE).exists():
            return cls(path, often, double=double)
        try:
            found = read(path / FILE)
        except FileFormatError:
            if not double or not _before(path / FILE).exists():
                raise
            found = read(_before(path / FILE))
        try:
            told = found.state["place"]
            counts = {name: _count(told[name]) for name in ("epoch", "done", "began", "drawn", "passes")}
            place = Place(**counts, order=told["order"], data=tuple(told["data"]))
            rng = (_count(found.state["random"][0]), _count(found.state["random"][1]))
        except BROKEN as error:
            raise FileFormatError(f"{path / FILE} is not a valid checkpoint: {reason(error)}.") from error
        restore_rng(*rng)
        return cls(path, often, found, place, double=double)

    def start(self, source: Any) -> None:
        """Bring ``source`` to the pass that is to be gone on with."""
        if self.where is not None and isinstance(source, Stream):
            for _ in range(self.where.epoch):  # it may follow the epochs by itself
                source.begin_epoch()
                source.end_epoch()
            source.passes = self.where.passes

    def freeze(self, model: Model) -> None:
        """Freeze what a callback had frozen, and thaw what it had thawed, before the step is traced."""
        self._frozen = _flags(model)
        given = None if self.found is None else self.found.state.get("trainable")
        if given is None:
            return
        parts = _freezable(model)
        if not isinstance(given, list) or len(given) != len(parts):
            raise FileFormatError(
                f"{self.folder / FILE} does not fit: it is of a model of other layers. Resume with the model that it "
                "is of, or from another folder."
            )
        for one, flag in zip(parts, given, strict=True):
            if one.trainable != bool(flag):
                one.trainable = bool(flag)

    def follow(self, step: TracedStep, session: Session) -> None:
        """Keep the state of another step from now on, with which training goes on."""
        self._step, self._session = step, session
        self._names = names_of(self._model, step)

    def take_up(self, model: Model, step: TracedStep) -> Place | None:
        """Give the model and what trains it the values of the checkpoint, if there is one; where training goes on.

        Raises `FileFormatError` naming what does not fit for a checkpoint of another model, and changes nothing then.
        """
        self._model, self._step = model, step
        self._rated = [*(optimizer for optimizer, _ in step.optimizers), *step.on_device]
        self._rates = [constant_rate(optimizer) for optimizer in self._rated]
        self._names = names_of(model, step)
        self._writer = Writer(self.folder / FILE, self.double)
        if self.found is None:
            return None
        state, values, place = self.found.state, self.found.values, self.where
        assert place is not None
        try:
            calls = [_count(one["calls"]) for one in state["optimizers"]]
            found = [*(one["rate"] for one in state["optimizers"]), *state.get("rates", ())]
            rates = [None if rate is None else float(rate) for rate in found]
            self.runs = _count(state["runs"])
            self.seconds = float(state["seconds"])
            self._check(values, place, len(calls))
        except BROKEN as error:
            raise FileFormatError(
                f"{self.folder / FILE} does not fit: {reason(error)}. Resume with the model and data it is of, or "
                "from another folder."
            ) from error
        for name, variable in self._names.items():
            variable.assign(values[name])
        for (optimizer, _), count in zip(step.optimizers, calls, strict=True):
            optimizer.calls = count
        for optimizer, rate in zip(
            self._rated, rates, strict=False
        ):  # a checkpoint of 0.1 has not all of them
            if rate is not None:
                optimizer.learning_rate = float(rate)
        kept = len(step.metric_variables) if place.done else 0
        self.metrics = [values[f"{_METRIC}{i}"] for i in range(kept)]
        return place

    def _check(self, values: Mapping[str, np.ndarray], place: Place, optimizers: int) -> None:
        own = {name: value for name, value in values.items() if not name.startswith(_ASIDE)}
        for name, variable in self._names.items():
            if name not in own:
                raise FileFormatError(f"the model has {name!r}, of which it holds no value")
            if (own[name].shape, own[name].dtype) != (variable.shape, variable.dtype.numpy):
                found = f"{own[name].dtype}{list(own[name].shape)}"
                raise FileFormatError(f"{name!r} is {variable.type} in the model, and {found} in it")
        odd = [name for name in own if name not in self._names]
        if odd:
            raise FileFormatError(f"it holds {odd[0][:200]!r}, which the model and its optimizer do not have")
        if optimizers != len(self._step.optimizers):
            raise FileFormatError(
                f"it is of {optimizers} optimizers; there are {len(self._step.optimizers)} now"
            )
        metrics = self._step.metric_variables
        for i, position in enumerate(metrics if place.done else ()):
            kept, variable = values.get(f"{_METRIC}{i}"), self._step.variables[position]
            if kept is None or kept.shape != variable.shape:
                raise FileFormatError("it was kept in the middle of an epoch, with other metrics")

    def tell(self, callbacks: Sequence[Callback]) -> None:
        """Give callbacks what they had noted; by their classes, and in their order where a class is there twice."""
        for callback in callbacks:
            callback._note_beginning()
        found, self.found = self.found, None  # its values are in use now
        if found is None:
            return
        try:
            known = {name: unpacked(state, found.values) for name, state in found.state["callbacks"]}
        except BROKEN as error:
            raise FileFormatError(f"{self.folder / FILE}: what callbacks noted: {reason(error)}.") from error
        for name, callback in _numbered(callbacks):
            if name in known:
                callback.load_state_dict(known[name])
        self._model.stop_training = bool(found.state.get("stopped"))

    def begin(self, session: Session, callbacks: Sequence[Callback]) -> None:
        """Keep the state of this session from now on."""
        self._session, self._callbacks = session, callbacks
        self._last = self._started = time.monotonic()

    def room(self) -> int | None:
        """How many steps may be done before a checkpoint is due; None: any number."""
        return None if self.every.steps is None else self.every.steps - self._since

    def due(self, steps: int) -> bool:
        """Whether one is due after ``steps`` more steps. Raises what went wrong with the one before."""
        self._writer.check()
        self._since += steps
        if self.every.steps is not None:
            return self._since >= self.every.steps
        return self.every.seconds is not None and time.monotonic() - self._last >= self.every.seconds

    def elapsed(self) -> float:
        """Seconds trained in all."""
        return self.seconds + time.monotonic() - self._started

    def save(self, place: Place) -> None:
        """Keep a checkpoint of now: a copy at once, which is written while training goes on."""
        values = self._session.snapshot()
        by_id = {id(variable): value for variable, value in values}
        kept = {name: by_id[id(v)] if id(v) in by_id else v.numpy() for name, v in self._names.items()}
        if place.done:
            metrics = [value for variable, value in values if isinstance(variable, MetricVariable)]
            kept |= {f"{_METRIC}{i}": value for i, value in enumerate(metrics)}
        aside: dict[str, np.ndarray] = {}
        told = [[name, packed(_noted(one), aside, _CALLBACK)] for name, one in _numbered(self._callbacks)]
        now = [constant_rate(optimizer) for optimizer in self._rated]
        rates = [None if one == was else one for one, was in zip(now, self._rates, strict=True)]
        applied = self._step.optimizers
        optimizers = [
            {"calls": one.calls, "rate": rate} for (one, _), rate in zip(applied, rates, strict=False)
        ]
        state = {
            "place": vars(place), "runs": self._session.runs[0], "random": list(rng_state()),
            "optimizers": optimizers, "rates": rates[len(applied) :], "callbacks": told, "seconds": self.elapsed(),
            "stopped": bool(self._model.stop_training) and not self.out_of_time,
        }  # fmt: skip
        flags = _flags(self._model)
        if flags != self._frozen:
            state["trainable"] = flags
        self._writer.write(Checkpoint({**kept, **aside}, state))
        self._since, self._last = 0, time.monotonic()

    def close(self) -> None:
        """Wait for what is being written."""
        self._writer.close()

    def remove(self) -> None:
        """Remove the checkpoint, and its folder if nothing else is in it."""
        for path in (self.folder / FILE, _before(self.folder / FILE)):
            path.unlink(missing_ok=True)
        with suppress(OSError):
            self.folder.rmdir()

    def check(self) -> None:
        """Raise what went wrong with writing."""
        self._writer.check()


_ASIDE = ":"
_METRIC, _CALLBACK = f"{_ASIDE}metric/", f"{_ASIDE}callback"
"""Names that no variable has."""


def _freezable(model: Model) -> list[Any]:
    return [*model.layers_below(), *model.weights]


def _flags(model: Model) -> list[bool]:
    return [bool(one.trainable) for one in _freezable(model)]


def names_of(model: Model, step: TracedStep) -> dict[str, Variable]:
    """What a checkpoint calls each variable of ``model``, of its optimizers, and whatever else the step carries."""
    paths = model.variable_paths()
    own = [v for v in step.variables if not isinstance(v, MetricVariable)]
    slots = [
        slot
        for optimizer, _ in step.optimizers
        for slot in optimizer.variables
        if not isinstance(slot, HostNumber)
    ]
    found: dict[str, Variable] = {}
    seen: Counter[str] = Counter()
    for variable in {id(v): v for v in (*model.weights, *own, *slots)}.values():
        path = paths.get(id(variable), variable.path)
        seen[path] += 1
        found[path if seen[path] == 1 else f"{path}#{seen[path]}"] = variable
    return found


def _numbered(callbacks: Sequence[Callback]) -> Iterator[tuple[str, Callback]]:
    seen: Counter[str] = Counter()
    for callback in callbacks:
        name = type(callback).__name__
        seen[name] += 1
        yield f"{name} {seen[name]}", callback


def _noted(callback: Callback) -> dict[str, Any]:
    state = callback.state_dict()
    if not isinstance(state, dict) or not is_plain(state):
        raise ArgumentError(
            f"{type(callback).__name__}.state_dict gives a dict of plain data (numbers, text, arrays, lists, tuples "
            f"and dicts), not {shown(state)}."
        )
    return state


def _count(given: Any) -> int:
    if type(given) is not int or not 0 <= given < 2**63:
        raise FileFormatError(f"{str(given)[:80]!r} stands where a number of steps is due")
    return given
