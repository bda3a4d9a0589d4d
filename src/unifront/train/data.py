"""Data for training: arrays or iterables of batches, checked against the model once, cast once."""

from __future__ import annotations

import itertools
import mmap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from unifront import tree
from unifront.backends import backend_of
from unifront.dtypes import DType, dtype_of, floatx, int32, promote
from unifront.errors import ArgumentError, DataError
from unifront.functional import warn_of_extra
from unifront.ir.dims import DimExpr, evaluate, solve
from unifront.ir.types import TensorType
from unifront.opset.bounds import check_indices, index_bounds
from unifront.train import losses
from unifront.train.arguments import number

if TYPE_CHECKING:
    from unifront.model import Model
    from unifront.train.step import TracedStep


@dataclass(frozen=True)
class Arrays:
    """Checked arrays of one length: the inputs, the targets, and sample weights if there are any.

    ``structures`` says what inputs and targets look like to a `Model.train_step` of the user's, with numbers as leaves;
    None: as the model's inputs and outputs.
    """

    inputs: tuple[np.ndarray, ...]
    targets: tuple[np.ndarray, ...] = ()
    weights: np.ndarray | None = None
    structures: tuple[Any, Any] | None = None

    @property
    def all(self) -> tuple[np.ndarray, ...]:
        """Everything that a step takes, in its order."""
        return (*self.inputs, *self.targets, *(() if self.weights is None else (self.weights,)))

    def __len__(self) -> int:
        return len(self.inputs[0])

    def take(self, selection: Any) -> Arrays:
        """The examples that ``selection`` (a slice or indices) names."""
        return Arrays(
            tuple(array[selection] for array in self.inputs),
            tuple(array[selection] for array in self.targets),
            None if self.weights is None else self.weights[selection],
            self.structures,
        )


def mapped_by(array: np.ndarray) -> np.memmap | None:
    """The file in memory that ``array`` is a part of."""
    base: Any = array
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    return base if isinstance(base, np.memmap) else None


def forget_pages(array: np.ndarray) -> None:
    """Let the process's memory go that what was read of a file takes; the file stays in the system's cache."""
    file = mapped_by(array)
    mapping: Any = getattr(file, "_mmap", None)
    if (
        file is not None
        and file.mode != "c"
        and hasattr(mapping, "madvise")
        and hasattr(mmap, "MADV_DONTNEED")
    ):
        mapping.madvise(mmap.MADV_DONTNEED)


def to_numpy(value: Any, what: str) -> np.ndarray:
    """``value`` (array of any framework, list, number) as NumPy; `DataError` if ragged or not numeric."""
    backend = backend_of(value)
    try:
        array = np.asarray(value if backend is None else backend.numpy(value))
    except (ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise DataError(f"{what} cannot be made into an array: {error}.") from error
    if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
        raise DataError(f"{what} has the dtype {array.dtype}; numbers are needed.")
    return array


def named_leaves(given: Any, names: Sequence[str], what: str) -> list[Any]:
    """The parts of ``given`` (one, a list or a dict) in the order of ``names``."""
    if isinstance(given, Mapping):
        missing, extra = [n for n in names if n not in given], [n for n in given if n not in names]
        if missing:
            raise DataError(f"{what} has the keys {sorted(given)}; the model needs {list(names)}.")
        if extra and what == "The input":
            warn_of_extra(names, extra)
        elif extra:
            raise DataError(f"{what} has the keys {sorted(given)}; the model needs {list(names)}.")
        return [given[name] for name in names]
    parts = list(given) if isinstance(given, list | tuple) and len(names) > 1 else [given]
    if len(parts) != len(names):
        raise DataError(f"{what} has {len(parts)} parts; the model needs {len(names)}: {', '.join(names)}.")
    return parts


def fixed_batch(model: Model) -> int | None:
    """How many examples a batch of ``model`` has, if its inputs say so (``Input(..., batch_size=…)``)."""
    types = [] if model.has_free_inputs else list(model.input_types.values())
    size = types[0].shape[0] if types and types[0].rank else None
    return size if isinstance(size, int) else None


def size_of_batches(model: Model, given: int | None) -> int:
    """How many examples a batch has: as given, or as the model's inputs say, or 32; `DataError` if these differ."""
    fixed = fixed_batch(model)
    if fixed is not None and given not in (None, fixed):
        raise DataError(
            f"The model {model.name!r} takes batches of {fixed} examples; batch_size={given} was given."
        )
    return given or fixed or 32


def check_whole_batches(model: Model, count: int) -> None:
    """Raise `DataError` if ``count`` examples leave a rest, in a model whose batches are of a fixed size."""
    fixed = fixed_batch(model)
    if fixed and count % fixed:
        raise DataError(
            f"The model {model.name!r} takes batches of {fixed} examples; {count} of them leave a rest of "
            f"{count % fixed}."
        )


def check_inputs(model: Model, x: Any, several: bool = False) -> tuple[np.ndarray, ...]:
    """``x`` as one array for each input of ``model``, of its dtype. Raises `DataError` naming the input.

    Args:
        several: it may be several batches, of a model whose batches are of a fixed size.
    """
    if model.has_free_inputs:
        is_leaf = not isinstance(x, dict | tuple) and not (isinstance(x, list) and _holds_arrays(x))
        arrays = (
            to_numpy(x, "The input")
            if is_leaf
            else tree.map_leaves(lambda leaf: to_numpy(leaf, "The input"), x)
        )
        model.infer_inputs(tree.map_leaves(_input_type, arrays))
    names = list(model.input_types)
    given = named_leaves(x, names, "The input")
    sizes: dict[str, int] = {}
    found = []
    for name, part in zip(names, given, strict=True):
        what = f"The input {name!r} of the model {model.name!r}"
        array, type_ = to_numpy(part, what), model.input_types[name]
        if array.ndim == type_.rank - 1 and type_.shape[-1] == 1:
            array = array[..., None]  # Keras takes a missing last axis of size one, and one too many
        elif array.ndim == type_.rank + 1 and array.shape[-1] == 1:
            array = array[..., 0]
        if array.ndim != type_.rank or not all(
            solve(d, n, sizes if i else {})
            for i, (d, n) in enumerate(zip(type_.shape, array.shape, strict=True))
            if i or not several
        ):
            raise DataError(f"{what} has the shape {array.shape}; the model takes {type_}.")
        found.append(array if arrives_small(array.dtype, type_.dtype) else _cast(array, type_.dtype, what))
    _same_length(found, names)
    if several and found:
        check_whole_batches(model, len(found[0]))
    _check_indices(model, found)
    return tuple(found)


def arrives_small(given: Any, wanted: DType) -> bool:
    """Whether data of the dtype ``given`` goes to the device as it is, and the step casts it: bytes (images) that a
    model takes as floats are a quarter of them, or an eighth."""
    return np.dtype(given).name == "uint8" and wanted.is_float


def _check_indices(model: Model, arrays: Sequence[np.ndarray]) -> None:
    """Raise for an index outside its table while it is at hand: frameworks clamp, wrap or abort, each as it likes."""
    traced = model.trace(False)
    known = ("index bounds", id(traced))
    if known not in model.programs:
        model.programs[known] = index_bounds(traced.graph)
    check_indices(traced.graph, model.programs[known], arrays)


def sizes_of(model: Model, inputs: Sequence[np.ndarray]) -> dict[str, int]:
    """What the free sizes of the model's inputs are in these arrays, but for the batch."""
    sizes: dict[str, int] = {}
    for type_, array in zip(model.input_types.values(), inputs, strict=True):
        for dim, size in zip(type_.shape[1:], array.shape[1:], strict=True):
            solve(dim, size, sizes)
    return sizes


def no_outputs(model: Model, inputs: Sequence[np.ndarray]) -> Any:
    """The outputs for inputs of no examples, in the model's structure; frameworks fail on some of them."""
    sizes = sizes_of(model, inputs)
    for type_ in model.input_types.values():
        solve(type_.shape[0], 0, sizes)
    traced = model.trace()
    types = [output.type for output in traced.graph.outputs]
    arrays = [np.zeros([evaluate(dim, sizes) for dim in t.shape], t.dtype.numpy) for t in types]
    return tree.map_leaves(lambda number: arrays[number], traced.structure)


def own_arrays(model: Model, x: Any, y: Any, weight: Any) -> Arrays:
    """Data for a step of the user's: any structure of arrays of one length; ints as int32, floats as ``floatx``, or
    wider if the model computes so."""
    wide = promote(floatx(), *(weight.dtype for weight in model.weights if weight.dtype.is_float))

    def array(leaf: Any) -> np.ndarray:
        found = to_numpy(leaf, "The data")
        if found.ndim == 0:
            raise DataError("The data holds a single number; the first axis of data is the batch.")
        dtype = int32 if found.dtype.kind in "iu" and found.dtype.itemsize > 2 else dtype_of(found.dtype)
        return _cast(found, wide if dtype.is_float else dtype, "The data")

    if model.has_free_inputs:
        structure, inputs = _numbered_arrays(x, array)
    else:
        structure, inputs = model.input_structure, list(check_inputs(model, x, several=True))
    targets_structure, targets = (None, []) if y is None else _numbered_arrays(y, array)
    weights = None if weight is None else array(weight)
    every = [*inputs, *targets, *([] if weights is None else [weights])]
    if not every:
        raise DataError("No data was given: pass x.")
    _same_length(every, [f"array {i}" for i in range(len(every))])
    return Arrays(tuple(inputs), tuple(targets), weights, (structure, targets_structure))


def _numbered_arrays(given: Any, array: Callable[[Any], np.ndarray]) -> tuple[Any, list[np.ndarray]]:
    """``given`` with numbers for its leaves, and its leaves as arrays."""
    if isinstance(given, list) and not _holds_arrays(given):
        given = np.asarray(given)  # a list of numbers
    leaves = tree.leaves(given)
    count = iter(range(len(leaves)))
    return tree.map_leaves(lambda _: next(count), given), [array(leaf) for leaf in leaves]


def types_of(model: Model, example: Arrays) -> tuple[dict[str, TensorType], Any]:
    """The type of each array in the graph of a step, by name; and what the step is given, with numbers as leaves."""
    from unifront.layers.input import BATCH
    from unifront.train.hooks import pack

    count = len(example.inputs)
    if example.structures is None:
        traced = model.trace(False)
        pairs = zip(traced.graph.output_names, traced.graph.outputs, strict=True)
        outputs = {name: value.type for name, value in itertools.islice(pairs, traced.output_count)}
        types = _arriving(model.input_types, example.inputs)
        batch = next(iter(types.values())).shape[0]
        for name, type_ in target_types(example.targets, outputs, batch).items():
            types[f"target {name}"] = type_
        x = model.input_structure
        y: Any = [count + i for i in range(len(example.targets))]
        y = y[0] if len(y) == 1 else y
    else:
        known = (
            None
            if model.has_free_inputs or example.structures[0] is not model.input_structure
            else model.input_types
        )
        batch = next(iter(known.values())).shape[0] if known else BATCH
        types = (
            _arriving(known, example.inputs)
            if known
            else {f"x{i}": _batch_type(a, batch) for i, a in enumerate(example.inputs)}
        )
        types |= {f"target {i}": _batch_type(a, batch) for i, a in enumerate(example.targets)}
        x, y = example.structures
        y = None if y is None else tree.map_leaves(lambda number: number + count, y)
    number = None
    if example.weights is not None:
        number = len(types)
        types["sample_weight"] = _batch_type(example.weights, batch)
    return types, pack(x, y, number)


def _arriving(types: Mapping[str, TensorType], inputs: Sequence[np.ndarray]) -> dict[str, TensorType]:
    """The types of a model's inputs as the data has them, which the step casts to the model's."""
    return {
        name: type_.with_dtype(dtype_of(array.dtype)) if arrives_small(array.dtype, type_.dtype) else type_
        for (name, type_), array in zip(types.items(), inputs, strict=True)
    }


def _batch_type(array: np.ndarray, batch: Any) -> TensorType:
    return TensorType(dtype_of(array.dtype), (batch, *array.shape[1:]))


def _holds_arrays(x: list[Any]) -> bool:
    return bool(x) and all(hasattr(item, "shape") for item in x)


def _input_type(array: np.ndarray) -> TensorType:
    from unifront.dtypes import floatx

    if array.ndim == 0:
        raise DataError("The input is a single number; the first axis of data is the batch.")
    dtype = floatx() if array.dtype.kind in "fb" else int32
    return TensorType(dtype, array.shape)


def _cast(array: np.ndarray, dtype: DType, what: str) -> np.ndarray:
    if array.dtype.kind not in "biu" and dtype.is_integer:
        raise DataError(f"{what} is {array.dtype}; {dtype} is needed. Convert it first: x.astype('{dtype}').")
    if array.dtype.kind in "iu" and dtype.is_integer and array.size:
        low, high = int(array.min()), int(array.max())
        info = np.iinfo(dtype.numpy)
        if low < info.min or high > info.max:
            raise DataError(
                f"{what} holds {low} … {high}, which {dtype} cannot. Amounts, other than labels, are floats: "
                "astype('float32')."
            )
    return np.ascontiguousarray(array, dtype.numpy)


def _same_length(arrays: Sequence[np.ndarray], names: Sequence[str]) -> int:
    lengths = {name: len(array) for name, array in zip(names, arrays, strict=True)}
    if len(set(lengths.values())) > 1:
        raise DataError(
            f"The arrays have different lengths: {', '.join(f'{k} {v}' for k, v in lengths.items())}."
        )
    return next(iter(lengths.values()))


def check_targets(
    model: Model, y: Any, loss: Any, x_length: int, sizes: Mapping[str, int] | None = None
) -> tuple[np.ndarray, ...]:
    """``y`` as one array for each output: integers as int32, floats in the output's dtype.

    Raises `DataError` for another length than the input's, and for integer labels outside the classes.
    """
    traced = model.trace()
    count = traced.output_count
    names = traced.graph.output_names[:count]
    if y is None:
        raise DataError("No targets were given: pass y, or an iterable of (x, y) batches.")
    found = []
    for i, part in enumerate(named_leaves(y, names, "The target")):
        what = f"The target of output {names[i]!r}"
        array = to_numpy(part, what)
        if array.ndim == 0:
            raise DataError(f"{what} is a single number; the first axis of data is the batch.")
        if len(array) != x_length:
            raise DataError(f"{what} has {len(array)} examples; the input has {x_length}.")
        output = traced.graph.outputs[i].type
        known = dict(sizes or {})
        for axis, (dim, size) in enumerate(zip(output.shape[1:], array.shape[1:], strict=False), 1):
            if isinstance(dim, DimExpr) and not solve(dim, size, known):
                raise DataError(
                    f"{what} has the shape {array.shape}; the output is {output}, and for these inputs its "
                    f"axis {axis} has the size {dim.evaluate(known)}."
                )
        dtype = int32 if array.dtype.kind in "iub" and array.dtype.kind != "b" else output.dtype
        _check_labels(_chosen_loss(loss, names, i), array, output, what)
        found.append(_cast(array, dtype, what))
    return tuple(found)


def _chosen_loss(loss: Any, names: Sequence[str], i: int) -> Any:
    if isinstance(loss, dict):
        return loss.get(names[i])
    return loss[i] if isinstance(loss, list | tuple) and i < len(loss) else loss


def _check_labels(loss: Any, labels: np.ndarray, output: TensorType, what: str) -> None:
    """Labels out of range give silent nonsense on some frameworks and an abort on others: refused here."""
    sparse = loss == "sparse_categorical_crossentropy" or isinstance(
        loss, losses.SparseCategoricalCrossentropy
    )
    classes = output.shape[-1] if output.shape else None
    if not sparse or not isinstance(classes, int) or not labels.size:
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
    weight: Any, class_weight: Mapping[int, float] | None, targets: Sequence[np.ndarray], dtype: DType,
    length: int, classes: Any = None,
) -> np.ndarray | None:  # fmt: skip
    """Sample weights times class weights as one float vector, or None; ``classes``: how many there are."""
    if weight is None and class_weight is None:
        return None
    result = np.ones(length, dtype.numpy)
    if weight is not None:
        array = to_numpy(weight, "sample_weight")
        if array.shape not in ((length,), (length, 1)):
            raise DataError(
                f"sample_weight has the shape {array.shape}; one weight for each of {length} examples is due."
            )
        if not np.isfinite(array).all():
            raise DataError("sample_weight holds numbers that are not finite.")
        result = result * array.reshape(length).astype(dtype.numpy)
    if class_weight is not None:
        result = result * _class_weights(class_weight, targets, classes).astype(dtype.numpy)
    return result


def _class_weights(
    class_weight: Mapping[int, float], targets: Sequence[np.ndarray], classes: Any
) -> np.ndarray:
    """The weight of each example by its label, or by where its one-hot target is largest."""
    if not isinstance(class_weight, Mapping):
        raise ArgumentError(f"class_weight is a dict from class to weight, not {class_weight!r}.")
    if len(targets) != 1:
        raise ArgumentError(f"class_weight is for models of one output; this one has {len(targets)}.")
    labels = targets[0].reshape(len(targets[0]), -1)
    if targets[0].ndim > 2:
        raise DataError(f"class_weight needs a label for each example; the target is {targets[0].shape}.")
    known = max(classes, 2) if isinstance(classes, int) else None
    for label, weight in class_weight.items():
        if not isinstance(label, int | np.integer):
            raise ArgumentError(f"class_weight names classes by int, not by {label!r}.")
        number(f"class_weight of {label}", weight, "(-inf, inf)")
        if known is not None and not 0 <= label < known:
            raise DataError(f"class_weight names the class {label}; the output has {known} classes.")
    chosen = labels[:, 0] if labels.shape[1] == 1 else labels.argmax(axis=1)
    return np.array([class_weight.get(int(label), 1.0) for label in chosen])


def split(arrays: Arrays, share: float) -> tuple[Arrays, Arrays]:
    """The first part for training and the last ``share`` for validation, as Keras splits."""
    cut = int(len(arrays) * (1 - share))
    if cut in (0, len(arrays)):
        raise DataError(f"validation_split={share} of {len(arrays)} examples leaves one part empty.")
    return arrays.take(slice(0, cut)), arrays.take(slice(cut, None))


def batches_of(source: Any) -> Iterator[tuple[Any, Any, Any]]:
    """``(x, y, sample_weight)`` from an iterable of ``x``, ``(x, y)`` or ``(x, y, sample_weight)``."""
    for item in source:
        parts = tuple(item) if isinstance(item, tuple | list) else (item,)
        if len(parts) > 3:
            raise DataError(
                f"A batch is (x, y) or (x, y, sample_weight); one of {len(parts)} parts was given."
            )
        yield (*parts, None, None)[:3]


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


def no_batch(purpose: str) -> DataError:
    """The error of an iterable that gives nothing to ``purpose``."""
    return DataError(
        f"The data gave no batch, so there is nothing to {purpose}. A generator is used up after one pass: give "
        "a number of steps, or an object that can be iterated again."
    )


def is_stream(x: Any) -> bool:
    """Whether ``x`` gives batches one by one: an iterable that is no array, list, tuple or dict."""
    return isinstance(x, Iterable) and not (
        isinstance(x, list | tuple | Mapping | str) or hasattr(x, "shape")
    )


def target_types(
    targets: Sequence[np.ndarray], outputs: Mapping[str, TensorType], batch: Any
) -> dict[str, TensorType]:
    """The types of target arrays in the graph: the batch axis is the model's, free sizes are the outputs'."""
    found = {}
    for (name, output), array in zip(outputs.items(), targets, strict=True):
        free = [size if isinstance(size, DimExpr) else None for size in output.shape]
        free += [None] * (array.ndim - len(free))
        rest = (own or size for own, size in zip(free[1:], array.shape[1:], strict=False))
        found[name] = TensorType(dtype_of(array.dtype), (batch, *rest))
    return found
