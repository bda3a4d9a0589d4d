"""Symbolic tensors, and `bind`: the one way to apply an operation.

`bind` looks at what it is given. Native arrays: the backend's row runs at once. `Traced` tensors: a node is
added to the graph being built. `Symbolic` tensors (what ``uf.Input`` gives): the call is noted, to be
replayed when the model is traced.
"""

from __future__ import annotations

import functools
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ParamSpec

import numpy as np

from unifront import tree
from unifront.backends import (
    Backend,
    HostKey,
    Placement,
    backend_of,
    default_name,
    get_backend,
    placement,
    use_backend,
)
from unifront.dtypes import BY_NAME, DType, dtype_of, key
from unifront.errors import ArgumentError, DTypeError, ShapeError, UnifrontError, UnsupportedOp
from unifront.ir import facts
from unifront.ir import graph as ir
from unifront.ir.dims import Dim, symbol
from unifront.ir.emit import emit
from unifront.ir.graph import Graph, Literal, Node, Value
from unifront.ir.types import Shape, TensorType, symbols_of
from unifront.opset.spec import OPS, OpSpec, Sample, register
from unifront.weights import Variable, current_overlay


class Tensor:
    """A tensor without a value: a type, and where it comes from. Arithmetic works as with NumPy arrays."""

    def __init__(self, type_: TensorType) -> None:
        self.type = type_

    @property
    def shape(self) -> Shape:
        """Dimensions: ints and symbols."""
        return self.type.shape

    @property
    def dtype(self) -> DType:
        return self.type.dtype

    @property
    def rank(self) -> int:
        return self.type.rank

    ndim = rank

    def __len__(self) -> int:
        raise ArgumentError(f"A symbolic tensor of type {self.type} has no length; use its shape.")

    def __bool__(self) -> bool:
        raise ArgumentError(
            f"A symbolic tensor of type {self.type} has no truth value while a graph is traced. "
            "Use uf.ops.where or uf.ops.cond, or run the layer on native arrays."
        )

    def __iter__(self) -> Iterator[Any]:
        raise ArgumentError(f"A symbolic tensor of type {self.type} cannot be iterated; use uf.ops.unstack.")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.type}>"


class Traced(Tensor):
    """A value of the graph that ``builder`` is writing. ``mask`` travels with it from layer to layer."""

    def __init__(self, value: Value, builder: Builder) -> None:
        super().__init__(value.type)
        self.value, self.builder = value, builder
        self.mask: Any = None


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a layer or function on symbolic tensors, to be replayed."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


class Symbolic(Tensor):
    """A tensor of the functional API: the ``index``-th result of ``call``, or an input (``call`` is None)."""

    def __init__(self, type_: TensorType, name: str, call: Call | None = None, index: int = 0) -> None:
        super().__init__(type_)
        self.name, self.call, self.index = name, call, index


_path: ContextVar[tuple[str, ...]] = ContextVar("unifront_path", default=())


@contextmanager
def scope(name: str) -> Iterator[None]:
    """Everything made inside is named ``name/…``."""
    token = _path.set((*_path.get(), name))
    try:
        yield
    finally:
        _path.reset(token)


def current_path() -> str:
    """The path of the scopes entered, ``encoder/block1``."""
    return "/".join(_path.get())


@dataclass(frozen=True)
class Counter:
    """A number that the host gives for each run of a graph: how many steps were done, a learning rate.

    Args:
        position: of the input that takes it.
        value: ``(ahead, done) -> number``, for the run that comes ``ahead`` runs after the next one, where ``done``
            were done before it.
    """

    position: int
    value: Callable[[int, int], float]


@dataclass
class Builder:
    """A graph being written."""

    name: str = "graph"
    inputs: list[Value] = field(default_factory=list)
    input_names: list[str] = field(default_factory=list)
    variables: dict[int, tuple[Variable, Value]] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    updates: dict[int, tuple[Variable, Traced]] = field(default_factory=dict)
    outer: Builder | None = None
    captures: dict[Value, tuple[Traced, Traced]] = field(default_factory=dict)
    bound: dict[int, Traced] = field(default_factory=dict)
    counters: dict[tuple[Any, ...], Counter] = field(default_factory=dict)
    notes: dict[Any, Any] = field(default_factory=dict)
    _constants: dict[tuple[Any, ...], Traced] = field(default_factory=dict)
    _sizes: set[str] = field(default_factory=set)
    _next: int = 0

    def new(self, type_: TensorType) -> Value:
        self._next += 1
        return Value(self._next - 1, type_)

    def input(self, name: str, type_: TensorType) -> Traced:
        """A new input of the graph."""
        value = self.new(type_)
        self.inputs.append(value)
        self.input_names.append(name)
        return Traced(value, self)

    def new_size(self, name: str) -> Dim:
        """A symbol called ``name``, or that with a number where it is taken: for a size that comes from a value."""
        root = self.root
        taken = root._sizes | symbols_of(*(value.type for value in root.inputs))
        found, number = name, 0
        while found in taken:
            number += 1
            found = f"{name}_{number}"
        root._sizes.add(found)
        return symbol(found)

    @property
    def root(self) -> Builder:
        """The outermost trace around this one."""
        return self if self.outer is None else self.outer.root

    def counter(self, key: tuple[Any, ...], type_: TensorType, value: Callable[[int, int], float]) -> Traced:
        """An input of the outermost graph for a number of the host's, one for each ``key``; see `Counter`."""
        root = self.root
        if key not in root.counters:
            root.counters[key] = Counter(len(root.inputs), value)
            what = " ".join(part for part in key if isinstance(part, str))
            root.input(f"counter {len(root.counters)}: {what}", type_)
        return Traced(root.inputs[root.counters[key].position], root)

    def within(self, other: Builder) -> bool:
        """Whether this trace is ``other``, or is made inside it."""
        return self is other or (self.outer is not None and self.outer.within(other))

    def capture(self, tensor: Traced) -> Traced:
        """``tensor``; if it belongs to a trace around this one, as an input, noted in ``captures``."""
        if tensor.builder is self:
            return tensor
        if self.outer is None:
            if tensor.builder.within(self):
                raise ArgumentError(
                    f"A tensor made inside the function {tensor.builder.name!r} is used outside of it. Return it "
                    "from that function: with uf.value_and_grad(…, has_aux=True) as (loss, aux)."
                )
            raise ArgumentError(
                f"Tensors of different traces meet in one operation: {tensor.builder.name}, {self.name}."
            )
        outside = self.outer.capture(tensor)
        if outside.value not in self.captures:
            inside = self.input(f"captured_{len(self.captures)}", outside.type)
            self.captures[outside.value] = (outside, inside)
        return self.captures[outside.value][1]

    def variable(self, variable: Variable) -> Traced:
        """The graph's value of ``variable``: after an update in this graph, the new one."""
        if id(variable) in self.updates:
            return self.updates[id(variable)][1]
        if id(variable) in self.bound:
            return self.bound[id(variable)]
        if self.outer is not None:
            return self.capture(self.outer.variable(variable))
        if id(variable) not in self.variables:
            self.variables[id(variable)] = (variable, self.new(variable.type))
        return Traced(self.variables[id(variable)][1], self)

    def update(self, variable: Variable, value: Any) -> None:
        """Give ``variable`` the new ``value`` from here on, cast to its dtype; `ShapeError` if it does not fit."""
        host = not isinstance(value, Traced | Variable)
        new = lift(variable.checked(to_numpy(value)) if host else value, self)
        if new.shape != variable.shape:
            raise ShapeError(
                f"{variable.path} has the shape {variable.shape}; a value of {new.type} was given."
            )
        if new.dtype != variable.dtype:
            (new,) = self.add(OPS["cast"], [new.value], {"dtype": variable.dtype.name})
        self.variable(variable)  # the graph knows it by its value before, too
        self.updates[id(variable)] = (variable, new)

    def constant(self, array: np.ndarray) -> Traced:
        """A constant; equal ones are shared."""
        literal = Literal.of(array)
        shared = (literal.dtype, literal.shape, literal.data)
        if shared not in self._constants:
            (self._constants[shared],) = self.add(CONSTANT, (), {"value": literal})
        return self._constants[shared]

    def add(
        self,
        op: ir.Op,
        operands: Sequence[Value | None],
        attributes: Mapping[str, Any],
        regions: tuple[Graph, ...] = (),
        name: str | None = None,
    ) -> tuple[Traced, ...]:
        """Add a node; its type rule is run, and its error gets the layer path."""
        path = current_path() if name is None else name
        try:
            node = Node.typed(op, tuple(operands), dict(attributes), regions, path, self.new)
        except UnifrontError as error:
            error.at(path)
            raise
        self.nodes.append(node)
        return tuple(Traced(value, self) for value in node.outputs)

    def graph(
        self,
        outputs: Sequence[Traced],
        output_names: Sequence[str] = (),
        variables: Sequence[ir.Variable] | None = None,
    ) -> Graph:
        """The finished graph, numbered in order, constants first; ``variables`` defaults to those met."""
        if variables is None:
            variables = [ir.Variable(v.path, value, v.trainable) for v, value in self.variables.values()]
        constants = [node for node in self.nodes if node.op is CONSTANT]
        others = [node for node in self.nodes if node.op is not CONSTANT]
        return Graph(
            self.name,
            tuple(self.inputs),
            tuple(variables),
            (*constants, *others),
            tuple(output.value for output in outputs),
            tuple(self.input_names),
            tuple(output_names),
        ).renumbered()


def bind(op: OpSpec, *operands: Any, regions: tuple[Graph, ...] = (), **attributes: Any) -> Any:
    """Apply ``op``: a tensor, or a tuple of them when it has several results."""
    tensors = [o for o in operands if isinstance(o, Tensor)]
    if any(isinstance(o, Symbolic) for o in tensors):
        extra = {"regions": regions} if regions else {}
        types = op.infer(*(None if o is None else type_of(o) for o in operands), **extra, **attributes)
        call = Call(bind, (op, *operands), {**extra, **attributes})
        outputs: tuple[Any, ...] = tuple(Symbolic(t, op.name, call, i) for i, t in enumerate(types))
        return outputs[0] if len(outputs) == 1 else outputs
    builder = builder_for(operands)
    if builder is not None:
        values = [None if o is None else lift(o, builder).value for o in operands]
        outputs = builder.add(op, values, attributes, regions)
        return outputs[0] if len(outputs) == 1 else outputs
    return _run(op, operands, attributes, regions)


_active: ContextVar[Builder | None] = ContextVar("unifront_builder", default=None)


@contextmanager
def building(builder: Builder) -> Iterator[Builder]:
    """A block in which operations on variables alone belong to ``builder`` too."""
    token = _active.set(builder)
    try:
        yield builder
    finally:
        _active.reset(token)


def is_building() -> bool:
    """Whether a graph is being written around this call."""
    return _active.get() is not None


def active_builder() -> Builder | None:
    """The graph that is being written around this call, the innermost of nested ones."""
    return _active.get()


def update(variable: Variable, value: Any) -> None:
    """Give ``variable`` a new value: while a graph is traced as an output of that graph, else at once.

    Args:
        value: a tensor, array or variable of the variable's shape.

    Later reads of the variable within the graph see the new value. Raises `ShapeError` or `DTypeError` if the value
    does not fit, `ArgumentError` in the body of a loop, and on the tensors of ``uf.Input`` outside a layer's `call`.
    """
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
        overlay.write(variable, value.value if isinstance(value, Variable) else value)
        return True
    return False


def _has_value(given: Any) -> bool:
    """Whether there is a value: on a device that keeps none (PyTorch's ``meta``) only types are worked out."""
    backend = backend_of(given)
    device = None if backend is None else backend.device_of(given)
    return backend is None or device is None or device in backend.devices()


def outermost_builder() -> Builder | None:
    """The builder of the whole graph being written around this call, not of a branch or loop in it."""
    builder = _active.get()
    return None if builder is None else builder.root


def builder_of(operands: Sequence[Any]) -> Builder | None:
    """The builder of the traced operands, the innermost of nested ones; None when there is none."""
    builders = {id(o.builder): o.builder for o in operands if isinstance(o, Traced)}
    if len(builders) <= 1:
        return next(iter(builders.values()), None)
    for builder in builders.values():
        if all(builder.within(other) for other in builders.values()):
            return builder
    names = sorted(builder.name for builder in builders.values())
    raise ArgumentError(f"Tensors of different traces meet in one operation: {', '.join(names)}.")


def builder_for(operands: Sequence[Any]) -> Builder | None:
    """The builder that work on these operands goes to; None for work on native arrays."""
    builder, active = builder_of(operands), _active.get()
    if builder is None and active is not None and any(isinstance(o, Variable) for o in operands):
        return active
    if builder is not None and active is not None and active.within(builder):
        return active  # the body of a branch or loop keeps its work to itself
    return builder


def lift(operand: Any, builder: Builder) -> Traced:
    """``operand`` (tensor, variable, array or scalar) as a value of the graph being built."""
    if isinstance(operand, Traced):
        return builder.capture(operand)
    if isinstance(operand, Variable):
        return builder.variable(operand)
    return builder.constant(to_numpy(operand))


def to_numpy(operand: Any) -> np.ndarray:
    """A native array, or a number or a list of numbers, as NumPy."""
    backend = backend_of(operand)
    return _host_array(operand) if backend is None else backend.numpy(operand)


_DEFAULTS = {"f": np.dtype("float32"), "i": np.dtype("int32"), "u": np.dtype("int32")}


def _host_array(operand: Any) -> np.ndarray:
    """A number or a list of numbers as an array: Python's floats are float32, its ints int32."""
    try:
        array = np.asarray(operand)
    except (TypeError, ValueError):  # lists of unequal lengths
        array = np.asarray(None)
    if array.dtype.name not in BY_NAME:
        raise DTypeError(f"Operations take tensors, arrays and numbers, not {reprlib.repr(operand)}.")
    if hasattr(operand, "dtype"):
        return array
    default = _DEFAULTS.get(array.dtype.kind, array.dtype)
    if default.kind == "i" and array.size:
        for extreme in (array.min(), array.max()):
            if not np.iinfo(default).min <= extreme <= np.iinfo(default).max:
                raise ArgumentError(
                    f"The number {extreme} does not fit int32, as which Python's ints are taken; "
                    "give a NumPy array of another dtype."
                )
    with np.errstate(over="ignore"):
        return array.astype(default)


def is_tensor(operand: Any) -> bool:
    """Whether ``operand`` is a tensor, a variable or a native array, and no Python number or sequence."""
    return isinstance(operand, Tensor | Variable) or backend_of(operand) is not None


def type_of(operand: Any) -> TensorType:
    """The type of a tensor, variable, native array or Python number."""
    if isinstance(operand, Tensor | Variable):
        return operand.type
    backend = backend_of(operand)
    if backend is not None:
        return backend.type_of(operand)
    if isinstance(operand, HostKey):
        return TensorType(key)
    array = _host_array(operand)
    return TensorType(dtype_of(array.dtype), array.shape)


def _run(
    op: OpSpec, operands: Sequence[Any], attributes: Mapping[str, Any], regions: tuple[Graph, ...]
) -> Any:
    """Run ``op`` at once, on the backend of its native arrays."""
    backend, device = _placed(op, operands)
    rows = backend.rows(device)
    natives = [native(operand, backend, device) for operand in operands]
    try:
        types = tuple([None if n is None else backend.type_of(n) for n in natives])
        if regions:
            op.infer(*types, regions=regions, **attributes)
        elif attributes:
            _check_with(op, types, attributes)
        else:
            _check(op, types, ())
    except UnifrontError as error:
        error.at(current_path())
        raise
    if op not in rows.table:
        if op.decomposition is None:
            reason = rows.reasons.get(op, "it has no row for it")
            raise UnsupportedOp(f"{op.name}: the backend {backend.name!r} cannot run it: {reason}.")
        return op.decomposition(*natives, **({"regions": regions} if regions else {}), **attributes)
    if rows.storage:
        for i, array in enumerate(natives):
            storage = rows.storage.get((op, i))
            if storage is not None and array is not None:
                natives[i] = storage.to_native(array)
    extra: dict[str, Any] = {}
    if regions:
        extra["regions"] = tuple(emit(region, rows).function for region in regions)
    return rows.table[op](*natives, **extra, **attributes)


def _check_with(op: OpSpec, types: tuple[TensorType | None, ...], attributes: Mapping[str, Any]) -> None:
    """`_check`, which would take 1.0 and True for 1 if it did not know the classes of attributes."""
    known = []
    for name, value in attributes.items():
        classes = tuple(map(type, value)) if type(value) is tuple else (type(value),)
        if tuple in classes or not isinstance(value, tuple | str | int | float | None):
            op.infer(*types, **attributes)
            return
        known.append((name, value, classes))
    _check(op, types, tuple(known))


@lru_cache(4096)
def _check(op: OpSpec, types: tuple[TensorType | None, ...], attributes: tuple[Any, ...]) -> None:
    """Raise what the operation's type rule raises; what it has admitted once it admits again."""
    op.infer(*types, **{name: value for name, value, _ in attributes})


def _placed(op: OpSpec, operands: Sequence[Any]) -> tuple[Backend, str | None]:
    """Where ``op`` runs: a framework's first array says it, NumPy's arrays and weights follow. Weights and keys
    by themselves are at the default. The device is None where the array is on none in particular."""
    found: dict[str, tuple[Backend, Any]] = {}
    weights, homeless = False, True
    for operand in operands:
        if operand is None or isinstance(operand, HostKey):
            continue
        homeless = False
        if isinstance(operand, Variable):
            weights = True
            continue
        backend = backend_of(operand)
        if backend is not None and backend.name not in found:
            found[backend.name] = (backend, operand)
    if len(found) > 1:
        found.pop("numpy", None)
    if len(found) > 1:
        error = ArgumentError(
            f"{op.name}: arrays of {' and '.join(sorted(found))} meet in one operation. Give the arrays of one "
            "backend; NumPy arrays go with any."
        )
        error.at(current_path())
        raise error
    if found and "numpy" not in found:
        ((backend, array),) = found.values()
        return backend, backend.device_of(array)
    if homeless or weights:
        place = placement()
        return place.backend, place.device
    return get_backend("numpy"), None


def backend_of_arrays(structure: Any) -> AbstractContextManager[Any]:
    """A block in which weights and keys by themselves are where the first array of ``structure`` is."""
    found: dict[str, tuple[Backend, Any]] = {}
    for leaf in tree.leaves(structure):
        backend = backend_of(leaf)
        if backend is not None:
            found.setdefault(backend.name, (backend, leaf))
    if len(found) > 1:
        found.pop("numpy", None)
    if len(found) != 1:
        return nullcontext()
    ((backend, array),) = found.values()
    device = backend.device_of(array)
    if device is None:
        default = default_name().partition(":")[0]
        return nullcontext() if default == backend.name else use_backend(backend.name)
    return use_backend(Placement(backend, device, backend.name))


def native(operand: Any, backend: Backend, device: str | None = None) -> Any:
    """``operand`` (an array of any kind, a number, a variable, a key) as an array of ``backend``."""
    if operand is None:
        return None
    if isinstance(operand, Variable):
        where = device or backend.devices()[0]
        return operand.native(Placement(backend, where, backend.name), at_home=device is None)
    if isinstance(operand, HostKey):
        return backend.key(operand, device)
    own = backend_of(operand)
    if own is not None and own.name == backend.name:
        return operand
    return backend.array(_host_array(operand) if own is None else own.numpy(operand), device)


_recorded_sizes: set[str] = set()


def record(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Note a call on symbolic tensors; its results are symbolic, typed by tracing ``function`` once."""
    # No other call may have a size from a value that is called the same.
    builder = Builder("types", _sizes=_recorded_sizes)

    def placeholder(leaf: Any) -> Any:
        return (
            builder.input(f"input_{len(builder.inputs)}", leaf.type) if isinstance(leaf, Symbolic) else leaf
        )

    with building(builder):
        result = function(*tree.map_leaves(placeholder, args), **tree.map_leaves(placeholder, kwargs))
    call = Call(function, args, kwargs)
    count = iter(range(1_000_000))
    return tree.map_leaves(lambda leaf: Symbolic(type_of(leaf), "", call, next(count)), result)


Arguments = ParamSpec("Arguments")


def replayed(function: Callable[Arguments, Any]) -> Callable[Arguments, Any]:
    """``function``, whose attributes come from shapes: on symbolic tensors the whole call is noted, so that
    they are computed anew when the model is traced with other sizes."""

    @functools.wraps(function)
    def wrapped(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Any:
        if any(isinstance(leaf, Symbolic) for leaf in tree.leaves([args, kwargs])):
            return record(wrapped, *args, **kwargs)
        return function(*args, **kwargs)

    return wrapped


CONSTANT = register(
    OpSpec(
        "constant",
        rule=lambda value: TensorType(dtype_of(value.dtype), value.shape),
        reference=lambda value: value.numpy(),
        samples=lambda rng: [
            Sample((), {"value": Literal.of(rng.normal(size=shape))}) for shape in [(), (2, 3), (0, 2)]
        ],
        source="ONNX Constant",
        attributes={"value": Literal},
        differentiable=False,
        facts=facts.opaque("half"),
    )
)

__all__ = [
    "CONSTANT", "Builder", "Call", "Counter", "Symbolic", "Tensor", "Traced", "active_builder",
    "backend_of_arrays", "bind", "builder_for", "builder_of", "building", "current_path", "is_building",
    "is_tensor", "lift", "native", "outermost_builder", "record", "replayed", "scope", "to_numpy", "type_of",
    "update",
]  # fmt: skip
