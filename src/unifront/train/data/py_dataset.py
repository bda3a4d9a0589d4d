"""Datasets written in Python: batches by number, made by threads or processes."""

from __future__ import annotations

import itertools
import multiprocessing
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

from unifront.train.arguments import whole


class PyDataset:
    """Base class of data given batch by batch: write ``__getitem__`` and ``__len__``, or ``num_batches``.

    Args:
        workers: how many threads, or processes, make batches in `Model.fit` and its like. With 1 they are made by one
            thread ahead of the steps, with 0 between them.
        use_multiprocessing: whether workers are processes, which begin anew and get the dataset by pickle: its class is
            in a module, and a script keeps its work under ``if __name__ == "__main__":``.
        max_queue_size: how many batches may wait there, and no fewer than there are workers.

    ``self[i]`` is batch ``i``: ``x``, ``(x, y)`` or ``(x, y, sample_weight)``. ``num_batches`` None means that there is
    no end; then `Model.fit` needs ``steps_per_epoch``. In `Model.fit` with ``shuffle=True`` the batches come in another
    order each epoch. What ``on_epoch_end`` changes is so from the next epoch on.

    Source: ``keras.utils.PyDataset``.

    Example::

        class Squares(uf.utils.PyDataset):
            def __len__(self):
                return 10

            def __getitem__(self, i):
                x = np.arange(8.0)[:, None] + 8 * i
                return x, x**2
    """

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10) -> None:
        self._workers = whole("workers", workers, 0)
        self._use_multiprocessing = bool(use_multiprocessing)
        self._max_queue_size = whole("max_queue_size", max_queue_size, 0)

    def _setting(self, name: str, default: Any) -> Any:
        if name not in vars(self):
            warnings.warn(
                "Your `PyDataset` class should call `super().__init__(**kwargs)` in its constructor. `**kwargs` can "
                "include `workers`, `use_multiprocessing`, `max_queue_size`. Do not pass these arguments to `fit()`, "
                "as they will be ignored.",
                stacklevel=3,
            )
            setattr(self, name, default)
        return getattr(self, name)

    @property
    def workers(self) -> int:
        """How many threads or processes make batches."""
        return self._setting("_workers", 1)

    @workers.setter
    def workers(self, value: int) -> None:
        self._workers = whole("workers", value, 0)

    @property
    def use_multiprocessing(self) -> bool:
        """Whether workers are processes."""
        return self._setting("_use_multiprocessing", False)

    @use_multiprocessing.setter
    def use_multiprocessing(self, value: bool) -> None:
        self._use_multiprocessing = bool(value)

    @property
    def max_queue_size(self) -> int:
        """How many batches may wait."""
        return self._setting("_max_queue_size", 10)

    @max_queue_size.setter
    def max_queue_size(self, value: int) -> None:
        self._max_queue_size = whole("max_queue_size", value, 0)

    def __getitem__(self, index: int) -> Any:
        """Batch ``index``."""
        raise NotImplementedError(f"{type(self).__name__} has no __getitem__(index), which gives a batch.")

    @property
    def num_batches(self) -> int | None:
        """How many batches there are; None: no end."""
        if hasattr(self, "__len__"):
            return len(self)
        raise NotImplementedError(
            "You need to implement the `num_batches` property:\n\n@property\ndef num_batches(self):\n  return ..."
        )

    def __iter__(self) -> Iterator[Any]:
        """The batches in order, one by one."""
        try:
            count = self.num_batches
        except NotImplementedError:
            count = None
        for index in itertools.count() if count is None else range(count):
            yield self[index]

    def on_epoch_begin(self) -> None:
        """Called before each epoch of training, evaluation or prediction."""

    def on_epoch_end(self) -> None:
        """Called after each epoch."""


def batches_in_order(dataset: Any, order: Iterable[int]) -> Iterator[Any]:
    """The batches of ``dataset`` with these numbers, made by its workers; a None is left out, as Keras does."""
    workers, processes = dataset.workers, dataset.use_multiprocessing
    if workers < 2 and not (workers and processes):
        made: Iterator[Any] = (dataset[index] for index in order)
    else:
        made = _made_by_workers(dataset, order, workers, processes)
    try:
        for batch in made:
            if batch is not None:
                yield batch
    finally:
        made.close()  # type: ignore[attr-defined]  # both are generators


def _made_by_workers(dataset: Any, order: Iterable[int], workers: int, processes: bool) -> Iterator[Any]:
    pool: Executor
    if processes:
        methods = (
            multiprocessing.get_all_start_methods()
        )  # never a fork of this process: frameworks have threads
        context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        pool = ProcessPoolExecutor(workers, context, initializer=_receive, initargs=(dataset,))
        make: Any = _make
    else:
        pool = ThreadPoolExecutor(workers, thread_name_prefix="unifront data")
        make = dataset.__getitem__
    pending: deque[Future[Any]] = deque()
    try:
        for index in order:
            pending.append(pool.submit(make, index))
            if len(pending) > max(dataset.max_queue_size, workers):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_received: list[Any] = []


def _receive(dataset: Any) -> None:
    _received[:] = [dataset]


def _make(index: int) -> Any:
    return _received[0][index]
