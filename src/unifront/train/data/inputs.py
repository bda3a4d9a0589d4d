"""The inputs of a model: data checked against it once, cast once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from unifront import tree
from unifront.dtypes import DType, dtype_of, floatx, int32, promote
from unifront.errors import DataError
from unifront.functional import are_lists, check_is_dict, flatten_like
from unifront.ir.dims import evaluate, solve
from unifront.ir.types import TensorType
from unifront.opset.bounds import check_indices, index_bounds
from unifront.train.data.arrays import (
    Arrays,
    cast,
    holds_arrays,
    named_leaves,
    same_length,
    to_numpy,
)
from unifront.train.data.tables import columns_of

if TYPE_CHECKING:
    from unifront.model import Model


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
        is_leaf = not isinstance(x, dict | tuple) and not (isinstance(x, list) and holds_arrays(x))
        arrays = (
            to_numpy(x, "The input")
            if is_leaf
            else tree.map_leaves(lambda leaf: to_numpy(leaf, "The input"), x)
        )
        model.infer_inputs(tree.map_leaves(_input_type, arrays))
    structure = model.input_structure
    if columns_of(x) is None:
        check_is_dict(x, structure)
    by_key = isinstance(x, Mapping) and isinstance(structure, dict)
    if by_key or (are_lists(x, structure) and any(map(tree.is_nested, structure))):
        parts = flatten_like(x, structure, list(model.input_types))
        x = parts[0] if len(parts) == 1 else parts
    arrays = _arrays(model.name, model.input_types, x)
    refused: Exception | None = None
    if _misfit(model.input_types, arrays, several) is not None:
        try:
            model.let_differ([array.shape for array in arrays])
        except Exception as error:  # noqa: BLE001  # whatever a layer raises, the user's too
            refused = error
    found = _as_types(model.name, model.input_types, arrays, several, refused)
    if several and found:
        check_whole_batches(model, len(found[0]))
    _check_indices(model, found)
    return found


def inputs_in(model: Model, x: Any, several: bool = False) -> Arrays:
    """``x`` as for `check_inputs`, where None may stand for optional inputs."""
    absent, x = model.present(x)
    return Arrays(check_inputs(model.without(absent), x, several), absent=absent)


def fitted(
    model: str, types: Mapping[str, TensorType], x: Any, several: bool = True
) -> tuple[np.ndarray, ...]:
    """``x`` as one array for each of ``types``, the inputs of ``model``, as for `check_inputs`."""
    return _as_types(model, types, _arrays(model, types, x), several)


def _arrays(model: str, types: Mapping[str, TensorType], x: Any) -> list[np.ndarray]:
    """``x`` as one array for each of ``types``, of its rank if the last axis may be the odd one."""
    names = list(types)
    found = []
    for name, part in zip(names, named_leaves(x, names, "The input"), strict=True):
        what = f"The input {name!r} of the model {model!r}"
        if part is None or (isinstance(part, list) and len(part) == 1 and part[0] is None):
            raise DataError(f"{what} is None, and it is not optional; uf.Input(..., optional=True) is.")
        array, type_ = to_numpy(part, what), types[name]
        if array.ndim == type_.rank - 1 and type_.shape[-1] == 1:
            array = array[..., None]  # Keras takes a missing last axis of size one, and one too many
        elif array.ndim == type_.rank + 1 and array.shape[-1] == 1:
            array = array[..., 0]
        found.append(array)
    return found


def _misfit(types: Mapping[str, TensorType], arrays: Sequence[np.ndarray], several: bool) -> str | None:
    """The name of the first input whose array is not of its sizes."""
    sizes: dict[str, int] = {}
    for (name, type_), array in zip(types.items(), arrays, strict=True):
        if array.ndim != type_.rank or not all(
            solve(d, n, sizes if i else {})
            for i, (d, n) in enumerate(zip(type_.shape, array.shape, strict=True))
            if i or not several
        ):
            return name
    return None


def _as_types(
    model: str, types: Mapping[str, TensorType], arrays: Sequence[np.ndarray], several: bool,
    refused: Exception | None = None,
) -> tuple[np.ndarray, ...]:  # fmt: skip
    """``arrays`` of their dtypes; `DataError` for one of other sizes, because of what was ``refused``, if it was."""
    names = list(types)
    misfit = _misfit(types, arrays, several)
    found = []
    for name, array in zip(names, arrays, strict=True):
        what, type_ = f"The input {name!r} of the model {model!r}", types[name]
        if name == misfit:
            raise DataError(f"{what} has the shape {array.shape}; the model takes {type_}.") from refused
        found.append(array if arrives_small(array.dtype, type_.dtype) else cast(array, type_.dtype, what))
    same_length(found, names)
    return tuple(found)


def arrives_small(given: Any, wanted: DType) -> bool:
    """Whether data of the dtype ``given`` goes to the device as it is, and the step casts it: bytes (images) that a
    model takes as floats are a quarter of them, or an eighth."""
    return np.dtype(given).name == "uint8" and wanted.is_float


def _check_indices(model: Model, arrays: Sequence[np.ndarray]) -> None:
    """Raise for an index outside its table while it is at hand: frameworks clamp, wrap or abort, each as it likes."""
    traced = model.tracing()
    known = ("index bounds", id(traced))
    if known not in model.programs:
        model.programs[known] = index_bounds(traced.graph)
    check_indices(traced.graph, model.programs[known], arrays)


def sizes_of(model: Model, inputs: Sequence[np.ndarray]) -> dict[str, int]:
    """What the free sizes of the model's inputs are in these arrays, but for the batch."""
    return free_sizes(model.input_types.values(), inputs)


def free_sizes(types: Iterable[TensorType], inputs: Sequence[np.ndarray]) -> dict[str, int]:
    """See `sizes_of`."""
    sizes: dict[str, int] = {}
    for type_, array in zip(types, inputs, strict=True):
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


def _input_type(array: np.ndarray) -> TensorType:
    from unifront.dtypes import floatx

    if array.ndim == 0:
        raise DataError("The input is a single number; the first axis of data is the batch.")
    dtype = floatx() if array.dtype.kind in "fb" else int32
    return TensorType(dtype, array.shape)


def own_arrays(model: Model, x: Any, y: Any, weight: Any) -> Arrays:
    """Data for a step of the user's: any structure of arrays of one length; ints as int32, floats as ``floatx``, or
    wider if the model computes so."""
    wide = promote(floatx(), *(weight.dtype for weight in model.weights if weight.dtype.is_float))

    def array(leaf: Any) -> np.ndarray:
        found = to_numpy(leaf, "The data")
        if found.ndim == 0:
            raise DataError("The data holds a single number; the first axis of data is the batch.")
        dtype = int32 if found.dtype.kind in "iu" and found.dtype.itemsize > 2 else dtype_of(found.dtype)
        return cast(found, wide if dtype.is_float else dtype, "The data")

    absent: tuple[int, ...] = ()
    if model.has_free_inputs:
        structure, inputs = _numbered_arrays(x, array)
    else:
        given = inputs_in(model, x, several=True)
        structure, inputs, absent = model.input_structure, list(given.inputs), given.absent
    targets_structure, targets = (None, []) if y is None else _numbered_arrays(y, array)
    weights_structure, weights = (None, []) if weight is None else _numbered_arrays(weight, array)
    every = [*inputs, *targets, *weights]
    if not every:
        raise DataError("No data was given: pass x.")
    same_length(every, [f"array {i}" for i in range(len(every))])
    structures = structure, targets_structure, weights_structure
    return Arrays(tuple(inputs), tuple(targets), tuple(weights), structures, absent=absent)


def _numbered_arrays(given: Any, array: Callable[[Any], np.ndarray]) -> tuple[Any, list[np.ndarray]]:
    """``given`` with numbers for its leaves, and its leaves as arrays."""
    if isinstance(given, list) and not holds_arrays(given):
        given = np.asarray(given)  # a list of numbers
    leaves = tree.leaves(given)
    count = iter(range(len(leaves)))
    return tree.map_leaves(lambda _: next(count), given), [array(leaf) for leaf in leaves]
