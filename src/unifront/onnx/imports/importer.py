"""Nodes of an ONNX model, one after the other, as operations of a graph that is being written."""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import ml_dtypes
import numpy as np

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
from unifront.onnx.imports import schemas
from unifront.onnx.imports.folding import Folding
from unifront.onnx.imports.frame import Body, Frame, versions_of
from unifront.onnx.imports.lifting import Lifting
from unifront.onnx.imports.naming import layer_of, shown
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
from unifront.opset.tensor import Builder, Traced, scope
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
FOLDED = 2**10
"""Elements up to which known operands are computed with at import."""
DEEPEST, EXPANDED = 40, 10_000
"""How deep functions and bodies may lie in one another; and how many nodes more than the file has may be made of it,
by functions and loops that are written out."""
LARGEST = 2**40
"""Bytes of a tensor that is too large to be meant."""
MASK = 1e30
"""Numbers that nobody learns: what masks add to logits."""
LAYERS = "unifront.layers"
"""The domain of functions that unifront writes of layers."""
WEIGHTS = ("float16", "bfloat16", "float32", "float64")


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
        self.rows, self.functions, self.tensors, self.reasons = rows, functions, tensors, reasons
        self.lifting, self.folding = Lifting(builder), Folding(builder, bind=bind)
        self._left = EXPANDED
        self._sizes: dict[tuple[str, str, str], int] = {}

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

    def _least(self, key: tuple[str, str, str], depth: int = 0) -> int:
        """How many nodes a function comes to at least, with those that it calls written out."""
        if depth > DEEPEST:
            return 0  # which is said where it is read
        if key not in self._sizes:
            self._sizes[key] = 0
            called = [
                ("" if node.domain == "ai.onnx" else node.domain, node.op_type, node.overload)
                for node in self.functions[key].node
            ]
            self._sizes[key] = sum(
                1 + (self._least(one, depth + 1) if one in self.functions else 0) for one in called
            )
        return self._sizes[key]

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
        key = (domain, proto.op_type, proto.overload)
        function = self.functions.get(key)
        if function is not None:
            if self._least(key) > self._left:  # said before a node of it is read
                self._expand(self._left + 1)
            return self._call(function, proto, operands, frame, versions_of(function), {})
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
        return self._call(body, proto, operands, frame, versions_of(body), schemas.defaults_of(schema))

    def _no_row(self, domain: str, op_type: str, label: str) -> str:
        reason = self.reasons.get((domain, op_type))
        operator = shown(f"{domain or 'ai.onnx'}::{op_type}")
        return f"{label}: unifront does not import the operator {operator}{f': {reason}' if reason else ''}."

    def _attributes(self, proto: Any, frame: Frame, schema: Any, row: Row, label: str) -> dict[str, Any]:
        given = dict(frame.given_to(proto))
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
            **dict(frame.given_to(proto)),
        }
        if len(operands) > len(function.input):
            raise FileFormatError(f"the function {shown(function.name)} takes {len(function.input)} operands")
        made = {name for node in function.node for name in node.output} | set(function.input)
        values = dict.fromkeys(function.input) | dict(zip(function.input, operands, strict=False))
        inner = Frame(ChainMap(values), {**frame.versions, **versions}, given, frame.depth + 1)
        body = Body(function.node, [name for name in function.output if name in made])
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
                    self.folding.known(operands[number], f"{node.label}: the operand {number}")
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
                given.append(self.folding.known(operand, f"{node.label}: the operand {number}"))
            elif isinstance(operand, Weight):
                operand.trainable &= number not in row.state
                given.append(operand if number in row.weights else self.lifting.lifted(operand))
            elif isinstance(operand, Narrow) and row.narrow is not True:
                given.append(operand.tensor)
            elif isinstance(operand, Parts):
                node.fail(f"the operand {number} is a sequence; a tensor is needed")
            elif is_strings(operand):
                node.fail(
                    f"the operand {number} is an array of strings, with which only the host can do anything"
                )
            else:
                given.append(self.lifting.traced(operand) if isinstance(operand, Sizes) else operand)
        known = [operand for operand in given if isinstance(operand, np.ndarray)]
        tensors = [operand for operand in given if isinstance(operand, Traced | Variable | Weight | Narrow)]
        if not tensors and sum(array.size for array in known) > FOLDED:
            free = [i for i, one in enumerate(given) if isinstance(one, np.ndarray) and i not in row.known]
            if free:
                largest = max(free, key=lambda i: given[i].size)
                given[largest] = self.lifting.traced(given[largest])
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


def _first(proto: Any) -> str:
    return next((name for name in proto.output if name), "a node without results")
