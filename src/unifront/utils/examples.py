"""Datasets of examples that are made when they are asked for."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Self

import numpy as np

from unifront import tree
from unifront.errors import ArgumentError
from unifront.train.data import PyDataset

WORKERS = min(4, os.cpu_count() or 1)
"""Threads that make batches for `Model.fit`: decoders and NumPy let others run meanwhile."""


@dataclass(frozen=True)
class Part:
    """What one part of an example is: its dtype (``str`` for texts), and its shape; None: sizes differ."""

    dtype: str
    shape: tuple[int | None, ...]


class HostArray(np.ndarray):
    """An array of NumPy in a batch, which scripts ask for its ``numpy()`` as they ask a tensor of ``tf.data``."""

    def numpy(self) -> np.ndarray:
        """The array itself, as NumPy's."""
        return self.view(np.ndarray)


def _with_numpy(leaf: Any) -> Any:
    return leaf.view(HostArray) if type(leaf) is np.ndarray else leaf


class Batches(PyDataset):
    """Batches by number, and what scripts call on a dataset of ``tf.data`` to have others made of them.

    What there says how to work ahead is taken and means nothing: `Model.fit` makes batches in threads by itself.
    """

    own_order = True

    def __len__(self) -> int:
        raise NotImplementedError("how many batches there are")

    def in_turn(self) -> Iterator[Any]:
        """The batches of one time through."""
        raise NotImplementedError("the batches")

    def __iter__(self) -> Iterator[Any]:
        return (tree.map_leaves(_with_numpy, batch) for batch in self.in_turn())

    def map(
        self, function: Callable[..., Any], num_parallel_calls: Any = None, deterministic: Any = None
    ) -> Mapped:
        """Each batch, or its parts if it is a tuple, changed by ``function``, which gets NumPy arrays."""
        return Mapped(self, function)

    def take(self, count: int) -> Some:
        """The first ``count`` batches; all of them if it is -1."""
        return Some(self, 0, count if count >= 0 else len(self))

    def skip(self, count: int) -> Some:
        """The batches behind the first ``count``."""
        return Some(self, count, len(self))

    def shuffle(self, buffer_size: int | None = None, seed: int | None = None, **options: Any) -> Shuffled:
        """Whole batches in another order in each epoch."""
        return Shuffled(self, seed)

    def cache(self, filename: str = "") -> Cached:
        """The same batches, made once and kept in memory; `ArgumentError` for a ``filename``."""
        if filename:
            raise ArgumentError(f"cache keeps batches in memory, not in the file {filename!r}.")
        return Cached(self)

    def prefetch(self, buffer_size: int | None = None) -> Self:
        """The dataset itself."""
        return self

    def cardinality(self) -> int:
        """How many batches there are."""
        return len(self)

    def as_numpy_iterator(self) -> Iterator[Any]:
        """The batches, which are NumPy arrays."""
        return iter(self)


class Examples(Batches):
    """Examples in batches: what `image_dataset_from_directory` and its like give.

    Args:
        count: how many examples there are.
        example: makes the example of a number; a tuple ``(x, y)``, or ``x`` alone.
        parts: what it is made of, in the same structure.
        batch_size: how many are in a batch; None: there are no batches.
        shuffle: whether they come in another order each time they are gone through.
        seed: for that.
        class_names: what labels mean.
        file_paths: where examples come from.
        collate: makes a batch of examples; they are stacked unless given.

    Going through it gives batches of NumPy arrays, which have ``numpy()`` too; `Model.fit` takes it as it is, and makes
    batches by threads.
    """

    def __init__(
        self,
        count: int,
        example: Callable[[int], Any],
        parts: Any,
        *,
        batch_size: int | None = 32,
        shuffle: bool = False,
        seed: int | None = None,
        class_names: Sequence[str] | None = None,
        file_paths: Sequence[str] | None = None,
        collate: Callable[[Sequence[Any]], Any] | None = None,
    ) -> None:
        super().__init__(workers=WORKERS)
        self.batch_size, self.shuffles = batch_size, shuffle
        self.class_names = None if class_names is None else list(class_names)
        self.file_paths = [] if file_paths is None else list(file_paths)
        self.example, self.parts, self.count = example, parts, count
        self.collate = collate or stacked
        self._random = np.random.default_rng(seed)
        self._order = self._next_order()

    def _next_order(self) -> np.ndarray:
        return self._random.permutation(self.count) if self.shuffles else np.arange(self.count)

    def __len__(self) -> int:
        return -(-self.count // (self.batch_size or 1))

    def __getitem__(self, index: int) -> Any:
        if not -len(self) <= index < len(self):
            raise IndexError(f"There are {len(self)} batches; {index} was asked for.")
        return self._batch(self._order, index % len(self))

    def _batch(self, order: np.ndarray, index: int) -> Any:
        if self.batch_size is None:
            return self.example(int(order[index]))
        numbers = order[index * self.batch_size : (index + 1) * self.batch_size]
        return self.collate([self.example(int(number)) for number in numbers])

    def in_turn(self) -> Iterator[Any]:
        order = self._next_order()
        return (self._batch(order, index) for index in range(len(self)))

    def on_epoch_end(self) -> None:
        self._order = self._next_order()


class Derived(Batches):
    """A dataset made of another one: with the same batches, unless a subclass says otherwise."""

    def __init__(self, dataset: Any) -> None:
        super().__init__(dataset.workers, dataset.use_multiprocessing, dataset.max_queue_size)
        self.dataset = dataset
        self.class_names, self.file_paths = dataset.class_names, dataset.file_paths

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[index]

    def in_turn(self) -> Iterator[Any]:
        return self.dataset.in_turn()

    def on_epoch_begin(self) -> None:
        self.dataset.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self.dataset.on_epoch_end()


class Mapped(Derived):
    """Batches changed by a function."""

    def __init__(self, dataset: Any, function: Callable[..., Any]) -> None:
        super().__init__(dataset)
        self.function = function

    def _changed(self, batch: Any) -> Any:
        return self.function(*batch) if isinstance(batch, tuple) else self.function(batch)

    def __getitem__(self, index: int) -> Any:
        return self._changed(self.dataset[index])

    def in_turn(self) -> Iterator[Any]:
        return map(self._changed, self.dataset.in_turn())


class Some(Derived):
    """The batches from ``start`` to before ``stop``."""

    def __init__(self, dataset: Any, start: int, stop: int) -> None:
        super().__init__(dataset)
        self.numbers = range(len(dataset))[max(start, 0) : max(stop, 0)]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[self.numbers[index]]

    def in_turn(self) -> Iterator[Any]:
        return islice(self.dataset.in_turn(), self.numbers.start, self.numbers.stop)


class Shuffled(Derived):
    """Whole batches, in another order each time they are gone through."""

    def __init__(self, dataset: Any, seed: int | None) -> None:
        super().__init__(dataset)
        self._random = np.random.default_rng(seed)
        self._order = self._random.permutation(len(dataset))

    def __getitem__(self, index: int) -> Any:
        return self.dataset[int(self._order[index])]

    def in_turn(self) -> Iterator[Any]:
        return (self.dataset[int(number)] for number in self._random.permutation(len(self)))

    def on_epoch_end(self) -> None:
        super().on_epoch_end()
        self._order = self._random.permutation(len(self))


class Cached(Derived):
    """Batches that are made once, and kept in memory."""

    def __init__(self, dataset: Any) -> None:
        super().__init__(dataset)
        self._kept: dict[int, Any] = {}

    def __getitem__(self, index: int) -> Any:
        number = range(len(self))[index]
        if number not in self._kept:
            self._kept[number] = self.dataset[number]
        return self._kept[number]

    def in_turn(self) -> Iterator[Any]:
        return (self[number] for number in range(len(self)))

    def on_epoch_end(self) -> None:
        """Nothing: another order would give other batches than those that are kept."""


def stacked(examples: Sequence[Any]) -> Any:
    """Examples of one structure as arrays with a batch axis; texts as an array of objects."""
    if isinstance(examples[0], tuple):
        return tuple(stacked(part) for part in zip(*examples, strict=True))
    if isinstance(examples[0], str):
        return np.array(examples, object)
    return np.stack(examples)


# ---------------------------------------------------------------- as datasets of other libraries


def _library(name: str, what: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise ArgumentError(
            f"format={what!r} gives a dataset of {name}, which is not installed: pip install {name}. Without format "
            "the dataset is unifront's own, which needs neither."
        ) from None


def _as_tf(dataset: Examples) -> Any:
    tf = _library("tensorflow", "tf")
    batch = () if dataset.batch_size is None else (None,)

    def spec(part: Part) -> Any:
        dtype = tf.string if part.dtype == "str" else part.dtype
        return tf.TensorSpec((*batch, *part.shape), dtype)

    def texts(batch: Any) -> Any:  # TensorFlow takes lists of texts, and no arrays of objects
        return tree.map_leaves(
            lambda leaf: leaf.tolist() if isinstance(leaf, np.ndarray) and leaf.dtype.kind == "O" else leaf,
            batch,
        )

    made = tf.data.Dataset.from_generator(
        lambda: map(texts, dataset), output_signature=tree.map_leaves(spec, dataset.parts)
    )
    made = made.apply(tf.data.experimental.assert_cardinality(len(dataset))).prefetch(tf.data.AUTOTUNE)
    return made


class _Single:
    """The examples one by one, by number."""

    def __init__(self, dataset: Examples) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return self.dataset.count

    def __getitem__(self, index: Any) -> Any:
        return self.dataset.example(int(index))


def _as_grain(dataset: Examples) -> Any:
    grain = _library("grain", "grain")
    made = grain.MapDataset.source(_Single(dataset))
    if dataset.shuffles:
        made = made.shuffle(seed=int(dataset._random.integers(2**31)))
    made = made.to_iter_dataset()
    if dataset.batch_size is not None:
        made = made.batch(dataset.batch_size, batch_fn=dataset.collate)
    return made


FORMATS: dict[str | None, Callable[[Examples], Any]] = {
    None: lambda dataset: dataset,
    "tf": _as_tf,
    "grain": _as_grain,
}


def check_format(form: Any) -> None:
    """Raise `ArgumentError` for a format that is none."""
    if form is not None and form not in FORMATS:
        raise ArgumentError(f'`format` should be either "tf" or "grain", or None. Received: format={form}')


def in_format(dataset: Examples, form: str | None) -> Any:
    """The dataset as what ``form`` says, with its ``class_names`` and ``file_paths``."""
    made = FORMATS[form](dataset)
    made.class_names, made.file_paths = dataset.class_names, dataset.file_paths
    return made
