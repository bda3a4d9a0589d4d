"""The epochs of one call of `fit`: steps given to the device in blocks, running sums read now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from unifront.backends import Array
from unifront.errors import DataError, NonFiniteLoss
from unifront.train.anomaly import first_broken
from unifront.train.callbacks import CallbackList
from unifront.train.callbacks.base import Logs
from unifront.train.data import Ahead, Arrays, Stream, gathered, like_the_first, mapped_by, no_batch
from unifront.train.interrupts import Interrupts
from unifront.train.order import Order, after
from unifront.train.progress import READ_EVERY, EpochProgress
from unifront.train.resume import Place, Resume
from unifront.train.session import Session

if TYPE_CHECKING:
    from unifront.model import Model

BLOCK = 32
"""Steps given to the device at a time, when a step is so short that the loop itself would count."""
SHORT_STEP = 0.01
"""Seconds under which a step counts as short."""

RESIDENT = 0.5
"""The share of a device's free memory that data may take. Arrays that take more stay where they are, and go to the
device in pieces."""
MAPPED = 2**24
"""The most bytes of files in memory (`numpy.memmap`) that are read at once, rather than in pieces."""
COPIED = 2**28
"""The most bytes that are in memory twice, where the device's memory is the host's."""
PIECE = 2**21
"""The bytes of such a piece: some batches, taken ahead by a thread."""


@dataclass
class Run:
    """One call of `fit`: what its epochs share.

    Args:
        source: arrays, which are kept on the device from the first epoch on if they fit; or what begins a pass over
            batches.
        batches: the pass under way.
        order: how epochs take examples of arrays.
        watchers: the callbacks to call at every batch.
        follow: called with each batch of a stream; sees to it that the session is for its sizes, if the model is.
        resume: keeps checkpoints.
        until: when training ends, by `time.monotonic`.
        bears_nan: whether a loss that is no number is no error.
        detects: whether the values before each step are kept, to find where such a number came from.
        ran_out: whether the data had fewer batches than were asked for, and there are no more.
    """

    session: Session
    model: Model
    source: Arrays | Stream
    batches: Iterator[Arrays]
    order: Order
    watchers: CallbackList
    interrupts: Interrupts
    follow: Callable[[Arrays], None]
    resume: Resume | None = None
    until: float | None = None
    bears_nan: bool = False
    detects: bool = False
    ran_out: bool = False
    _before: Any = None
    _short: bool = False
    _started: float | None = None
    _on_device: tuple[Array, ...] = ()
    _fits: bool | None = None
    _drawn: int = 0
    _begun: Place = field(default_factory=Place)

    def is_over(self) -> bool:
        """Whether the time is up."""
        return self.until is not None and time.monotonic() >= self.until

    def place(self, epoch: int, done: int) -> Place:
        """Where training is: after ``done`` steps of ``epoch``."""
        data = (len(self.source) if isinstance(self.source, Arrays) else None, self.order.size)
        began = self._begun if done else Place(began=self.session.runs[0], order=self.order.state())
        passes = self.source.passes - (self._drawn > 0) if isinstance(self.source, Stream) else 0
        return replace(began, epoch=epoch, done=done, drawn=self._drawn, passes=passes, data=data)

    def go_to(self, place: Place) -> None:
        """Go on from ``place``, found in a checkpoint."""
        here = self.place(place.epoch, 0)
        if (place.done or place.order) and place.data != here.data:
            raise DataError(
                f"The checkpoint was kept in the middle of the data: {place.data[0]} examples in batches of "
                f"{place.data[1]}. There are {here.data[0]} in batches of {here.data[1]} now."
            )
        self.order.restore(place.order)
        for number in range(place.drawn):
            with self.interrupts.users():
                if next(self.batches, None) is None:
                    raise DataError(
                        f"The data ends after {number} batches; the checkpoint was kept after {place.drawn}."
                    )
        self._drawn = place.drawn

    def epoch(self, epoch: int, progress: EpochProgress, resumed: Place | None = None) -> Logs:
        """One epoch, or what is left of it; its losses and metrics, none if data that `ran_out` have no batch for it.

        Raises `NonFiniteLoss`, and `DataError` if there is no batch.
        """
        began = Place(began=self.session.runs[0], order=self.order.state()) if resumed is None else resumed
        self._begun, done = began, began.done
        if not isinstance(self.source, Arrays):
            progress.begin(epoch, self.order.limit or self.order.most or self.source.length)
            return self._epoch(epoch, progress, self._stream_steps(self.source, done), resumed)
        if self._fits is None:
            self._settle(self.source)
        whole = self.order.epoch(epoch, began.began)
        progress.begin(epoch, sum(map(len, whole)))
        blocks = after(whole, done)
        steps = (
            self._device_steps(blocks, self._on_device, done)
            if self._fits
            else self._host_steps(blocks, self.source, done)
        )
        return self._epoch(epoch, progress, steps, resumed)

    def _settle(self, source: Arrays) -> None:
        """Put ``source`` on the device, if it fits."""
        free = self.session.free_bytes()
        size = sum(array.nbytes for array in source.all)
        mapped = sum(array.nbytes for array in source.all if mapped_by(array) is not None)
        is_copy = all(device.startswith("cpu") for device in self.session.place.devices)
        self._fits = (
            mapped <= MAPPED and (free is None or size <= RESIDENT * free) and not (is_copy and size > COPIED)
        )
        if self._fits:
            self._on_device = tuple(map(self.session.put_all, source.all))

    def _keep(self, batch: Sequence[np.ndarray]) -> None:
        """Keep what the next step begins with."""
        self._before = (self.session.snapshot(), list(batch), *self.session.coming())

    def _begin_batch(self, number: int) -> None:
        if len(self.watchers):
            self.watchers.on_train_batch_begin(number)

    def _device_steps(
        self, blocks: Sequence[np.ndarray], arrays: tuple[Array, ...], before: int
    ) -> Iterator[int]:
        for block in blocks:
            done = 0
            while done < len(block):
                room = None if self.resume is None else self.resume.room()
                free = not len(self.watchers) and not self.detects and (room is None or room >= BLOCK)
                count = BLOCK if self._short and free and len(block) - done >= BLOCK else self._at_once(room)
                count = min(count, len(block) - done)
                self._begin_batch(before + done)
                if self.detects:
                    self._keep([self.session.place.backend.numpy(array)[block[done]] for array in arrays])
                self.session.run(arrays, block[done : done + count])
                done += count
                yield count
            before += done

    def _at_once(self, room: int | None) -> int:
        """How many steps pass from one call of callbacks to the next."""
        wanted = 1 if self.detects else self.model._compiled().steps_per_execution
        return wanted if room is None else max(1, min(wanted, room))

    def _host_steps(self, blocks: Sequence[np.ndarray], source: Arrays, before: int) -> Iterator[int]:
        with Ahead(self._pieces(blocks, source)) as pieces:
            for arrays, rows in pieces:
                yield from self._device_steps([rows], arrays, before)
                before += len(rows)

    def _pieces(
        self, blocks: Sequence[np.ndarray], source: Arrays
    ) -> Iterator[tuple[tuple[Array, ...], np.ndarray]]:
        """Some batches at a time on the device, and which rows of these each batch is."""
        row_bytes = sum(array.nbytes // len(array) for array in source.all)
        for block in blocks:
            steps = max(1, PIECE // max(1, row_bytes * block.shape[1]))
            for first in range(0, len(block), steps):
                rows = block[first : first + steps]
                placed = tuple(self.session.put(gathered(array, rows)) for array in source.all)
                yield placed, np.arange(rows.size, dtype=np.int32).reshape(rows.shape)

    def _stream_steps(self, stream: Stream, number: int) -> Iterator[int]:
        limit, most = self.order.limit, self.order.most
        with self.interrupts.users():
            stream.begin_epoch()
        stream.left = None if limit is None else limit - number
        while (limit is None or number < limit) and (most is None or number < most):
            if stream.left is not None:
                stream.left -= (
                    1  # before it is taken: the thread that takes batches ahead looks at once it has been
                )
            with self.interrupts.users():
                batch = next(self.batches, None)
                if batch is None and (limit is not None or not number):
                    self.batches, self._drawn = stream(), 0
                    batch = next(self.batches, None)
            if batch is None:
                self.ran_out = limit is not None
                break
            self._drawn += 1
            self.follow(batch)
            like_the_first(self.session.step, batch, number)
            self._begin_batch(number)
            if self.detects:
                self._keep(batch.all)
            self.session.run_on(batch.placed or [self.session.put(array) for array in batch.all])
            number += 1
            yield 1
        if limit is None:  # the next epoch is another pass
            self.batches, self._drawn = iter(()), 0
        with self.interrupts.users():
            stream.end_epoch()

    def _epoch(
        self, epoch: int, progress: EpochProgress, steps: Iterator[int], resumed: Place | None
    ) -> Logs:
        self.session.reset_metrics()
        done = 0
        if resumed is not None and resumed.done and self.resume is not None:
            self.session.set_metrics(self.resume.metrics)
            done = resumed.done
            progress.advance(done, None)
            steps = iter(()) if self.model.stop_training else steps
        began = last = time.perf_counter()
        self._started = self._started or began
        seen, watched, first = done, len(self.watchers) > 0, done
        for count in steps:
            self.interrupts.check()
            done += count
            now = time.perf_counter()
            logs = None
            if watched or self.detects or done - first <= 2 or now - last > READ_EVERY:
                logs = self._read(epoch, done)
                if self.detects:
                    self._check_weights(epoch)
                now = time.perf_counter()
                self._short = self._is_short(now - began, done - seen) if done - first > 2 else self._short
                began, last, seen = now, now, done
                if watched:
                    self.watchers.on_train_batch_end(done - 1, dict(logs))
            progress.advance(count, logs)
            if self.resume is not None and self.resume.due(count):
                self.resume.save(self.place(epoch, done))
            if self.is_over():
                self.model.stop_training = True
                if self.resume is not None:  # the epoch is not over: it goes on when there is time again
                    self.resume.out_of_time = True
                    self.resume.save(self.place(epoch, done))
                break
            if self.model.stop_training:
                break
        if not done and self.ran_out:
            return {}
        if not done:
            raise no_batch("train on")
        logs = self._read(epoch, done)
        now = time.perf_counter()
        if done - seen > 2 and now - self._started > READ_EVERY:  # epochs may be shorter than that
            self._short = self._is_short(now - began, done - seen)
        self._check_weights(epoch)
        return logs

    @staticmethod
    def _is_short(seconds: float, steps: int) -> bool:
        return seconds / steps < SHORT_STEP

    def _read(self, epoch: int, done: int) -> Logs:
        logs = self.session.logs()
        loss = logs.get("loss", 0.0)
        if not np.isfinite(loss) and not self.bears_nan:
            raise NonFiniteLoss(
                f"The loss of {self.model.name!r} is {loss} in epoch {epoch + 1}, within the first {done} "
                f"steps{self._rate()}. {self._origin()}Try a smaller learning rate or clipnorm=1.0, and look for "
                "NaN in the data."
            )
        return logs

    def _origin(self) -> str:
        """Where the first number that is not finite came from, as far as that is looked for."""
        if self._before is None:
            return "fit(detect_anomaly=True) finds the layer that it comes from. "
        before, self._before = self._before, None
        self.session.give_back()
        return f"First was {first_broken(self.session.step, self.session.place, *before)}. "

    def _rate(self) -> str:
        optimizer = self.model.optimizer
        return f", at the learning rate {optimizer.rate(optimizer.iterations):g}"

    def _check_weights(self, epoch: int) -> None:
        """A loss may stay finite while weights do not: some kernels drop NaN. Looked at once an epoch."""
        for variable, value in () if self.bears_nan else self.session.values():
            if value.dtype.kind in "fV" and not np.isfinite(value.astype(np.float32, copy=False)).all():
                raise NonFiniteLoss(
                    f"The weight {variable.path!r} of {self.model.name!r} holds numbers that are not finite after "
                    f"epoch {epoch + 1}{self._rate()}, though the loss is finite. {self._origin()}"
                    "Look for NaN in the data."
                )
