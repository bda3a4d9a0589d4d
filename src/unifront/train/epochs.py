"""The epochs of one call of `fit`: steps given to the device in blocks, running sums read now and then."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from unifront.backends import Array
from unifront.errors import NonFiniteLoss
from unifront.trace import current_seed
from unifront.train.callbacks import Callback, Logs
from unifront.train.data import Arrays, Stream, forget_pages, like_the_first, mapped_by, no_batch
from unifront.train.interrupts import Interrupts
from unifront.train.progress import EpochProgress
from unifront.train.session import Session

if TYPE_CHECKING:
    from unifront.model import Model

READ_EVERY = 0.25
"""Seconds between two looks at the running sums."""
BLOCK = 32
"""Steps given to the device at a time, when a step is so short that the loop itself would count."""
SHORT_STEP = 0.01
"""Seconds under which a step counts as short."""

RESIDENT = 0.5
"""The share of a device's free memory that data may take. Arrays that take more stay where they are, and their batches
go to the device one by one."""
MAPPED = 2**24
"""The most bytes of files in memory (`numpy.memmap`) that are read at once, rather than batch by batch."""


@dataclass
class Run:
    """One call of `fit`: what its epochs share.

    Args:
        source: arrays, which are kept on the device from the first epoch on if they fit; or what begins a pass over
            batches.
        batches: the pass under way.
        limit: steps of an epoch, which then begins where the last one ended, and passes over the data as need
            be; None for one pass.
        watchers: the callbacks to call at every batch.
    """

    session: Session
    model: Model
    source: Arrays | Stream
    batches: Iterator[Arrays]
    batch_size: int
    limit: int | None
    shuffle: bool
    watchers: Sequence[Callback]
    interrupts: Interrupts
    _short: bool = False
    _started: float | None = None
    _on_device: tuple[Array, ...] = ()
    _fits: bool | None = None
    _left: list[np.ndarray] = field(default_factory=list)

    def epoch(self, epoch: int, progress: EpochProgress) -> Logs:
        """One epoch; its losses and metrics. Raises `NonFiniteLoss`, and `DataError` if there is no batch."""
        if not isinstance(self.source, Arrays):
            progress.begin(epoch, self.limit or self.source.length)
            return self._epoch(epoch, progress, self._stream_steps(self.source))
        if self._fits is None:
            free = self.session.free_bytes()
            size = sum(array.nbytes for array in self.source.all)
            mapped = sum(array.nbytes for array in self.source.all if mapped_by(array) is not None)
            self._fits = mapped <= MAPPED and (free is None or size <= RESIDENT * free)
            if self._fits:
                self._on_device = tuple(map(self.session.put, self.source.all))
        take = self._pass if self.limit is None else self._take
        blocks = take(self.source, epoch)
        progress.begin(epoch, sum(map(len, blocks)))
        if not self._fits:
            return self._epoch(epoch, progress, self._host_steps(blocks, self.source))
        return self._epoch(epoch, progress, self._device_steps(blocks, self._on_device))

    def _pass(self, source: Arrays, epoch: int, number: int = 0) -> list[np.ndarray]:
        """All indices in blocks: ``[steps, size]`` of whole batches, then the rest as one smaller batch."""
        order = np.arange(len(source), dtype=np.int32)
        if self.shuffle:
            np.random.default_rng([current_seed(), epoch, self.session.runs[0], number]).shuffle(order)
        whole = len(order) // self.batch_size
        parts = (
            order[: whole * self.batch_size].reshape(whole, self.batch_size),
            order[whole * self.batch_size :],
        )
        return [block for block in (parts[0], parts[1][None]) if block.size]

    def _take(self, source: Arrays, epoch: int) -> list[np.ndarray]:
        taken: list[np.ndarray] = []
        number, limit = 0, self.limit or 0
        while limit > 0:
            if not self._left:
                self._left = self._pass(source, epoch, number)
                number += 1
            block = self._left.pop(0)
            if len(block) > limit:
                self._left.insert(0, block[limit:])
            taken.append(block[:limit])
            limit -= len(taken[-1])
        return taken

    def _begin_batch(self, number: int) -> None:
        if self.watchers:
            with self.interrupts.users():
                for callback in self.watchers:
                    callback.on_train_batch_begin(number, {})

    def _device_steps(self, blocks: Sequence[np.ndarray], arrays: tuple[Array, ...]) -> Iterator[int]:
        before = 0
        for block in blocks:
            done = 0
            while done < len(block):
                count = BLOCK if self._short and not self.watchers and len(block) - done >= BLOCK else 1
                self._begin_batch(before + done)
                self.session.run(arrays, block[done : done + count])
                done += count
                yield count
            before += done

    def _host_steps(self, blocks: Sequence[np.ndarray], source: Arrays) -> Iterator[int]:
        for number, rows in enumerate(itertools.chain.from_iterable(blocks)):
            self._begin_batch(number)
            self.session.run_on([self.session.put(array[rows]) for array in source.all])
            for array in source.all:
                forget_pages(array)
            yield 1

    def _stream_steps(self, stream: Stream) -> Iterator[int]:
        number = 0
        with self.interrupts.users():
            stream.begin_epoch()
        while self.limit is None or number < self.limit:
            with self.interrupts.users():
                batch = next(self.batches, None)
                if batch is None and (self.limit is not None or not number):
                    self.batches = stream()
                    batch = next(self.batches, None)
            if batch is None:
                break
            like_the_first(self.session.step, batch, number)
            self._begin_batch(number)
            self.session.run_on(batch.placed or [self.session.put(array) for array in batch.all])
            number += 1
            yield 1
        with self.interrupts.users():
            stream.end_epoch()

    def _epoch(self, epoch: int, progress: EpochProgress, steps: Iterator[int]) -> Logs:
        self.session.reset_metrics()
        began = last = time.perf_counter()
        self._started = self._started or began
        done = seen = 0
        for count in steps:
            self.interrupts.check()
            done += count
            now = time.perf_counter()
            logs = None
            if self.watchers or done <= 2 or now - last > READ_EVERY:
                logs = self._read(epoch, done)
                after = time.perf_counter()
                self._short = self._is_short(after - began, done - seen) if done > 2 else self._short
                began, last, seen = after, after, done
                if self.watchers:
                    with self.interrupts.users():
                        for callback in self.watchers:
                            callback.on_train_batch_end(done - 1, dict(logs))
            progress.advance(count, logs)
            if self.watchers and self.model.stop_training:
                break
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
        if not np.isfinite(loss):
            raise NonFiniteLoss(
                f"The loss of {self.model.name!r} is {loss} in epoch {epoch + 1}, within the first {done} "
                f"steps{self._rate()}. Try a smaller learning rate or clipnorm=1.0, and look for NaN in the data."
            )
        return logs

    def _rate(self) -> str:
        optimizer = self.model.optimizer
        return f", at the learning rate {optimizer.rate(optimizer.iterations):g}"

    def _check_weights(self, epoch: int) -> None:
        """A loss may stay finite while weights do not: some kernels drop NaN. Looked at once an epoch."""
        for variable, value in self.session.values():
            if value.dtype.kind in "fV" and not np.isfinite(value.astype(np.float32, copy=False)).all():
                raise NonFiniteLoss(
                    f"The weight {variable.path!r} of {self.model.name!r} holds numbers that are not finite after "
                    f"epoch {epoch + 1}{self._rate()}, though the loss is finite. Look for NaN in the data."
                )
