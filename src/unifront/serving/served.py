"""A model that is served: checked requests in, outputs out."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from unifront.backends import HostKey, Placement
from unifront.errors import ArgumentError, ShapeError
from unifront.ir.dims import Dim, evaluate, solve
from unifront.ir.types import TensorType
from unifront.opset.bounds import check_indices, index_bounds
from unifront.opset.sampling import FREE_SIZES, free_sizes, random_inputs
from unifront.serving.images import Reader, reader_of
from unifront.testing import difference
from unifront.train import data
from unifront.train.session import natives

if TYPE_CHECKING:
    from unifront.model import Model

Arrays = list[np.ndarray]
INFLUENCE = 1e-3
"""Relative difference from which on an output is said to depend on the other examples of its batch."""


class Served:
    """A model's inference graph, compiled once, with its weights where it runs.

    Args:
        name: by which requests call it.
        model: a built model. Its weights are copied to ``place``; what is trained later is not served.
        max_batch: examples of one prediction.

    Raises `ArgumentError` for a model that requests cannot be answered from, `UnsupportedOp` for one that the backend
    does not run, and whatever the model raises on random inputs.
    """

    def __init__(self, name: str, model: Model, place: Placement, max_batch: int) -> None:
        self.name, self.model, self.place, self.max_batch = name, model, place, max_batch
        traced = model.trace(False)
        if traced.updates:
            raise ArgumentError(
                f"The model {name!r} keeps states from one prediction to the next (a stateful layer, or a seed "
                "generator); requests of different clients would change each other's answers."
            )
        self.inputs: dict[str, TensorType] = dict(model.input_types)
        self.outputs: dict[str, TensorType] = {
            output: value.type
            for output, value in zip(traced.graph.output_names, traced.graph.outputs, strict=True)
        }
        for what, type_ in (*self.inputs.items(), *self.outputs.items()):
            if type_.dtype.kind not in "biuf" or type_.dtype.is_packed:
                raise ArgumentError(
                    f"{what!r} of the model {name!r} is {type_}; requests have no such numbers."
                )
        self.classes, self.pixels = model.metadata.get("classes"), self._pixels(reader_of(model.metadata))
        self._draws = traced.graph.takes_key
        self._graph = replace(traced.graph, name=model.name)
        self._program = place.backend.compile(self._graph, place.device)
        self._variables = natives(traced.variables, self._program.storage, place)
        self._keys = 0
        self._bounds = index_bounds(self._graph)
        self._one = threading.Lock()
        self._check_sizes = lru_cache(1024)(self._sizes_fit)
        self.joins = self._may_join()

    @property
    def batch(self) -> Dim | None:
        """The dimension of the examples, the first of every input; None where inputs do not share one."""
        first = {type_.shape[0] if type_.rank else None for type_ in self.inputs.values()}
        return first.pop() if len(first) == 1 else None

    def _pixels(self, reader: Reader | None) -> Reader | None:
        """``reader``, if what it reads is what the model takes."""
        types = [*self.inputs.values()]
        fits = reader is not None and len(types) == 1 and types[0].rank == 4
        return reader if fits else None

    def checked(self, given: Mapping[str, np.ndarray]) -> Arrays:
        """``given`` as the model takes it. Raises `DataError` naming the input, `ShapeError` for too small sizes."""
        arrays = data.fitted(self.name, self.inputs, dict(given))
        if isinstance(self.batch, int):
            data.check_whole_batches(self.model, len(arrays[0]))
        check_indices(self._graph, self._bounds, arrays)
        self._check_sizes(tuple(data.free_sizes(self.inputs.values(), arrays).items()))
        types = self.inputs.values()
        return [array.astype(t.dtype.numpy, copy=False) for array, t in zip(arrays, types, strict=True)]

    def _sizes_fit(self, sizes: tuple[tuple[str, int], ...]) -> None:
        """Raise `ShapeError` if free sizes leave a layer less than nothing, which frameworks say each in its way."""
        known = dict(sizes) | {str(self.batch): 1}
        for node in self._graph.nodes:
            for output in node.outputs:
                for dim in output.type.shape:
                    unknown = isinstance(dim, int) or not dim.symbols() <= known.keys()
                    if not unknown and evaluate(dim, known) < 0:
                        given = ", ".join(f"{name}={size}" for name, size in sizes)
                        raise ShapeError(
                            f"{node.name or node.op.name} would have a size of {evaluate(dim, known)}: the input "
                            f"is too small ({given})."
                        )

    def answer_bytes(self, arrays: Sequence[np.ndarray]) -> int:
        """What the outputs for checked arrays will take, of those whose sizes follow from the inputs'."""
        sizes: dict[str, int] = {}
        for type_, array in zip(self.inputs.values(), arrays, strict=True):
            for dim, size in zip(type_.shape, array.shape, strict=True):
                solve(dim, size, sizes)
        return sum(
            math.prod(evaluate(dim, sizes) for dim in type_.shape) * type_.dtype.bits // 8
            for type_ in self.outputs.values()
            if all(isinstance(dim, int) or dim.symbols() <= sizes.keys() for dim in type_.shape)
        )

    def predict(self, arrays: Sequence[np.ndarray]) -> Arrays:
        """The outputs for any number of examples. One thread at a time."""
        count = len(arrays[0]) if arrays and arrays[0].ndim else 1
        if not count:
            return self._nothing(arrays)
        size = self.batch if isinstance(self.batch, int) else self.max_batch if self.joins else count
        starts = range(0, count, size)
        parts = [self._padded([array[i : i + size] for array in arrays]) for i in starts]
        return [np.concatenate(found) for found in zip(*parts, strict=True)]

    def _padded(self, arrays: Arrays) -> Arrays:
        """The outputs for at most ``max_batch`` examples, in batches of few sizes where each size is compiled."""
        count = len(arrays[0])
        more = self._size(count) - count
        if not more:
            return self._run(arrays)
        return [output[:count] for output in self._run([_repeated(array, more) for array in arrays])]

    def _size(self, count: int) -> int:
        if not self.joins or not self.place.backend.compiles_sizes:
            return count
        return min(1 << (count - 1).bit_length(), self.max_batch)

    def _run(self, arrays: Sequence[np.ndarray]) -> Arrays:
        backend, device = self.place.backend, self.place.device
        with self._one:
            keys: tuple[Any, ...] = ()
            if self._draws:
                self._keys += 1
                keys = (backend.key(HostKey(0).fold_in(self._keys), device),)
            outputs = self._program([*(self.place.batch(array) for array in arrays), *keys], self._variables)
            return [backend.numpy(output) for output in outputs]

    def _nothing(self, arrays: Sequence[np.ndarray]) -> Arrays:
        found = self._run([np.zeros((1, *array.shape[1:]), array.dtype) for array in arrays])
        return [output[:0] for output in found]

    # ------------------------------------------------------------ before the first request

    def _may_join(self) -> bool:
        """Whether requests may be answered together: outputs have a row for each example, and it is of that alone."""
        batch = self.batch
        rows = all(t.rank and t.shape[0] == batch for t in self.outputs.values())
        if batch is None or isinstance(batch, int) or not rows:
            self._tried(None)
            return False
        inputs, outputs = self._tried(2)
        if self._draws:
            return True
        alone = self._run([np.concatenate([array[:1], array[:1]]) for array in inputs])
        pairs = zip(outputs, alone, self.outputs.values(), strict=True)
        return all(difference(a[:1], b[:1]) < INFLUENCE for a, b, t in pairs if t.dtype.is_float)

    def _tried(self, batch: int | None) -> tuple[Arrays, Arrays]:
        """Random inputs, and the outputs for them."""
        for first in FREE_SIZES:
            inputs = random_inputs(self._graph, first, batch)
            try:
                return inputs, self._run(inputs)
            except Exception:  # whatever a size that does not fit runs into
                if first == FREE_SIZES[-1] or not free_sizes(self._graph):
                    raise
        raise AssertionError

    def warm_up(self) -> None:
        """Run every size of batch that is compiled by itself, so that no request waits for that."""
        sizes = {self._size(count) for count in range(1, self.max_batch + 1)} if self.joins else set()
        if self.place.backend.compiles_sizes and not free_sizes(self._graph):
            for size in sorted(sizes):
                self._run(random_inputs(self._graph, FREE_SIZES[0], size))


def _repeated(array: np.ndarray, more: int) -> np.ndarray:
    return np.concatenate([array, array[-1:].repeat(more, axis=0)])
