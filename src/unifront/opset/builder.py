"""Tensors without values, and the graph that is written while a function runs on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unifront.backends import HostKey, backend_of
from unifront.dtypes import DType, dtype_of, int32
from unifront.dtypes import key as key_dtype
from unifront.errors import ArgumentError, ShapeError, UnifrontError
from unifront.ir import facts
from unifront.ir import graph as ir
from unifront.ir.dims import Dim, DimExpr, symbol
from unifront.ir.graph import Graph, Literal, Node, Value
from unifront.ir.types import Shape, TensorType, symbols_of
from unifront.opset.arrays import to_numpy
from unifront.opset.lines import users_line
from unifront.opset.spec import OPS, OpSpec, Sample, register
from unifront.scopes import current_path
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

    def no_value(self, lacks: str, instead: str) -> ArgumentError:
        """The error of Python code that depends on the value; it points at the user's line."""
        line = users_line()
        place = f" at {line}" if line else ""
        return ArgumentError(
            f"A symbolic tensor of type {self.type} {lacks} while a graph is traced{place}. {instead}, or run the "
            "layer on native arrays, without hybridize or uf.jit."
        )

    def __bool__(self) -> bool:
        raise self.no_value("has no truth value", "Use uf.ops.where, uf.ops.cond or uf.ops.while_loop")

    def __len__(self) -> int:
        raise self.no_value("has no length", "Use its shape, or uf.ops.shape")

    def __iter__(self) -> Iterator[Any]:
        raise self.no_value("cannot be iterated", "Use uf.ops.unstack, or uf.ops.scan along an axis")

    def _number(self) -> Any:
        raise self.no_value(
            "is no number that Python knows",
            "Keep it a tensor: use uf.ops for arithmetic, uf.ops.cond, uf.ops.while_loop or uf.ops.scan for what "
            "depends on it",
        )

    __index__ = __int__ = __float__ = __complex__ = _number

    def numpy(self) -> Any:
        """Refused: there is no value yet."""
        return self._number()

    item = tolist = numpy

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.type}>"


class Traced(Tensor):
    """A value of the graph that ``builder`` is writing. Its mask is called as in Keras."""

    def __init__(self, value: Value, builder: Builder) -> None:
        super().__init__(value.type)
        self.value, self.builder = value, builder
        self._keras_mask: Any = None

    def tolist(self) -> Any:
        """The sizes that a tensor holds which was made of sizes; refused for others, whose values are not known yet."""
        from unifront.opset.known_sizes import known_sizes

        found = known_sizes(self)
        return super().tolist() if found is None else found.tolist()

    def item(self) -> Any:
        """The size that a tensor of one element holds; see `tolist`."""
        return super().item() if self.shape else self.tolist()


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a layer or function on symbolic tensors, to be replayed."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


class Symbolic(Tensor):
    """A tensor of the functional API: the ``index``-th result of ``call``, or an input (``call`` is None)."""

    mask_type: TensorType | None = None
    """Of the mask that comes with it when the calls are made; None where there will be none."""

    def __init__(self, type_: TensorType, name: str, call: Call | None = None, index: int = 0) -> None:
        super().__init__(type_)
        self.name, self.call, self.index = name, call, index


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


def key_name(taken: Sequence[str]) -> str:
    """What the input for a random key is called beside inputs of the names ``taken``."""
    name = "key"
    while name in taken:
        name = f"random_{name}"
    return name


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
    arrays: dict[int, tuple[Any, Traced]] | None = None
    """Of the outermost graph: the native arrays that came in from outside, each an input; None makes them constants."""
    draws: bool = False
    """Of a graph that takes arrays in: whether random numbers were drawn at once while it was made."""
    loops: bool = False
    """Whether the graph is run again and again, as the body of a loop: each turn draws random numbers of its own."""
    _turn: Traced | None = None
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

    def array(self, array: Any, type_: TensorType) -> Traced:
        """The input that stands for a native array from outside, the same one each time."""
        assert self.arrays is not None
        if id(array) not in self.arrays:
            self.arrays[id(array)] = (array, self.input(f"array_{len(self.arrays)}", type_))
        return self.arrays[id(array)][1]

    def key_input(self) -> Traced:
        """An input for a random key, called "key" unless an input of the user's is."""
        return self.input(key_name(self.input_names), TensorType(key_dtype))

    @property
    def counts(self) -> bool:
        """Whether `turn` was asked for."""
        return self._turn is not None

    def turn(self) -> Traced:
        """The number of the turn that the loop is in whose body this is: an input, which who makes the loop counts."""
        if self._turn is None:
            self._turn = self.input("turn", TensorType(int32))
        return self._turn

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

    def size(self, dim: DimExpr, dtype: DType = int32) -> Traced:
        """The size that ``dim`` is when the graph runs, a scalar."""
        like = self.constant(np.zeros((), np.float32))
        (found,) = self.add(OPS["fill"], [like.value], {"shape": (), "value": dim, "dtype": dtype.name})
        return found

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


_active: ContextVar[Builder | None] = ContextVar("unifront_builder", default=None)


@contextmanager
def building(builder: Builder | None) -> Iterator[Builder | None]:
    """A block in which operations on variables and keys alone belong to ``builder`` too; None: they run at once."""
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
    if builder is None and active is not None and any(isinstance(o, Variable | HostKey) for o in operands):
        return active
    if builder is not None and active is not None and active.within(builder):
        return active  # the body of a branch or loop keeps its work to itself
    return builder


def lift(operand: Any, builder: Builder) -> Traced:
    """``operand`` (tensor, variable, array, scalar, size or key) as a value of the graph being built."""
    if isinstance(operand, Traced):
        return builder.capture(operand)
    if isinstance(operand, Variable):
        return builder.variable(operand)
    if isinstance(operand, DimExpr):
        return builder.size(operand)
    if isinstance(operand, HostKey):
        (found,) = builder.add(OPS["random_key"], [None], {"seed": int(operand)})
        return found
    backend = None if builder.root.arrays is None else backend_of(operand)
    if backend is not None:
        return builder.capture(builder.root.array(operand, backend.type_of(operand)))
    return builder.constant(to_numpy(operand))


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
