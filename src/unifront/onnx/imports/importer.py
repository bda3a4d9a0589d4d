"""Nodes of an ONNX model, one after the other, as operations of a graph that is being written."""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import ml_dtypes
import numpy as np

from unifront import ops
from unifront.dtypes import dtype_of
from unifront.errors import (
    ArgumentError,
    DTypeError,
    FileFormatError,
    GraphError,
    ShapeError,
    UnifrontError,
    UnknownName,
    UnsupportedOp,
)
from unifront.ir.dims import Dim, DimExpr
from unifront.ir.graph import Node as GraphNode
from unifront.ir.graph import Value as GraphValue
from unifront.ir.types import Shape, TensorType
from unifront.onnx.imports import schemas
from unifront.onnx.imports.folding import needed, work
from unifront.onnx.imports.naming import Names, layer_of, shown
from unifront.onnx.imports.node import Node, Row
from unifront.onnx.imports.tensors import Tensors
from unifront.onnx.imports.values import (
    Narrow,
    NeedsValue,
    NotKnown,
    Parts,
    Sizes,
    Value,
    Weight,
    carried,
    is_strings,
)
from unifront.opset.tensor import Builder, Traced, active_builder, lift, scope, type_of
from unifront.weights import Variable

BROKEN = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What a row may run into on what it was not written for."""
REFUSALS = (ArgumentError, DTypeError, GraphError, ShapeError, UnknownName)
"""How operations refuse what does not fit them."""
FOLDED, MADE = 2**10, 2**18
"""Elements up to which known operands are computed with at import, and up to which a row makes an array of sizes."""
DEEPEST, EXPANDED = 40, 20_000
"""How deep functions and bodies may lie in one another; and how many nodes more than the file has may be made of it,
by functions and loops that are written out."""
COMPUTED = 2**22
"""Elements that one result may have, and that a value may take, which is computed at import."""
LARGEST = 2**40
"""Bytes of a tensor that is too large to be meant."""
MASK = 1e30
"""Numbers that nobody learns: what masks add to logits."""
LAYERS = "unifront.layers"
"""The domain of functions that unifront writes of layers."""
WEIGHTS = ("float16", "bfloat16", "float32", "float64")


@dataclass(frozen=True, eq=False)
class Frame:
    """Where names are looked up: a graph, in the graph around it, or the body of a function.

    Args:
        versions: of the operator sets, by domain.
        given: the attributes of the function's call.
        made_by: for each name the operator that made it.
        done: the nodes that have been read.
    """

    values: ChainMap[str, Value]
    versions: Mapping[str, int]
    given: Mapping[str, Any]
    depth: int = 0
    made_by: dict[str, str] = field(default_factory=dict)
    done: list[Any] = field(default_factory=list)

    def inside(self) -> Frame:
        return replace(
            self, values=self.values.new_child(), depth=self.depth + 1, made_by=dict(self.made_by), done=[]
        )


class Importer:
    """What a model's nodes share.

    Args:
        builder: the graph being written.
        rows: the rows by domain and operator.
        functions: the model's own functions by domain, name and overload.
        tensors: reads the file's tensors.
        reasons: why other operators have none.
        bind: whether sizes that come from values are named in the graph; else they are asked for (`NeedsValue`).
    """

    def __init__(
        self,
        builder: Builder,
        rows: Mapping[tuple[str, str], Row],
        functions: Mapping[tuple[str, str, str], Any],
        tensors: Tensors,
        *,
        reasons: Mapping[tuple[str, str], str],
        bind: bool,
    ) -> None:
        self.builder, self.rows, self.functions, self.tensors = builder, rows, functions, tensors
        self.names = Names()
        self.reasons = reasons
        self._bind = bind
        self._left = EXPANDED
        self._key: Any = None
        self._draws = 0

    # ---------------------------------------------------------------- graphs

    def run(self, graph: Any, frame: Frame, *, expanded: bool = False) -> tuple[Value, ...]:
        """The outputs of ``graph``, whose inputs have values in ``frame``."""
        if frame.depth > DEEPEST:
            raise FileFormatError(f"graphs and functions lie more than {DEEPEST} deep in one another")
        if expanded:
            self._expand(1)  # a body without nodes, too
        self._initializers(graph, frame)
        for number, proto in enumerate(graph.node):
            if expanded:
                self._expand(1)
            self._node(proto, number, frame)
        return tuple(self._output(value.name, frame) for value in graph.output)

    def again(self, nodes: Sequence[Any], given: Mapping[str, Value], around: Frame, wanted: str) -> Value:
        """The value called ``wanted``, which ``nodes`` make of those in ``given``."""
        frame = around.inside()
        frame.values.update(given)
        if frame.depth > DEEPEST:
            raise FileFormatError(f"gradients lie more than {DEEPEST} deep in one another")
        for number, proto in enumerate(nodes):
            self._expand(1)
            self._node(proto, number, frame)
        return self._output(wanted, frame)

    def _expand(self, nodes: int) -> None:
        self._left -= nodes
        if self._left < 0:
            raise FileFormatError(
                f"its functions and loops come to more than {EXPANDED} nodes when they are written out"
            )

    def _output(self, name: str, frame: Frame) -> Value:
        if name not in frame.values:
            raise FileFormatError(f"the output {shown(name)} is made by no node")
        return frame.values[name]

    def _initializers(self, graph: Any, frame: Frame) -> None:
        for proto in graph.initializer:
            if proto.name in frame.values.maps[0]:
                continue
            array = self.tensors.array(proto)
            value = carried(array, proto.data_type)
            if self._is_weight(value):
                value = Weight(proto.name, value, trainable=True)
            frame.values[proto.name] = value
        for sparse in graph.sparse_initializer:
            frame.values[sparse.values.name] = self.tensors.dense(sparse)

    @staticmethod
    def _is_weight(value: Value) -> bool:
        """Floats are weights; a scalar is a number in a formula, and what is infinite, or as good as, is a mask."""
        if not isinstance(value, np.ndarray) or value.dtype.name not in WEIGHTS or value.ndim == 0:
            return False
        with np.errstate(invalid="ignore"):  # NaN
            low, high = float(value.min(initial=0)), float(value.max(initial=0))
        return max(-low, high) < min(float(ml_dtypes.finfo(value.dtype).max), MASK)

    def body(self, graph: Any, operands: Sequence[Value], around: Frame) -> tuple[Value, ...]:
        """The results of a body on ``operands``, in the builder that is now active."""
        if graph is None or len(operands) > len(graph.input):
            raise FileFormatError("a body that is not there, or takes fewer inputs than it is given")
        frame = around.inside()
        for value, operand in zip(graph.input, operands, strict=False):
            frame.values[value.name] = operand
        return self.run(graph, frame, expanded=True)

    def _active(self) -> Builder:
        """The builder that work belongs to: that of the branch or loop being traced, if one is."""
        return active_builder() or self.builder

    # ---------------------------------------------------------------- nodes

    def _node(self, proto: Any, number: int, frame: Frame) -> None:
        path, label = (
            layer_of(proto, number),
            f"{shown(proto.name or _first(proto))} ({shown(proto.op_type)})",
        )
        operands = [self._operand(name, frame, label) for name in proto.input]
        try:
            # A function that is a layer has nodes that say themselves of which layer they are.
            around = nullcontext() if proto.domain == LAYERS else scope(path)
            with around, np.errstate(all="ignore"):
                results = self._results(proto, operands, frame, label)
        except UnifrontError as error:
            if isinstance(error, REFUSALS) and not isinstance(error, NotKnown):
                raise FileFormatError(f"{label}: {error}") from error
            if not error.layer_path:
                error.at(path)
            raise
        except MemoryError as error:
            raise FileFormatError(f"{label}: it would take more memory than there is") from error
        except BROKEN as error:
            raise FileFormatError(f"{label}: {type(error).__name__}: {str(error)[:300]}") from error
        if len(results) < len(proto.output):
            raise FileFormatError(
                f"{label}: it has {len(results)} results, of which {len(proto.output)} are asked for"
            )
        for name, result in zip(proto.output, results, strict=False):
            if not name:
                continue
            if name in frame.values.maps[0]:
                raise FileFormatError(f"{label}: the name {shown(name)} is made a second time")
            self._check_size(result, label)
            frame.values[name] = result
            frame.made_by[name] = proto.op_type
        frame.done.append(proto)

    def _operand(self, name: str, frame: Frame, label: str) -> Value:
        if not name:
            return None
        if name not in frame.values:
            raise FileFormatError(
                f"{label}: it reads {shown(name)}, which is no input, no initializer, and made by no node before it"
            )
        return frame.values[name]

    def _results(self, proto: Any, operands: list[Value], frame: Frame, label: str) -> tuple[Value, ...]:
        domain = "" if proto.domain == "ai.onnx" else proto.domain
        function = self.functions.get((domain, proto.op_type, proto.overload))
        if function is not None:
            return self._call(function, proto, operands, frame, _imports(function), {})
        if domain not in frame.versions:
            raise FileFormatError(
                f"{label}: no version of the operator set {shown(domain or 'ai.onnx')} is imported"
            )
        schema = schemas.schema_of(proto.op_type, frame.versions[domain], domain)
        row = self.rows.get((domain, proto.op_type))
        if row is not None:
            attributes = self._attributes(proto, frame, schema, row, label)
            version = frame.versions[domain] if schema is None else schema.since_version
            found = self._apply(row, Node(self, frame, proto, version, attributes, label), operands)
            if found is not None:
                return found
        body = (
            None
            if schema is None
            else schemas.body_of(schema, proto, frame.versions[domain], operands, frame.given)
        )
        if schema is None or body is None:
            raise UnsupportedOp(self._no_row(domain, proto.op_type, label))
        return self._call(body, proto, operands, frame, _imports(body), schemas.defaults_of(schema))

    def _no_row(self, domain: str, op_type: str, label: str) -> str:
        reason = self.reasons.get((domain, op_type))
        operator = shown(f"{domain or 'ai.onnx'}::{op_type}")
        return f"{label}: unifront does not import the operator {operator}{f': {reason}' if reason else ''}."

    def _attributes(self, proto: Any, frame: Frame, schema: Any, row: Row, label: str) -> dict[str, Any]:
        given = dict(_given(proto, frame))
        if schema is not None:
            schemas.check(schema, proto, given, label)
        values = {name: self.tensors.attribute(one, label) for name, one in given.items()}
        if schema is not None:
            return {**schemas.default_values(schema, self.tensors), **values}
        return values if row.attributes is None else schemas.completed(row.attributes, values, label)

    def _call(
        self, function: Any, proto: Any, operands: list[Value], frame: Frame, versions: Mapping[str, int],
        defaults: Mapping[str, Any],
    ) -> tuple[Value, ...]:  # fmt: skip
        """The results of a function's body."""
        given = {
            **defaults,
            **{one.name: one for one in function.attribute_proto},
            **dict(_given(proto, frame)),
        }
        if len(operands) > len(function.input):
            raise FileFormatError(f"the function {shown(function.name)} takes {len(function.input)} operands")
        made = {name for node in function.node for name in node.output} | set(function.input)
        values = dict.fromkeys(function.input) | dict(zip(function.input, operands, strict=False))
        inner = Frame(ChainMap(values), {**frame.versions, **versions}, given, frame.depth + 1)
        body = _Body(function.node, [_Named(name) for name in function.output if name in made])
        results = iter(self.run(body, inner, expanded=True))
        return tuple(
            next(results) if name in made else None for name in function.output
        )  # some may be left out

    def _apply(self, row: Row, node: Node, operands: list[Value]) -> tuple[Value, ...] | None:
        """What a row gives; None where it leaves the node to the operator's body."""
        from unifront.onnx.imports import hosts

        if any(isinstance(operand, Sizes) for operand in operands):
            found = hosts.on_sizes(node, operands)
            if found is not None:
                return found
        given = list(operands) if row.raw else self._prepared(row, node, operands)
        try:
            result = row.function(node, *given)
        except ShapeError as error:
            asked = self._undecided(row, node, operands)
            if asked is None:
                raise
            raise asked from error
        if result is NotImplemented:
            return None
        results = (result,) if isinstance(result, Parts) or not isinstance(result, tuple) else result
        narrow = next((one.element for one in operands[:1] if isinstance(one, Narrow)), None)
        if row.narrow == "moves" and narrow is not None:
            results = tuple(None if one is None else Narrow(one, narrow) for one in results)
        return results

    def _undecided(self, row: Row, node: Node, operands: Sequence[Value]) -> NeedsValue | None:
        """What to say where sizes that come from values may fit or not: that their values are needed."""
        for number in row.sizes:
            if number < len(operands) and isinstance(operands[number], Traced):
                try:
                    self.known(operands[number], f"{node.label}: the operand {number}")
                except NeedsValue as error:
                    return error
        return None

    def _prepared(self, row: Row, node: Node, operands: Sequence[Value]) -> list[Value]:
        """Operands as a row is to have them."""
        given: list[Value] = []
        for number, operand in enumerate(operands):
            if operand is None:
                given.append(None)
            elif number in row.sizes:
                given.append(node.dims(operand, f"the operand {number}"))
            elif number in row.known:
                given.append(self.known(operand, f"{node.label}: the operand {number}"))
            elif isinstance(operand, Weight):
                operand.trainable &= number not in row.state
                given.append(operand if number in row.weights else self.lifted(operand))
            elif isinstance(operand, Narrow) and row.narrow is not True:
                given.append(operand.tensor)
            elif isinstance(operand, Parts):
                node.fail(f"the operand {number} is a sequence; a tensor is needed")
            elif is_strings(operand):
                node.fail(
                    f"the operand {number} is an array of strings, with which only the host can do anything"
                )
            else:
                given.append(self.traced(operand) if isinstance(operand, Sizes) else operand)
        known = [operand for operand in given if isinstance(operand, np.ndarray)]
        tensors = [operand for operand in given if isinstance(operand, Traced | Variable | Weight | Narrow)]
        if not tensors and sum(array.size for array in known) > FOLDED:
            free = [i for i, one in enumerate(given) if isinstance(one, np.ndarray) and i not in row.known]
            if free:
                largest = max(free, key=lambda i: given[i].size)
                given[largest] = self.traced(given[largest])
        return given

    def _check_size(self, value: Value, label: str) -> None:
        if isinstance(value, Parts):
            for one in value:
                self._check_size(one, label)
        elif isinstance(value, Traced):
            count = math.prod(dim for dim in value.shape if isinstance(dim, int))
            if count * max(value.dtype.bits // 8, 1) > LARGEST:
                raise FileFormatError(
                    f"{label}: a result would be {value.type}, which is too large to be meant"
                )

    # ---------------------------------------------------------------- values

    def lifted(self, weight: Value) -> Any:
        """A weight as a tensor; one of a single element is a number in a formula where no row knows it as a weight."""
        if not isinstance(weight, Weight):
            return weight
        if weight.array.size == 1 and not weight.made:
            return weight.array
        return self.laid_out(weight, None)

    def laid_out(self, value: Value, axes: tuple[int, ...] | None) -> Any:
        """See `Node.weight`."""
        if not isinstance(value, Weight):
            return value if axes is None else ops.transpose(value, axes)
        order = tuple(range(value.array.ndim)) if axes is None else axes
        if not value.made:
            array = np.ascontiguousarray(value.array.transpose(order)).reshape(
                [value.array.shape[i] for i in order]
            )
            path = self.names.weight(value.name)
            dtype = dtype_of(array.dtype)
            value.made[order] = Variable(
                path, array.shape, dtype, initial=array, trainable=value.trainable, scoped=False
            )
        first, variable = next(iter(value.made.items()))
        variable.trainable &= value.trainable
        if first == order:
            return lift(variable, self._active())
        return ops.transpose(lift(variable, self._active()), [first.index(axis) for axis in order])

    def derived(self, weight: Weight, number: int, change: Callable[[Any], Any]) -> Any:
        """``change`` of the part ``number`` along the first axis of a weight, as a weight of its own."""
        if weight.made:  # something else reads it as it is
            return change(ops.get_item(self.laid_out(weight, None), number))
        found = weight.parts.get(number)
        if found is None:
            array = np.ascontiguousarray(change(weight.array[number]))
            name = f"{weight.name}_{number}" if number else weight.name
            found = Variable(
                self.names.weight(name),
                array.shape,
                dtype_of(array.dtype),
                initial=array,
                trainable=weight.trainable,
                scoped=False,
            )
            weight.parts[number] = found
        return lift(found, self._active())

    def weight(self, name: str, array: np.ndarray) -> Any:
        """A weight that the file has as an attribute."""
        path = self.names.weight(name)
        return lift(
            Variable(path, array.shape, dtype_of(array.dtype), initial=array, scoped=False), self._active()
        )

    def random_key(self, node: Node) -> Any:
        """A key that no other node has."""
        if self._key is None:
            self._key = self.builder.key_input()
        self._draws += 1
        key = ops.fold_in(lift(self._key, self._active()), self._draws)
        seed = node["seed"]
        return key if seed is None else ops.fold_in(key, int(np.float32(seed).view(np.int32)) & 0x7FFFFFFF)

    def traced(self, value: Value) -> Any:
        """``value`` as a tensor of the graph."""
        if isinstance(value, Narrow):
            return self.traced(value.tensor)
        if isinstance(value, Weight):
            return self.laid_out(value, None)
        if isinstance(value, Sizes):
            flat = [
                lift(ops.full((), dim, "int64", like=self._anchor()), self._active())
                for dim in value.array.flat
            ]
            return flat[0] if value.array.ndim == 0 else ops.reshape(ops.stack(flat), value.array.shape)
        if is_strings(value):
            raise UnsupportedOp("strings are worked with on the host only, where they are known at import")
        return lift(value, self._active())

    def _anchor(self) -> Any:
        return lift(np.zeros((), np.int64), self._active())

    def lazy(self, value: Value, shape: Shape) -> Any:
        """See `Node.lazy`."""
        size = math.prod(shape)
        small = isinstance(size, int) and size <= MADE
        return value if small or not isinstance(value, np.ndarray) else self.traced(value)

    def known(self, value: Value, what: str) -> np.ndarray:
        """See `Node.known`."""
        if isinstance(value, np.ndarray):
            return value
        if isinstance(value, Weight):
            return value.array
        if isinstance(value, Narrow):
            return self.known(value.tensor, what)
        if not isinstance(value, Sizes | Traced | Variable):
            raise FileFormatError(
                f"{what} is {'a sequence' if isinstance(value, Parts) else 'left out'}, not a tensor"
            )
        names = self._sources(value, what)
        if names:
            self._ask(names, what)
        return self._computed(value, what)

    def _ask(self, names: Sequence[str], what: str) -> NoReturn:
        listed = ", ".join(map(repr, names))
        raise NeedsValue(
            f"{what} decides what the graph is, so it has to be known at import, but it comes from {listed}. Give "
            f"a value: from_onnx(…, inputs={{{names[0]!r}: array}}), or a shape where sizes are enough.",
            names,
        )

    def dims(self, value: Value, what: str) -> tuple[Dim, ...]:
        """See `Node.dims`."""
        if isinstance(value, Weight):
            value = value.array
        if isinstance(value, Sizes):
            return tuple(value.array.reshape(-1))
        if isinstance(value, np.ndarray):
            return tuple(int(dim) for dim in value.reshape(-1))
        if not isinstance(value, Traced):
            raise FileFormatError(f"{what} is no tensor of sizes")
        names = self._sources(value, what)
        if not names:
            return self.dims(self._computed(value, what), what)
        if not self._bind or not value.type.is_static or value.rank > 1 or not value.dtype.is_integer:
            self._ask(names, what)
        parts = [value] if value.rank == 0 else ops.unstack(value, axis=0)
        return tuple(type_of(ops.bind_size(part)).shape[0] for part in parts)

    def _sources(self, value: Any, what: str) -> list[str]:
        """The model's inputs from which ``value`` is computed."""
        if isinstance(value, Sizes):
            free = set().union(*(dim.symbols() for dim in value.array.flat if isinstance(dim, DimExpr)))
            named = [
                n
                for n, v in zip(self.builder.input_names, self.builder.inputs, strict=True)
                if _mentions(v, free)
            ]
            if not named:
                raise NotKnown(f"{what} has to be known at import, but hangs on sizes that come from values.")
            return named
        found: dict[str, None] = {}
        seen: set[GraphValue] = set()
        stack = [(value.value, value.builder)] if isinstance(value, Traced) else []
        makers: dict[int, dict[GraphValue, GraphNode]] = {}
        while stack:
            one, builder = stack.pop()
            if one in seen:
                continue
            seen.add(one)
            made = makers.setdefault(id(builder), {v: node for node in builder.nodes for v in node.outputs})
            if one in made:
                stack += [(operand, builder) for operand in made[one].operands if operand is not None]
            elif one in builder.inputs:
                outside = {inner.value: outer for outer, inner in builder.captures.values()}
                if builder is self.builder:
                    found[builder.input_names[builder.inputs.index(one)]] = None
                elif one in outside:
                    stack.append((outside[one].value, outside[one].builder))
                else:
                    raise NotKnown(
                        f"{what} has to be known at import, but changes from step to step of a loop."
                    )
        return list(found)

    def _computed(self, value: Any, what: str) -> np.ndarray:
        """The value of a tensor that hangs on no input."""
        from unifront.reference import BACKEND

        builder = value.builder if isinstance(value, Traced) else self.builder
        wanted = needed(builder.graph([lift(value, builder)]))
        size = work(wanted)
        if size is None or size > COMPUTED:
            raise FileFormatError(
                f"{what} has to be known at import, but computing it takes "
                + (f"{size} numbers" if size is not None else "a loop of unknown length")
                + f"; at most {COMPUTED} are computed then"
            )
        values = [variable.numpy() for variable, _ in builder.variables.values()]
        (array,) = BACKEND.compile(wanted)((), values)
        return np.asarray(array)


class _Body:
    """The part of a ``GraphProto`` that a function's body has."""

    initializer = sparse_initializer = ()

    def __init__(self, node: Any, output: list[_Named]) -> None:
        self.node, self.output = node, output


@dataclass(frozen=True)
class _Named:
    name: str


def _mentions(value: GraphValue, symbols: set[str]) -> bool:
    type_: TensorType = value.type
    return any(isinstance(dim, DimExpr) and not symbols.isdisjoint(dim.symbols()) for dim in type_.shape)


def _first(proto: Any) -> str:
    return next((name for name in proto.output if name), "a node without results")


def _imports(function: Any) -> dict[str, int]:
    return {"" if one.domain == "ai.onnx" else one.domain: one.version for one in function.opset_import}


def _given(proto: Any, frame: Frame) -> Iterator[tuple[str, Any]]:
    """A node's attributes, those that are the function's taken from its call."""
    for attribute in proto.attribute:
        if not attribute.ref_attr_name:
            yield attribute.name, attribute
        elif attribute.ref_attr_name in frame.given:
            yield attribute.name, frame.given[attribute.ref_attr_name]
