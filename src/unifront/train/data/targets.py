"""Targets and weights of examples, checked against a model's outputs and its loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from unifront import tree
from unifront.dtypes import DType, int32
from unifront.errors import ArgumentError, DataError, UnifrontError
from unifront.ir.dims import DimExpr, solve
from unifront.train import losses
from unifront.train.arguments import number
from unifront.train.data.arrays import cast, holds_arrays, named_leaves, to_numpy
from unifront.train.data.tables import columns_of
from unifront.train.outputs import losses_of, metrics_of, per_output

if TYPE_CHECKING:
    from unifront.trace import Tracing
    from unifront.train.compiled import Compiled


def check_targets(
    traced: Tracing, y: Any, training: Compiled, x_length: int, sizes: Mapping[str, int] | None = None
) -> tuple[np.ndarray | None, ...]:
    """``y`` as one array for each output of a model: integers as int32, floats in the output's dtype.

    An output without a loss or a metric needs none: its key may be missing, or its entry be None.

    Raises `DataError` for another length than the input's, and for integer labels outside the classes.
    """
    count = traced.output_count
    names = traced.graph.output_names[:count]
    if y is None:
        raise DataError("No targets were given: pass y, or an iterable of (x, y) batches.")
    found: list[np.ndarray | None] = []
    outputs = [value.type for value in traced.graph.outputs[:count]]
    standing = training.by_output(traced.structure, names)
    labelled = {i: loss for i, loss in standing.items() if loss.classes(outputs[i].shape) is not None}
    unjudged = set(range(count)) - _judged(training, traced.structure, names) if count > 1 else set()
    judged = set(names) - {names[i] for i in unjudged}
    if unjudged:
        y = _of_judged(y, judged, names)
    parts = _as_structured(y, traced.structure) if len(tree.leaves(y)) == count > 1 else None
    for i, part in enumerate(named_leaves(y, names, "The target") if parts is None else parts):
        what = f"The target of output {names[i]!r}"
        if part is None and i in unjudged:
            found.append(None)
            continue
        if part is None:
            raise DataError(f"{what} is None; it is needed, as the output has a loss or a metric.")
        array = to_numpy(part, what)
        if array.ndim == 0:
            raise DataError(f"{what} is a single number; the first axis of data is the batch.")
        if len(array) != x_length:
            raise DataError(f"{what} has {len(array)} examples; the input has {x_length}.")
        output = outputs[i]
        known = dict(sizes or {})
        alike = output.shape[1:] if i in standing and not standing[i].lengths_differ else ()
        for axis, (dim, size) in enumerate(zip(alike, array.shape[1:], strict=False), 1):
            if isinstance(dim, DimExpr) and not solve(dim, size, known):
                raise DataError(
                    f"{what} has the shape {array.shape}; the output is {output}, and for these inputs its "
                    f"axis {axis} has the size {dim.evaluate(known)}."
                )
        dtype = int32 if array.dtype.kind in "iub" and array.dtype.kind != "b" else output.dtype
        if i in labelled:
            check_labels(labelled[i], array, output.shape, what)
        found.append(cast(array, dtype, what))
    return tuple(found)


def _of_judged(y: Any, judged: set[str], names: Sequence[str]) -> Any:
    """Targets of outputs that have a loss or a metric alone, with None for the others; anything else as it is."""
    table = columns_of(y)
    y = y if table is None else table
    if isinstance(y, Mapping):
        return {name: None for name in names if name not in y} | dict(y) if judged <= y.keys() else y
    given = list(y) if isinstance(y, list | tuple) and holds_arrays(list(y)) else [y]
    if len(given) != len(judged):
        return y
    parts = iter(given)
    return {name: next(parts) if name in judged else None for name in names}


def _as_structured(y: Any, structure: Any) -> list[Any] | None:
    """The targets in the order of the outputs, where they have the outputs' structure; else None."""
    if isinstance(structure, int):
        return None if tree.is_nested(y) else [y]
    if isinstance(structure, Mapping):
        if not isinstance(y, Mapping) or y.keys() != structure.keys():
            return None
        parts = [_as_structured(y[key], below) for key, below in structure.items()]
    else:
        if not isinstance(y, list | tuple) or len(y) != len(structure):
            return None
        parts = [_as_structured(one, below) for one, below in zip(y, structure, strict=True)]
    known = [part for part in parts if part is not None]
    return [leaf for part in known for leaf in part] if len(known) == len(parts) else None


def _judged(training: Compiled, structure: Any, names: Sequence[str]) -> set[int]:
    """The numbers of the outputs that have a loss or a metric."""
    try:
        judged = [] if training.loss is None else losses_of(training.loss, None, structure, names)
        given = (training.metrics, training.weighted_metrics)
        metrics = [metrics_of(one, structure, names, "metrics") for one in given]
    except UnifrontError:  # said when the step is traced
        return set(range(len(names)))
    found = {number for one in judged for number in tree.leaves(one.where)}
    return found | {i for each in metrics for i, some in enumerate(each) if some}


def check_labels(loss: losses.Loss, labels: np.ndarray, predicted: Sequence[Any], what: str) -> None:
    """Labels out of range give silent nonsense on some frameworks and an abort on others: refused here."""
    classes = loss.classes(predicted)
    if not isinstance(classes, int) or not labels.size:
        return
    ignored = getattr(loss, "ignore_class", None)
    counted = labels[labels != ignored] if ignored is not None else labels
    if not counted.size:
        return
    odd = counted[counted != np.floor(counted)] if counted.dtype.kind == "f" else counted[:0]
    if odd.size:
        raise DataError(f"{what} holds labels that are not whole numbers, such as {odd.flat[0]}.")
    low, high = counted.min(), counted.max()
    if low < 0 or high >= classes:
        raise DataError(
            f"{what} holds labels from {low} to {high}; the output has {classes} classes, so labels run from "
            f"0 to {classes - 1}."
        )


def check_weights(
    weight: Any, class_weight: Mapping[int, float] | None, targets: Sequence[np.ndarray | None], dtype: DType,
    length: int, classes: Any = None, names: Sequence[str] = (),
) -> tuple[np.ndarray | None, ...]:  # fmt: skip
    """Sample weights times class weights as floats: nothing, one array for all outputs, or one or None for each.

    There is one weight for each example, or for each step (and so on) of each example.

    Args:
        weight: an array; or for outputs called ``names`` a list of one or None for each (or each that has a target), or
            a dict by their names.
        classes: how many there are.
    """
    judged = [name for name, target in zip(names, targets, strict=False) if target is not None]
    if len(judged) < len(names) and _one_each(weight, len(judged)):
        weight = dict(zip(judged, weight, strict=True))
    if len(names) > 1 and (isinstance(weight, Mapping) or _one_each(weight, len(names))):
        if class_weight is not None:
            raise ArgumentError("class_weight is for models of one output.")
        parts = per_output(weight, names, "sample_weight")
        return tuple(
            None if one is None else _checked_weights(one, length, dtype, f"sample_weight of output {name!r}")
            for one, name in zip(parts, names, strict=True)
        )
    if weight is None and class_weight is None:
        return ()
    if len(names) == 1 and (isinstance(weight, Mapping) or _one_each(weight, 1)):
        (weight,) = per_output(weight, names, "sample_weight")
    result = (
        np.ones(length, dtype.numpy)
        if weight is None
        else _checked_weights(weight, length, dtype, "sample_weight")
    )
    if class_weight is not None:
        factors = _class_weights(class_weight, targets, classes).astype(dtype.numpy)
        result = result * factors.reshape(length, *[1] * (result.ndim - 1))
    return (result,)


def _one_each(weight: Any, outputs: int) -> bool:
    """Whether ``weight`` is a list of one array or None for each output, rather than one of numbers."""
    return (
        isinstance(weight, list | tuple)
        and len(weight) == outputs
        and all(one is None or np.ndim(one) for one in weight)
    )


def _checked_weights(weight: Any, length: int, dtype: DType, what: str) -> np.ndarray:
    array = to_numpy(weight, what)
    if array.shape[:1] != (length,):
        raise DataError(
            f"{what} has the shape {array.shape}; one weight for each of {length} examples is due."
        )
    if not np.isfinite(array).all():
        raise DataError(f"{what} holds numbers that are not finite.")
    return (array[:, 0] if array.shape == (length, 1) else array).astype(dtype.numpy)


def _class_weights(
    class_weight: Mapping[int, float], targets: Sequence[np.ndarray | None], classes: Any
) -> np.ndarray:
    """The weight of each example by its label, or by where its one-hot target is largest."""
    if not isinstance(class_weight, Mapping):
        raise ArgumentError(f"class_weight is a dict from class to weight, not {class_weight!r}.")
    if len(targets) != 1:
        raise ArgumentError(f"class_weight is for models of one output; this one has {len(targets)}.")
    (target,) = targets
    assert target is not None  # of the one output, which is judged
    labels = target.reshape(len(target), -1)
    if target.ndim > 2:
        raise DataError(f"class_weight needs a label for each example; the target is {target.shape}.")
    known = max(classes, 2) if isinstance(classes, int) else None
    for label, weight in class_weight.items():
        if not isinstance(label, int | np.integer):
            raise ArgumentError(f"class_weight names classes by int, not by {label!r}.")
        number(f"class_weight of {label}", weight, "(-inf, inf)")
        if known is not None and not 0 <= label < known:
            raise DataError(f"class_weight names the class {label}; the output has {known} classes.")
    chosen = labels[:, 0] if labels.shape[1] == 1 else labels.argmax(axis=1)
    return np.array([class_weight.get(int(label), 1.0) for label in chosen])
