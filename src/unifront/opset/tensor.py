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
from typing import Any, ParamSpec

import numpy as np

from unifront import tree
from unifront.backends import (
    Backend,
    HostKey,
    backend_of,
    default_name,
    get_backend,
    placement,
    use_backend,
)
from unifront.dtypes import BY_NAME, DType, dtype_of, key
from unifront.errors import ArgumentError, DTypeError, UnifrontError, UnsupportedOp
from unifront.ir import graph as ir
from unifront.ir.emit import emit
from unifront.ir.graph import Graph, Literal, Node, Value
from unifront.ir.types import Shape, TensorType
from unifront.opset.spec import OpSpec, Sample, register
from unifront.weights import Variable


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
    _constants: dict[tuple[Any, ...], Traced] = field(default_factory=dict)
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

    def within(self, other: Builder) -> bool:
        """Whether this trace is ``other``, or is made inside it."""
        return self is other or (self.outer is not None and self.outer.within(other))

    def capture(self, tensor: Traced) -> Traced:
        """``tensor``; if it belongs to a trace around this one, as an input, noted in ``captures``."""
        if tensor.builder is self:
            return tensor
        if self.outer is None:
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
        if self.outer is not None:
            return self.capture(self.outer.variable(variable))
        if id(variable) in self.updates:
            return self.updates[id(variable)][1]
        if id(variable) not in self.variables:
            self.variables[id(variable)] = (variable, self.new(variable.type))
        return Traced(self.variables[id(variable)][1], self)

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
        node = Node(
            op, tuple(operands), (), dict(attributes), regions, current_path() if name is None else name
        )
        try:
            types = node.infer()
        except UnifrontError as error:
            error.at(node.name)
            raise
        outputs = tuple(self.new(type_) for type_ in types)
        self.nodes.append(Node(op, node.operands, outputs, node.attributes, regions, node.name))
        return tuple(Traced(value, self) for value in outputs)

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
    kind = Symbolic if any(isinstance(o, Symbolic) for o in operands) else None
    if kind:
        extra = {"regions": regions} if regions else {}
        types = op.infer(*(None if o is None else type_of(o) for o in operands), **extra, **attributes)
        call = Call(bind, (op, *operands), {**extra, **attributes})
        outputs: tuple[Any, ...] = tuple(Symbolic(t, op.name, call, i) for i, t in enumerate(types))
        return outputs[0] if len(outputs) == 1 else outputs
    builder = builder_of(operands)
    active = _active.get()
    if builder is None and any(isinstance(o, Variable) for o in operands):
        builder = active
    elif builder is not None and active is not None and active.within(builder):
        builder = active  # the body of a branch or loop keeps its work to itself
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


def lift(operand: Any, builder: Builder) -> Traced:
    """``operand`` (tensor, variable, array or scalar) as a value of the graph being built."""
    if isinstance(operand, Traced):
        return builder.capture(operand)
    if isinstance(operand, Variable):
        return builder.variable(operand)
    backend = backend_of(operand)
    return builder.constant(_host_array(operand) if backend is None else backend.numpy(operand))


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
    backend = _backend_for(op, operands)
    rows = backend.rows()
    natives = [_native(operand, backend) for operand in operands]
    try:
        op.infer(*(None if n is None else backend.type_of(n) for n in natives),
                 **({"regions": regions} if regions else {}), **attributes)  # fmt: skip
    except UnifrontError as error:
        error.at(current_path())
        raise
    if op not in rows.table:
        if op.decomposition is None:
            reason = rows.reasons.get(op, "it has no row for it")
            raise UnsupportedOp(f"{op.name}: the backend {backend.name!r} cannot run it: {reason}.")
        return op.decomposition(*natives, **({"regions": regions} if regions else {}), **attributes)
    for i, native in enumerate(natives):
        storage = rows.storage.get((op, i))
        if storage is not None and native is not None:
            natives[i] = storage.to_native(native)
    extra: dict[str, Any] = {}
    if regions:
        extra["regions"] = tuple(emit(region, rows).function for region in regions)
    return rows.table[op](*natives, **extra, **attributes)


def _backend_for(op: OpSpec, operands: Sequence[Any]) -> Backend:
    """Where ``op`` runs: NumPy arrays follow a framework's; weights and keys by themselves the default."""
    found = {b.name: b for b in map(backend_of, operands) if b is not None}
    frameworks = sorted(found.keys() - {"numpy"})
    if len(frameworks) > 1:
        error = ArgumentError(
            f"{op.name}: arrays of {' and '.join(frameworks)} meet in one operation. Give the arrays of one "
            "backend; NumPy arrays go with any."
        )
        error.at(current_path())
        raise error
    if frameworks:
        return found[frameworks[0]]
    homeless = all(operand is None or isinstance(operand, HostKey) for operand in operands)
    if homeless or any(isinstance(operand, Variable) for operand in operands):
        return placement().backend
    return get_backend("numpy")


def backend_of_arrays(structure: Any) -> AbstractContextManager[Any]:
    """A block in which weights and keys by themselves are on the backend of the arrays of ``structure``."""
    found = {b.name for b in map(backend_of, tree.leaves(structure)) if b is not None}
    names = found - {"numpy"} or found
    if len(names) != 1 or default_name().partition(":")[0] in names:
        return nullcontext()
    return use_backend(names.pop())


def _native(operand: Any, backend: Backend) -> Any:
    if operand is None:
        return None
    if isinstance(operand, Variable):
        return operand.native(backend.name)
    if isinstance(operand, HostKey):
        return backend.key(operand)
    own = backend_of(operand)
    if own is not None and own.name == backend.name:
        return operand
    return backend.array(_host_array(operand) if own is None else own.numpy(operand))


def record(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Note a call on symbolic tensors; its results are symbolic, typed by tracing ``function`` once."""
    builder = Builder("types")

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
    )
)

__all__ = [
    "CONSTANT", "Builder", "Call", "Symbolic", "Tensor", "Traced",
    "backend_of_arrays", "bind", "builder_of", "building", "current_path", "is_building", "lift",
    "record", "replayed", "scope", "type_of",
]  # fmt: skip
