"""Requests of several clients answered by one prediction.

A model runs in a thread of its own, one prediction at a time. Requests that arrive meanwhile wait, and those that fit
together (whose arrays differ in the number of examples alone) are the next one. So an idle server answers at once, and
a busy one the faster the more it is asked. Clipper (Crankshaw et al. 2017, arXiv:1612.03079) calls it adaptive
batching.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from unifront.errors import UnifrontError
from unifront.serving.errors import Refused
from unifront.serving.limits import Limits
from unifront.serving.metrics import Metrics
from unifront.serving.served import Arrays, Served

LOG = logging.getLogger("unifront.serving")
Found = Arrays | Exception


@dataclass(frozen=True, eq=False)
class Job:
    """A request that waits: its arrays, and whom to tell."""

    arrays: Arrays
    count: int
    kind: tuple[object, ...]
    answer: asyncio.Future[Arrays]
    arrived: float


class Batcher:
    """What stands between requests and a model. It lives in one event loop, from `start` to `stop`."""

    def __init__(self, served: Served, limits: Limits, metrics: Metrics) -> None:
        self.served, self._limits, self._metrics = served, limits, metrics
        self._waiting: deque[Job] = deque()
        self._arrived = asyncio.Event()
        self._ending = False

    def start(self) -> None:
        """Begin to answer."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"unifront-{self.served.name}")
        self._task = asyncio.create_task(self._answer_all())

    async def stop(self) -> None:
        """Answer what waits, then end."""
        self._ending = True
        self._arrived.set()
        await self._task
        self._thread.shutdown()

    async def predict(self, arrays: Arrays) -> Arrays:
        """The outputs for checked arrays. Raises what the model raises, or `Refused` where too many wait."""
        if self._ending or len(self._waiting) >= self._limits.max_waiting:
            why = "is being shut down" if self._ending else f"has {len(self._waiting)} requests waiting"
            raise Refused(
                503, f"The model {self.served.name!r} {why}; try again later.", {"Retry-After": "1"}
            )
        joins = self.served.joins and self._limits.max_batch > 1
        kind = tuple(array.shape[1:] for array in arrays) if joins else (object(),)
        count = len(arrays[0]) if arrays and arrays[0].ndim else 1
        answer = asyncio.get_running_loop().create_future()
        self._waiting.append(Job(arrays, count, kind, answer, time.monotonic()))
        self._metrics.waiting(self.served.name, len(self._waiting))
        self._arrived.set()
        return await answer

    async def _answer_all(self) -> None:
        while True:
            while not self._waiting:
                if self._ending:
                    return
                self._arrived.clear()
                await self._arrived.wait()
            await self._wait_for_more(self._waiting[0])
            jobs = self._taken()
            found = await asyncio.get_running_loop().run_in_executor(self._thread, self._found, jobs)
            for job, one in zip(jobs, found, strict=True):
                if job.answer.done():  # the client has gone
                    continue
                if isinstance(one, Exception):
                    job.answer.set_exception(one)
                else:
                    job.answer.set_result(one)

    async def _wait_for_more(self, first: Job) -> None:
        """Until a batch for ``first`` is full, or it has waited long enough."""
        while not self._ending and self._examples(first) < self._limits.max_batch:
            left = first.arrived + self._limits.max_wait - time.monotonic()
            if left <= 0 or not self.served.joins:
                return
            self._arrived.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._arrived.wait()

    def _examples(self, first: Job) -> int:
        return sum(job.count for job in self._waiting if job.kind == first.kind)

    def _taken(self) -> list[Job]:
        """The first job and those that fit beside it, in their order; they wait no more."""
        first = self._waiting.popleft()
        jobs, left = [first], self._limits.max_batch - first.count
        others: deque[Job] = deque()
        for job in self._waiting:
            fits = job.kind == first.kind and job.count <= left
            (jobs if fits else others).append(job)
            if fits:
                left -= job.count
            elif job.kind == first.kind:
                left = 0  # nobody overtakes
        self._waiting = others
        self._metrics.waiting(self.served.name, len(others))
        return jobs

    # ------------------------------------------------------------ in the thread

    def _found(self, jobs: Sequence[Job]) -> list[Found]:
        """The outputs of each job, or what it raised; one that raises leaves the others alone."""
        began = time.perf_counter()
        try:
            if len(jobs) == 1:
                return [self._alone(jobs[0])]
            joined = [np.concatenate(parts) for parts in zip(*(job.arrays for job in jobs), strict=True)]
            try:
                outputs = self.served.predict(joined)
            except Exception as error:  # noqa: BLE001  # because of one of them: each by itself tells which
                LOG.warning("%d requests to %r failed together: %s", len(jobs), self.served.name, error)
                return [self._alone(job) for job in jobs]
            ends = np.cumsum([job.count for job in jobs])[:-1]
            return [list(parts) for parts in zip(*(np.split(one, ends) for one in outputs), strict=True)]
        finally:
            count = sum(job.count for job in jobs)
            self._metrics.predicted(self.served.name, count, time.perf_counter() - began)

    def _alone(self, job: Job) -> Found:
        try:
            return self.served.predict(job.arrays)
        except UnifrontError as error:
            return error
        except Exception as error:
            LOG.exception("The model %r failed on arrays of the shapes %s", self.served.name, _shapes(job))
            return Refused(500, f"The model {self.served.name!r} failed on arrays of the shapes {_shapes(job)}: "
                                f"{type(error).__name__}; the server's log has more.")  # fmt: skip


def _shapes(job: Job) -> str:
    return ", ".join(str(list(array.shape)) for array in job.arrays)
