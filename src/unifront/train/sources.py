"""What `fit`, `evaluate` and `predict` are given, checked: arrays, or a stream of batches."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from unifront.arguments import shown
from unifront.dtypes import floatx
from unifront.errors import ArgumentError, DataError
from unifront.train import data
from unifront.train.compiled import Compiled
from unifront.train.data import Arrays, Stream
from unifront.train.hooks import defines
from unifront.train.interrupts import Interrupts

if TYPE_CHECKING:
    from unifront.model import Model

Source = Arrays | Stream
"""Checked arrays; or what begins a pass over a source, and gives checked batches."""


def source_of(
    model: Model, training: Compiled, x: Any, y: Any, weight: Any, class_weight: Any, size: int,
    shuffle: bool = False,
) -> Source:  # fmt: skip
    """Checked arrays, or a stream of batches (each is checked as it comes)."""
    kind = data.kind_of(x)
    if kind is None:
        return checked(model, training, *data.named_columns(x, y, weight), class_weight, several=True)
    if not kind.columns and (y is not None or weight is not None):
        raise ArgumentError(
            f"When x is {kind.name}, it gives (x, y) or (x, y, sample_weight) itself: pass neither y nor sample_weight."
        )
    split = partial(_columns, model, y, weight) if kind.columns else None
    check = partial(_checked_batch, model, training, class_weight)
    return Stream(x, check, split, size, shuffle)


def held_out_of(model: Model, training: Compiled, given: Any, size: int) -> Source | None:
    """``validation_data`` checked, so that what does not fit is said before the first epoch."""
    if given is None:
        return None
    if data.is_stream(given):
        return source_of(model, training, given, None, None, None, size)
    if isinstance(given, Mapping) or hasattr(
        given, "shape"
    ):  # no targets, as of a model that adds its losses
        given = (given,)
    if not isinstance(given, tuple | list) or len(given) not in (1, 2, 3):
        raise ArgumentError(
            "validation_data is x, (x, y) or (x, y, sample_weight), or an iterable of batches; not "
            f"{shown(given)}."
        )
    x, y, weight = (*given, None, None)[:3]
    return source_of(model, training, x, y, weight, None, size)


def _checked_batch(
    model: Model, training: Compiled, class_weight: Any, x: Any, y: Any, weight: Any
) -> Arrays:
    return checked(model, training, x, y, weight, class_weight)


def checked(
    model: Model, training: Compiled, x: Any, y: Any, weight: Any, class_weight: Any, several: bool = False
) -> Arrays:
    """Data as arrays that fit the model and its loss; ``several`` batches of it, or one."""
    return by_class(model, _unweighted(model, training, x, y, weight, several), class_weight)


def by_class(model: Model, arrays: Arrays, class_weight: Any) -> Arrays:
    """``arrays`` weighted by their classes too; `ArgumentError` or `DataError` where they have none."""
    if class_weight is None:
        return arrays
    if defines(model, "train_step", "test_step"):
        raise ArgumentError("class_weight is for the train_step of Model, not one of your own.")
    if len(arrays.weights) > 1:
        raise ArgumentError("class_weight is for models of one output.")
    dtype, classes = floatx(), None
    if arrays.structures is None:
        output = model.tracing().graph.outputs[0].type
        dtype, classes = output.dtype, output.shape[-1] if output.rank else None
    weight = arrays.weights[0] if arrays.weights else None
    weights = data.check_weights(weight, class_weight, arrays.targets, dtype, len(arrays), classes)
    structures = arrays.structures and (*arrays.structures[:2], 0)
    return replace(arrays, weights=weights, structures=structures)


def _unweighted(model: Model, training: Compiled, x: Any, y: Any, weight: Any, several: bool) -> Arrays:
    if defines(model, "train_step", "test_step"):
        return data.own_arrays(model, x, y, weight)
    if training.run_eagerly and model.has_free_inputs:  # what looks at values cannot be traced for its inputs
        arrays = data.own_arrays(model, x, y, weight)
        if len(arrays.weights) != 1:
            return arrays
        weights = data.check_weights(weight, None, arrays.targets, floatx(), len(arrays))
        return replace(arrays, weights=weights, structures=(*(arrays.structures or (0, 0))[:2], 0))
    given = data.inputs_in(model, x, several)
    inputs = given.inputs
    if not len(inputs[0]):
        raise DataError("The data is empty: the input has 0 examples.")
    judges_itself = training.loss is None or defines(model, "compute_loss")
    untold = y is None and judges_itself and not (training.metrics or training.weighted_metrics)
    sizes = data.sizes_of(model.without(given.absent), inputs)
    traced = model.tracing()
    targets = () if untold else data.check_targets(traced, y, training, len(inputs[0]), sizes)
    names = traced.graph.output_names[: traced.output_count]
    dtype = traced.graph.outputs[0].type.dtype
    weights = data.check_weights(weight, None, targets, dtype, len(inputs[0]), names=names)
    return replace(given, targets=targets, weights=weights)


def inputs_of(
    model: Model, x: Any, size: int, limit: int | None, check: Callable[[Any, Any, Any], Arrays]
) -> Stream | None:
    """The stream of what `predict` is given, of which the inputs count; None for arrays."""
    kind = data.kind_of(x)
    if kind is None:
        return None
    if limit is None and kind.count(x, size) == data.ENDLESS:
        raise ArgumentError(f"x is {kind.name} without an end: give a number of steps.")
    return Stream(x, check, partial(_columns, model, None, None) if kind.columns else None, size)


def _columns(model: Model, y: Any, weight: Any, batch: Any) -> tuple[Any, Any, Any]:
    """What is what in a batch that is columns by name."""
    inputs = () if model.has_free_inputs else tuple(model.input_types)
    outputs = () if model.has_free_inputs else tuple(model.trace(False).graph.output_names)
    return data.batch_of_columns(batch, inputs, outputs, y, weight)


def count_of(source: Source, size: int) -> int | None:
    """How many batches a pass over ``source`` has; None where that is not known."""
    return -(-len(source) // size) if isinstance(source, Arrays) else source.length


def first_of(source: Source, purpose: str) -> tuple[Arrays, Iterator[Arrays]]:
    """An example of what ``source`` gives; of batches the first, and an iterator over all of them."""
    if isinstance(source, Arrays):
        return source, iter(())
    batches = source()
    first = next(batches, None)
    if first is None:
        raise data.no_batch(purpose)
    return first, itertools.chain([first], batches)


def each(batches: Iterator[Any], interrupts: Interrupts) -> Iterator[Any]:
    """``batches``; an interrupt happens between two of them, or in the code that makes one."""
    while True:
        with interrupts.users():
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def close(source: Source) -> None:
    """End the threads of a source; its epoch is over."""
    if isinstance(source, Stream):
        source.__exit__()
