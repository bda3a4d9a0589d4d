"""What data may come from: one table of sources, each of which gives batches."""

from __future__ import annotations

import itertools
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from unifront.errors import ArgumentError, DataError
from unifront.trace import current_seed
from unifront.train.data.ahead import Ahead
from unifront.train.data.arrays import Arrays
from unifront.train.data.py_dataset import PyDataset, batches_in_order
from unifront.train.data.tables import is_of

Batch = tuple[Any, Any, Any]
"""``x, y, sample_weight``; None for what is not there."""


ENDLESS = -1
"""How many batches a source has that does not end."""


@dataclass(frozen=True)
class Pass:
    """How one pass over a source is to be: its number, whether in another order, and the examples of a batch."""

    number: int
    shuffle: bool
    batch_size: int

    def order(self, count: int) -> np.ndarray:
        """The numbers below ``count``, shuffled if so."""
        order = np.arange(count)
        if self.shuffle:
            np.random.default_rng([current_seed(), self.number]).shuffle(order)
        return order


@dataclass(frozen=True)
class Kind:
    """One kind of source.

    Args:
        name: what errors call it.
        known: whether something is of this kind.
        begin: a pass over it.
        count: how many batches a pass has: `ENDLESS`, or None where that is not known.
        ahead: whether a thread takes batches before they are used. What is begun again for each pass loses nothing by
            that; a generator would lose those batches, and its code may count on the thread that made it.
        columns: whether its batches are columns by name.
    """

    name: str
    known: Callable[[Any], bool]
    begin: Callable[[Any, Pass], Iterator[Any]]
    count: Callable[[Any, int], int | None] = lambda source, batch_size: None
    ahead: bool = True
    columns: bool = False


def _iterate(source: Any, how: Pass) -> Iterator[Any]:
    return iter(source)


def _tf_batches(source: Any, how: Pass) -> Iterator[Any]:
    """Whoever lets go of TensorFlow's iterator waits for its tuning thread, for up to a second: not who trains."""
    held = [iter(source)]
    try:
        yield from held[0]
    finally:
        threading.Thread(target=held.clear).start()


def _py_batches(source: Any, how: Pass) -> Iterator[Any]:
    count = source.num_batches
    if count is None:
        return batches_in_order(source, itertools.count())
    own = getattr(source, "own_order", False)  # it has been shuffled as its maker wanted
    return batches_in_order(source, range(count) if own else map(int, how.order(count)))


def _rows(source: Any, how: Pass) -> Iterator[Any]:
    if is_of(source, "datasets", "IterableDataset"):
        yield from source.with_format("numpy").iter(how.batch_size)
        return
    rows, order = source.with_format("numpy"), how.order(len(source))
    for start in range(0, len(order), how.batch_size):
        yield rows[order[start : start + how.batch_size]]


def _length(source: Any, batch_size: int) -> int | None:
    try:
        return len(source)
    except (TypeError, NotImplementedError, ValueError):  # of an endless or iterable-style source
        return None


def _cardinality(source: Any, batch_size: int) -> int | None:
    count = int(source.cardinality())
    return {-1: ENDLESS, -2: None}.get(count, count)


def _row_batches(source: Any, batch_size: int) -> int | None:
    count = _length(source, batch_size)
    return None if count is None else -(-count // batch_size)


def _is_iterable(x: Any) -> bool:
    return isinstance(x, Iterable) and not (
        isinstance(x, list | tuple | Mapping | str) or hasattr(x, "shape") or is_of(x, "pyarrow", "Table")
    )


KINDS = (
    Kind(
        "a PyDataset",
        lambda x: isinstance(x, PyDataset) or is_of(x, "keras", "PyDataset"),
        _py_batches,
        lambda source, _: ENDLESS if source.num_batches is None else source.num_batches,
    ),
    Kind("a tf.data.Dataset", lambda x: is_of(x, "tensorflow", "DatasetV2"), _tf_batches, _cardinality),
    Kind("a torch DataLoader", lambda x: is_of(x, "torch.utils.data", "DataLoader"), _iterate, _length),
    Kind(
        "a grain dataset",
        lambda x: is_of(x, "grain", "MapDataset", "IterDataset", "DataLoader"),
        _iterate,
        _length,
    ),
    Kind(
        "a dataset of Hugging Face",
        lambda x: is_of(x, "datasets", "Dataset", "IterableDataset"),
        _rows,
        _row_batches,
        columns=True,
    ),
    Kind("a dataset of tables", lambda x: getattr(x, "begins_anew", False) is True, _iterate, _length),
    Kind("an iterable", _is_iterable, _iterate, ahead=False),
)
"""Each source is of the first kind that knows it."""


def kind_of(x: Any) -> Kind | None:
    """The kind of source that ``x`` is; None: arrays."""
    kind = next((kind for kind in KINDS if kind.known(x)), None)
    if (kind is None or kind is KINDS[-1]) and is_of(x, "torch.utils.data", "Dataset"):
        raise ArgumentError(
            f"A {type(x).__name__} of PyTorch gives single examples; batches are made of it by "
            "torch.utils.data.DataLoader(dataset, batch_size=32)."
        )
    return kind


def is_stream(x: Any) -> bool:
    """Whether ``x`` gives batches one by one, rather than being all of the data."""
    return kind_of(x) is not None


def batches_of(source: Iterable[Any]) -> Iterator[Batch]:
    """``(x, y, sample_weight)`` from an iterable of ``x``, ``(x, y)`` or ``(x, y, sample_weight)``."""
    for item in source:
        parts = tuple(item) if isinstance(item, tuple | list) else (item,)
        if len(parts) > 3:
            raise DataError(
                f"A batch is (x, y) or (x, y, sample_weight); one of {len(parts)} parts was given."
            )
        yield (*parts, None, None)[:3]


def _end(items: Iterator[Any]) -> None:
    """Let a pass end what it holds, such as workers."""
    close = getattr(items, "close", None)
    if close is not None:
        close()


class Stream:
    """A source of batches, each checked as it comes.

    Args:
        source: what gives them.
        check: makes checked arrays of ``x, y, sample_weight``.
        split: makes those of what the source gives; None: they are a tuple.
        batch_size: for sources of rows.
        shuffle: whether a source whose batches are numbered gives them in another order each pass.

    ``left``, if set, is how many batches the epoch under way takes yet: more are not taken ahead, as what a source
    gives may change when its epoch ends. ``put``, once set, is called by the thread that takes batches ahead, to bring
    their arrays to the device.
    """

    def __init__(
        self,
        source: Any,
        check: Callable[[Any, Any, Any], Arrays],
        split: Callable[[Any], Batch] | None = None,
        batch_size: int = 32,
        shuffle: bool = False,
    ) -> None:
        kind = kind_of(source)
        assert kind is not None
        self.source, self.kind, self.shuffle, self.batch_size = source, kind, shuffle, batch_size
        self.put: Callable[[np.ndarray], Any] | None = None
        self.left: int | None = None
        self.passes = 0
        self._check, self._split = check, split
        self._open: Iterator[Arrays] | None = None
        self._within_epoch = False

    @property
    def length(self) -> int | None:
        """How many batches a pass has; None: that is not known, or there is no end."""
        count = self.kind.count(self.source, self.batch_size)
        return None if count == ENDLESS else count

    @property
    def is_endless(self) -> bool:
        """Whether a pass has no end."""
        return self.kind.count(self.source, self.batch_size) == ENDLESS

    def __call__(self) -> Iterator[Arrays]:
        """Begin a pass. The one before is over."""
        self.close()
        self.begin_epoch()
        how = Pass(self.passes, self.shuffle, self.batch_size)
        self.passes += 1
        self._open = self._pass(self.kind.begin(self.source, how))
        return self._open

    def _pass(self, items: Iterator[Any]) -> Iterator[Arrays]:
        batches = map(self._split, items) if self._split is not None else batches_of(items)
        given = False
        try:
            for batch in batches:  # the first: a model may be made by it, in the thread of who called
                yield self._check(*batch)
                given = True
                break
        finally:
            if self.kind.ahead and not given:
                _end(items)
        if given and self.kind.ahead:
            with Ahead(self._placed(batches, items), may=self._may) as ready:
                yield from ready
        elif given:
            yield from itertools.starmap(self._check, batches)

    def _may(self, waiting: int) -> bool:
        return self.left is None or waiting < self.left

    def _placed(self, batches: Iterator[Batch], items: Iterator[Any]) -> Iterator[Arrays]:
        try:
            for batch in batches:
                arrays = self._check(*batch)
                yield arrays if self.put is None else arrays.at(self.put)
        finally:
            _end(items)

    def begin_epoch(self) -> None:
        """Tell the source that an epoch begins, unless one is under way."""
        if not self._within_epoch:
            self._within_epoch = True
            self._tell("on_epoch_begin")

    def end_epoch(self) -> None:
        """Tell the source that its epoch is over."""
        if self._within_epoch:
            self._within_epoch = False
            self._tell("on_epoch_end")

    def _tell(self, event: str) -> None:
        if self.kind is KINDS[0]:
            getattr(self.source, event)()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self.end_epoch()

    def close(self) -> None:
        """End the pass under way, and its threads."""
        if self._open is not None:
            self._open.close()  # type: ignore[attr-defined]  # it is a generator
            self._open = None


def warn_of_end(epoch: int, steps: int | None) -> None:
    """Warn that there are no more batches in ``epoch``, where each is to have ``steps``."""
    warnings.warn(
        f"The data ran out in epoch {epoch + 1}, of {steps} batches each, so training ends. Give data of "
        "steps_per_epoch * epochs batches, or an object that can be iterated again.",
        stacklevel=2,
    )


def no_batch(purpose: str) -> DataError:
    """The error of an iterable that gives nothing to ``purpose``."""
    return DataError(
        f"The data gave no batch, so there is nothing to {purpose}. A generator is used up after one pass: give "
        "a number of steps, or an object that can be iterated again."
    )
