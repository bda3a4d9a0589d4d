"""The types of data in the graph of a step."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from unifront import tree
from unifront.dtypes import dtype_of
from unifront.errors import DataError
from unifront.ir.dims import DimExpr, solve
from unifront.ir.types import TensorType
from unifront.train.data.arrays import Arrays
from unifront.train.data.inputs import arrives_small

if TYPE_CHECKING:
    from unifront.model import Model
    from unifront.train.step import TracedStep


def types_of(
    model: Model, example: Arrays, state: tuple[Hashable, ...] | None = None
) -> tuple[dict[str, TensorType], Any]:
    """The type of each array in the graph of a step, by name; and what the step is given, with numbers as leaves.

    Args:
        state: the model's `trainable_state`, where that is known.
    """
    from unifront.layers.input import BATCH
    from unifront.train.hooks import pack

    count = len(example.inputs)
    if example.structures is None:
        traced = model.tracing(state=state)
        pairs = zip(traced.graph.output_names, traced.graph.outputs, strict=True)
        outputs = {name: value.type for name, value in itertools.islice(pairs, traced.output_count)}
        taken = _given_types(model, example)
        types = _arriving(taken, example.inputs)
        batch = next(iter(types.values())).shape[0]
        sizes: dict[str, int] = {}
        for type_, given in zip(taken.values(), example.inputs, strict=True):
            for dim, size in zip(type_.shape[1:], given.shape[1:], strict=False):
                solve(dim, size, sizes)
        for name, type_ in target_types(example.targets, outputs, batch, sizes).items():
            types[f"target {name}"] = type_
        x, y = _with_gaps(model.input_structure, example.absent), _numbered(example.targets, count)
        weight = _numbered(example.weights, len(types))
    else:
        known = (
            None
            if model.has_free_inputs or example.structures[0] is not model.input_structure
            else _given_types(model, example)
        )
        batch = next(iter(known.values())).shape[0] if known else BATCH
        types = (
            _arriving(known, example.inputs)
            if known
            else {f"x{i}": _batch_type(a, batch) for i, a in enumerate(example.inputs)}
        )
        types |= {
            f"target {i}": _batch_type(a, batch) for i, a in enumerate(example.targets) if a is not None
        }
        x, y, weight = example.structures
        x = _with_gaps(x, example.absent)
        first = len(types)
        y = None if y is None else tree.map_leaves(lambda number: number + count, y)
        weight = None if weight is None else tree.map_leaves(lambda number: number + first, weight)
    for i, array in enumerate(example.weights):
        if array is not None:
            types[f"sample_weight {i}" if len(example.weights) > 1 else "sample_weight"] = _batch_type(
                array, batch
            )
    return types, pack(x, y, weight)


def _given_types(model: Model, example: Arrays) -> dict[str, TensorType]:
    """The types of the inputs that are not None."""
    return {
        name: type_ for i, (name, type_) in enumerate(model.input_types.items()) if i not in example.absent
    }


def _with_gaps(structure: Any, absent: Sequence[int]) -> Any:
    """A numbered structure of inputs with None for those that are ``absent``, the others numbered through."""
    if not absent:
        return structure
    count = itertools.count()
    return tree.map_leaves(lambda number: None if number in absent else next(count), structure)


def _numbered(arrays: Sequence[np.ndarray | None], first: int) -> Any:
    """The numbers of ``arrays`` from ``first`` on in a list, None where there is none; of one its number."""
    count = itertools.count(first)
    numbers = [None if array is None else next(count) for array in arrays]
    return None if not numbers else numbers[0] if len(numbers) == 1 else numbers


def _arriving(types: Mapping[str, TensorType], inputs: Sequence[np.ndarray]) -> dict[str, TensorType]:
    """The types of a model's inputs as the data has them, which the step casts to the model's."""
    return {
        name: type_.with_dtype(dtype_of(array.dtype)) if arrives_small(array.dtype, type_.dtype) else type_
        for (name, type_), array in zip(types.items(), inputs, strict=True)
    }


def _batch_type(array: np.ndarray, batch: Any) -> TensorType:
    return TensorType(dtype_of(array.dtype), (batch, *array.shape[1:]))


def target_types(
    targets: Sequence[np.ndarray | None],
    outputs: Mapping[str, TensorType],
    batch: Any,
    sizes: Mapping[str, int],
) -> dict[str, TensorType]:
    """The types of target arrays in the graph: the batch axis is the model's, free sizes are the outputs', unless for
    inputs of these ``sizes`` they are others (labels that are fewer than steps)."""
    found = {}
    for (name, output), array in zip(outputs.items(), targets, strict=bool(targets)):
        if array is None:
            continue
        free = [size if isinstance(size, DimExpr) else None for size in output.shape]
        free += [None] * (array.ndim - len(free))
        rest = (
            size if own is None or not solve(own, size, dict(sizes)) else own
            for own, size in zip(free[1:], array.shape[1:], strict=False)
        )
        found[name] = TensorType(dtype_of(array.dtype), (batch, *rest))
    return found


def is_for(step: TracedStep, batch: Arrays) -> bool:
    """Whether ``step`` was traced for arrays like those of ``batch``."""
    inputs = step.plan.graph.inputs[: step.plan.batch]
    return len(batch.all) == len(inputs) and all(
        value.type.admits(array.shape) for value, array in zip(inputs, batch.all, strict=True)
    )


def like_the_first(step: TracedStep, batch: Arrays, number: int) -> Arrays:
    """``batch``, the one of this number, which must be of the types of the first, for which ``step`` was traced."""
    graph, count = step.plan.graph, step.plan.batch
    arrays = batch.all
    if len(arrays) != count:
        raise DataError(
            f"Batch {number} has {len(arrays)} arrays; the first had {count}: {', '.join(graph.input_names[:count])}. "
            "Sample weights come with every batch or with none."
        )
    for name, value, array in zip(graph.input_names, graph.inputs, arrays, strict=False):
        if not value.type.admits(array.shape) or dtype_of(array.dtype) != value.type.dtype:
            raise DataError(
                f"Batch {number}: {name!r} is {dtype_of(array.dtype)}{list(array.shape)}; the first batch had "
                f"{value.type}. Every batch is of the first's types."
            )
    return batch
