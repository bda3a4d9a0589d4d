"""Symbolic tensors, and `bind`: the one way to apply an operation.

`bind` looks at what it is given. Native arrays: the backend's row runs at once. `Traced` tensors: a node is
added to the graph being built. `Symbolic` tensors (what ``uf.Input`` gives): the call is noted, to be
replayed when the model is traced.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, ParamSpec

import numpy as np

from unifront import tree
from unifront.backends import HostKey, backend_of, placement
from unifront.dtypes import BY_NAME, DType, dtype_of, int32, key
from unifront.errors import ArgumentError
from unifront.ir.dims import DimExpr
from unifront.ir.graph import Graph
from unifront.ir.types import TensorType
from unifront.opset.arrays import backend_of_arrays, host_array, native, placed, run, to_numpy
from unifront.opset.builder import (
    CONSTANT,
    Builder,
    Call,
    Counter,
    Symbolic,
    Tensor,
    Traced,
    active_builder,
    builder_for,
    builder_of,
    building,
    is_building,
    lift,
    outermost_builder,
)
from unifront.opset.quick import value_is_read
from unifront.opset.spec import OPS, OpSpec
from unifront.scopes import autocast_dtype, autocasting, current_path, scope
from unifront.weights import Variable, current_overlay


def bind(op: OpSpec, *operands: Any, regions: tuple[Graph, ...] = (), **attributes: Any) -> Any:
    """Apply ``op``: a tensor, or a tuple of them when it has several results."""
    dtype = autocast_dtype()
    if dtype is not None:
        operands = tuple(_seen(o, dtype, operands) for o in operands)
    noted, builder = any(isinstance(o, Symbolic) for o in operands), None
    if not noted:
        builder = builder_for(operands)
        names = op.name == "bind_size"  # an operation that names a size knows it by a value
        if builder is None and not names and (_sized(operands) or _sized(attributes.values())):
            builder = active_builder()
            noted = builder is None  # the sizes are those of symbolic tensors
    if noted:
        extra = {"regions": regions} if regions else {}
        types = op.infer(*(None if o is None else type_of(o) for o in operands), **extra, **attributes)
        call = Call(bind, (op, *operands), {**extra, **attributes})
        outputs: tuple[Any, ...] = tuple(Symbolic(t, op.name, call, i) for i, t in enumerate(types))
        return outputs[0] if len(outputs) == 1 else outputs
    if builder is not None:
        values = [None if o is None else lift(o, builder).value for o in operands]
        outputs = builder.add(op, values, attributes, regions)
        return outputs[0] if len(outputs) == 1 else outputs
    return run(op, operands, attributes, regions)


def weights_read(values: tuple[Any, ...]) -> tuple[tuple[Any, ...], Hashable] | None:
    """Arguments with the arrays of weights in their place, for `remembering`; None where a weight would move, which is
    for operations that run."""
    overlay = current_overlay()
    if active_builder() is not None or (overlay is not None and overlay.is_told):
        return None
    try:
        backend, device = placed("", values)
    except ArgumentError:  # the operation itself says it best
        return None
    weights = tuple((i, one.autocast) for i, one in enumerate(values) if isinstance(one, Variable))
    instead = {} if overlay is None else overlay.values
    if not all(id(values[i]) in instead or values[i].is_at(backend, device) for i, _ in weights):
        return None
    read = tuple(native(one, backend, device) if isinstance(one, Variable) else one for one in values)
    return read, (Variable, autocast_dtype(), weights)


def on_a_framework(structure: Any, floats: DType | None = None) -> Any:
    """``structure`` with NumPy's arrays as the default backend's, where there are no others and no graph is traced.

    Layers and losses compute with that. ``floats`` is the dtype in which floats are wanted, if it is known.
    """
    leaves = tree.leaves(structure)
    found = {backend.name for backend in map(backend_of, leaves) if backend is not None}
    if found != {"numpy"} or active_builder() is not None or any(isinstance(leaf, Tensor) for leaf in leaves):
        return structure
    place = placement()
    if place.backend.name in found:
        return structure
    there: dict[int, Any] = {}

    def moved(leaf: Any) -> Any:
        if (
            backend_of(leaf) is None or leaf.dtype.name not in BY_NAME
        ):  # of strings and the like there are none
            return leaf
        if id(leaf) not in there:  # one that is given twice stays one
            array = np.asarray(leaf)
            if floats is not None and array.dtype.kind == "f":
                array = array.astype(floats.numpy)
            there[id(leaf)] = place.backend.array(array, place.device)
        return there[id(leaf)]

    return tree.map_leaves(moved, structure)


def _sized(values: Iterable[Any]) -> bool:
    """Whether there is a named dimension among ``values``, or in tuples among them."""
    return any(isinstance(one, DimExpr) or (isinstance(one, tuple) and _sized(one)) for one in values)


def size_tensor(dim: DimExpr, dtype: DType = int32) -> Tensor:
    """The size that ``dim`` is when the program runs, as a scalar tensor of the graph that is being written; outside of
    one it is noted as calls on symbolic tensors are."""
    builder = active_builder()
    if builder is not None:
        return builder.size(dim, dtype)
    from unifront.opset.creation import full

    return Symbolic(TensorType(dtype), "size", Call(full, ((), dim, dtype.name), {}))


def _is_cast(operand: Any, dtype: DType) -> bool:
    """Whether ``operand`` is a weight that layers computing in ``dtype`` read in that."""
    if not isinstance(operand, Variable) or not operand.autocast:
        return False
    return operand.dtype.is_float and operand.dtype is not dtype


def _seen(operand: Any, dtype: DType, operands: Sequence[Any]) -> Any:
    """``operand`` as operations see it in a layer that computes in ``dtype``: weights are cast.

    In a graph that is done where the weight is known first: once, and not at each turn of a loop.
    """
    if not _is_cast(operand, dtype):
        return operand
    builder = builder_for(operands)
    if builder is None:
        return run(OPS["cast"], (operand,), {"dtype": dtype.name}, ())
    own = id(operand)
    while builder.outer is not None and own not in builder.updates and own not in builder.bound:
        builder = builder.outer
    (found,) = builder.add(OPS["cast"], [builder.variable(operand).value], {"dtype": dtype.name})
    return found


def update(variable: Variable, value: Any) -> None:
    """Give ``variable`` a new value: while a graph is traced as an output of that graph, else at once.

    Args:
        value: a tensor, array or variable of the variable's shape.

    Later reads of the variable within the graph see the new value. Raises `ShapeError` or `DTypeError` if the value
    does not fit, `ArgumentError` in the body of a loop, and on the tensors of ``uf.Input`` outside a layer's `call`.
    """
    value_is_read()
    if updated_in_graph(variable, value):
        return
    if isinstance(value, Symbolic):
        raise ArgumentError(
            f"{variable.path} is updated outside a layer, with a tensor that has no value yet. "
            "Do it in the call of a layer."
        )
    given = value.value if isinstance(value, Variable) else value
    if _has_value(given):
        variable.assign(given)


def updated_in_graph(variable: Variable, value: Any) -> bool:
    """Whether a graph is being traced (or an overlay is in place), which then has the update."""
    builder = active_builder() or (value.builder if isinstance(value, Traced) else None)
    if builder is not None:
        builder.update(variable, value)
        return True
    overlay = current_overlay()
    if overlay is not None and not isinstance(value, Symbolic):
        overlay.write(variable, value.value if isinstance(value, Variable) else _placed(variable, value))
        return True
    return False


def _placed(variable: Variable, value: Any) -> Any:
    """``value`` as operations take it for ``variable``: what is on the host goes to the default backend."""
    backend = backend_of(value)
    if backend is not None and backend.name != "numpy":
        return value
    host, place = variable.checked(to_numpy(value)), placement()
    return host if place.backend.name == "numpy" else place.backend.array(host, place.device)


def _has_value(given: Any) -> bool:
    """Whether there is a value: on a device that keeps none (PyTorch's ``meta``) only types are worked out."""
    backend = backend_of(given)
    device = None if backend is None else backend.device_of(given)
    return backend is None or device is None or device in backend.devices()


def is_tensor(operand: Any) -> bool:
    """Whether ``operand`` is a tensor, a variable or a native array, and no Python number or sequence."""
    return isinstance(operand, Tensor | Variable) or backend_of(operand) is not None


def type_of(operand: Any) -> TensorType:
    """The type of a tensor, variable, native array, size or Python number."""
    if isinstance(operand, Tensor):
        return operand.type
    if isinstance(operand, Variable):
        dtype = autocast_dtype()
        return (
            operand.type if dtype is None or not _is_cast(operand, dtype) else operand.type.with_dtype(dtype)
        )
    backend = backend_of(operand)
    if backend is not None:
        return backend.type_of(operand)
    if isinstance(operand, HostKey):
        return TensorType(key)
    if isinstance(operand, DimExpr):
        return TensorType(int32)
    array = host_array(operand)
    return TensorType(dtype_of(array.dtype), array.shape)


_recorded_sizes: set[str] = set()


def record(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Note a call on symbolic tensors; its results are symbolic, typed by tracing ``function`` once."""
    # No other call may have a size from a value that is called the same.
    builder = Builder("types", _sizes=_recorded_sizes)

    def placeholder(leaf: Any) -> Any:
        if not isinstance(leaf, Symbolic):
            return leaf
        found = builder.input(f"input_{len(builder.inputs)}", leaf.type)
        if leaf.mask_type is not None:
            found._keras_mask = builder.input(f"input_{len(builder.inputs)}", leaf.mask_type)
        return found

    with building(builder):
        result = function(*tree.map_leaves(placeholder, args), **tree.map_leaves(placeholder, kwargs))
    call = Call(function, args, kwargs)
    places = iter(range(1_000_000))

    def named(leaf: Any) -> Any:
        place = next(places)
        if leaf is None:
            return None
        found = Symbolic(type_of(leaf), "", call, place)
        mask = leaf._keras_mask if isinstance(leaf, Traced) else None
        found.mask_type = None if mask is None else type_of(mask)
        return found

    return tree.map_leaves(named, result)


Arguments = ParamSpec("Arguments")


def replayed(function: Callable[Arguments, Any]) -> Callable[Arguments, Any]:
    """``function``, whose attributes come from shapes: on symbolic tensors the whole call is noted, so that
    they are computed anew when the model is traced with other sizes."""

    @functools.wraps(function)
    def wrapped(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Any:
        if any(isinstance(leaf, Symbolic) for leaf in tree.leaves([args, kwargs])):
            # What has its name in its module: a pickle finds it there.
            public = getattr(sys.modules[function.__module__], function.__name__, wrapped)
            return record(public if inspect.unwrap(public) is function else wrapped, *args, **kwargs)
        return function(*args, **kwargs)

    return wrapped


__all__ = [
    "CONSTANT", "Builder", "Call", "Counter", "Symbolic", "Tensor", "Traced", "active_builder", "autocast_dtype",
    "autocasting", "backend_of_arrays", "bind", "builder_for", "builder_of", "building", "current_path",
    "is_building", "is_tensor", "lift", "native", "on_a_framework", "outermost_builder", "record", "replayed", "scope",
    "size_tensor", "to_numpy", "type_of", "update", "weights_read",
]  # fmt: skip
