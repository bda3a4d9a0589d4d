"""The writer of ONNX graphs, which the rows of every operation use.

A `Ref` is a tensor of the model being written. One whose array is known is written as an initializer when a
node reads it, so that what rows compute beforehand (a kernel in another layout) costs nothing in the file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx

from unifront.backends import HostKey
from unifront.dtypes import DType, dtype_of
from unifront.errors import ExportError
from unifront.files import parts_of
from unifront.ir.dims import Dim, DimExpr, FloorDiv, Min
from unifront.ir.graph import Graph, Literal, Node, Value
from unifront.ir.types import Shape, TensorType
from unifront.onnx.naming import Names
from unifront.opset.replay import expand
from unifront.opset.shape import CONCATENATE
from unifront.opset.spec import OpSpec

Row = Callable[..., Any]
LAYER, OPERATION = "unifront.layer", "unifront.operation"
"""The keys of a node's metadata: the path of the layer it came from, and the operation there."""

ELEMENT_TYPES = {
    "bool": "BOOL", "int8": "INT8", "int16": "INT16", "int32": "INT32", "int64": "INT64",
    "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64",
    "float16": "FLOAT16", "bfloat16": "BFLOAT16", "float32": "FLOAT", "float64": "DOUBLE",
}  # fmt: skip


def element_type(dtype: DType) -> int:
    """ONNX's number of a dtype."""
    if dtype.name not in ELEMENT_TYPES:
        raise ExportError(f"ONNX has no tensors of dtype {dtype}.")
    number: int = onnx.TensorProto.DataType.Value(ELEMENT_TYPES[dtype.name])
    return number


def value_info(name: str, type_: TensorType) -> Any:
    """The declaration of a tensor; symbolic dimensions keep their names."""
    shape = [dim if isinstance(dim, int) else str(dim) for dim in type_.shape]
    return onnx.helper.make_tensor_value_info(name, element_type(type_.dtype), shape)


@dataclass(frozen=True, eq=False)
class Ref:
    """A tensor of the model.

    Args:
        name: its name; of a known array, the name it is to have if it is written.
        known_type: its dtype and shape, if known: always those of a row's operands.
        array: its value, if known.
        key: of a random key, which is in no file: the one that seeds are made of.
    """

    name: str
    known_type: TensorType | None = None
    array: np.ndarray | None = None
    key: HostKey | None = None

    @property
    def type(self) -> TensorType:
        """The dtype and shape, which must be known."""
        assert self.known_type is not None, f"The type of {self.name} is not kept."
        return self.known_type


@dataclass(frozen=True)
class Target:
    """What is written for.

    Args:
        opset: the version of the ONNX operator set.
        table: operation → row: ``row(writer, *operands, **attributes) -> Ref or Refs``, with ``regions``
            (graphs) where there are bodies. `NotImplemented` means: write the decomposition.
        reasons: why an operation has no row.
    """

    opset: int
    table: Mapping[OpSpec, Row]
    reasons: Mapping[OpSpec, str]


class Writer:
    """Writes the nodes of one graph; those of a body have the writer around it as ``outer``."""

    def __init__(self, target: Target, outer: Writer | None = None) -> None:
        self.target, self.outer = target, outer
        self.root: Writer = outer.root if outer else self
        self.nodes: list[Any] = []
        self.names: Names = outer.names if outer else Names()
        self.path: str = outer.path if outer else ""
        # Those of the root alone are used.
        self.initializers: dict[str, Any] = {}  # without their data, which are arrays until they are written
        self.arrays: dict[str, np.ndarray] = {}
        self._written: dict[tuple[Any, ...], str] = {}
        self._sizes: dict[DimExpr, Ref] = {}
        self._axes: dict[str, tuple[Ref, int]] = {}
        self.node: Node | None = None

    # ------------------------------------------------------------ what rows use

    @property
    def opset(self) -> int:
        """The version of the operator set written for."""
        return self.target.opset

    def op(self, kind: str, *operands: Any, outputs: int = 1, **attributes: Any) -> Any:
        """Add a node and give its result, or a tuple of ``outputs``."""
        name = self.names.new(f"{self.path}/{kind}" if self.path else kind)
        inputs = [self.write(operand) for operand in operands]
        while inputs and not inputs[-1]:
            inputs.pop()
        results = [name] if outputs == 1 else [self.names.new(f"{name}:{i}") for i in range(outputs)]
        node = onnx.helper.make_node(kind, inputs, results, name, **attributes)
        if self.node is not None and self.node.name:
            for key, value in ((LAYER, self.node.name), (OPERATION, self.node.op.name)):
                node.metadata_props.add(key=key, value=value)
        self.nodes.append(node)
        found = tuple(Ref(result) for result in results)
        return found[0] if outputs == 1 else found

    def maker(self, x: Ref) -> Any:
        """The node of this graph that gives ``x``; None if it is given otherwise."""
        return next((node for node in reversed(self.nodes) if x.name in node.output), None)

    def write(self, operand: Ref | np.ndarray | None) -> str:
        """The name of an operand in the file; a known array becomes an initializer."""
        if operand is None:
            return ""
        if isinstance(operand, np.ndarray):
            operand = Ref("", array=operand)
        if operand.array is None:
            return operand.name
        root, array, digest = self.root, operand.array, hashlib.blake2b()
        for part in parts_of(array):
            digest.update(part)
        same = (operand.name, array.dtype.name, array.shape, digest.digest())
        if same not in root._written:
            name = self.names.new(operand.name or f"{self.path or 'constant'}/constant")
            kind = element_type(dtype_of(array.dtype))
            root._written[same] = name
            root.initializers[name] = onnx.TensorProto(name=name, data_type=kind, dims=array.shape)
            root.arrays[name] = array
        return root._written[same]

    def known(self, array: np.ndarray, like: Ref | None = None) -> Ref:
        """A known array, named as ``like`` if it is written."""
        array = np.asarray(array)
        return Ref(like.name if like else "", TensorType(dtype_of(array.dtype), array.shape), array)

    def number(self, value: float, like: Ref) -> np.ndarray:
        """A scalar of the dtype of ``like``."""
        return np.asarray(value, like.type.dtype.numpy)

    def cast(self, x: Ref, dtype: DType | str) -> Ref:
        """``x`` in another dtype."""
        wanted = dtype_of(dtype)
        if x.array is not None:
            return self.known(x.array.astype(wanted.numpy), x)
        result: Ref = self.op("Cast", x, to=element_type(wanted))
        return replace(result, known_type=x.known_type and x.known_type.with_dtype(wanted))

    def transpose(self, x: Ref, axes: Sequence[int]) -> Ref:
        """``x`` with its axes in another order."""
        if tuple(axes) == tuple(range(len(axes))):
            return x
        if x.array is not None:
            return self.known(x.array.transpose(axes), x)
        result: Ref = self.op("Transpose", x, perm=list(axes))
        return replace(result, known_type=x.type.with_shape(tuple(x.type.shape[axis] for axis in axes)))

    def take(self, x: Ref, indices: np.ndarray, axis: int) -> Ref:
        """Parts of ``x`` at known positions."""
        if x.array is not None:
            return self.known(np.take(x.array, indices, axis), x)
        result: Ref = self.op("Gather", x, np.asarray(indices, np.int64), axis=axis)
        shape = x.type.shape
        return replace(
            result, known_type=x.type.with_shape((*shape[:axis], *indices.shape, *shape[axis + 1 :]))
        )

    def expand_dims(self, x: Ref, axes: Sequence[int]) -> Ref:
        """``x`` with new axes of length 1."""
        if not axes:
            return x
        if x.array is not None:
            return self.known(np.expand_dims(x.array, tuple(axes)), x)
        result: Ref = self.op("Unsqueeze", x, np.array(axes, np.int64))
        old = iter(x.type.shape)
        shape = tuple(1 if i in axes else next(old) for i in range(x.type.rank + len(axes)))
        return replace(result, known_type=x.type.with_shape(shape))

    def concat(self, xs: Sequence[Ref], axis: int) -> Ref:
        """Tensors one after the other."""
        if all(x.array is not None for x in xs):
            return self.known(np.concatenate([x.array for x in xs if x.array is not None], axis), xs[0])
        result: Ref = self.op("Concat", *xs, axis=axis)
        types = [x.known_type for x in xs if x.known_type is not None]
        if len(types) < len(xs):
            return result
        return replace(result, known_type=CONCATENATE.infer(*types, axis=axis)[0])

    def reshape(self, x: Ref, shape: Shape) -> Ref:
        """``x`` in another shape: in numbers where ONNX can solve it, else by sizes of the inputs."""
        static = tuple(dim for dim in shape if isinstance(dim, int))
        if len(static) == len(shape):
            if x.array is not None:
                return self.known(x.array.reshape(static), x)
            zero = self._with_zeros() if 0 in static else {}
            result: Ref = self.op("Reshape", x, np.array(static, np.int64), **zero)
            return replace(result, known_type=x.type.with_shape(shape))
        named = [i for i, dim in enumerate(shape) if not isinstance(dim, int)]
        kept = [i for i in named if x.type.shape[i : i + 1] == (shape[i],)]
        free = [i for i in named if i not in kept]
        if 0 not in static and len(free) <= 1:
            plain = [0 if i in kept else -1 if i in free else dim for i, dim in enumerate(shape)]
            if plain.count(-1) == 0 and plain.count(0) == 1:
                plain[plain.index(0)] = -1
            result = self.op("Reshape", x, np.array(plain, np.int64))
        else:
            result = self.op(
                "Reshape", x, self.sizes(shape), **(self._with_zeros() if self.opset > 13 else {})
            )
        return replace(result, known_type=x.type.with_shape(shape))

    def _with_zeros(self) -> dict[str, int]:
        """The attribute of a Reshape for which a size 0 is no size to keep."""
        if self.opset < 14:
            raise ExportError(
                f"{self.path or 'graph'}: reshape to a size of 0 cannot be written for the opset 13. Try opset=14."
            )
        return {"allowzero": 1}

    def expand(self, x: Ref, shape: Shape) -> Ref:
        """``x`` broadcast to ``shape``."""
        if x.type.shape == shape:
            return x
        result: Ref = self.op("Expand", x, self.sizes(shape))
        return replace(result, known_type=x.type.with_shape(shape))

    # ------------------------------------------------------------ sizes

    def shape(self, x: Ref, start: int, end: int) -> Ref:
        """The sizes of ``x`` from the axis ``start`` to before ``end``, as a vector of int64."""
        if self.opset >= 15:
            sizes: Ref = self.op("Shape", x, start=start, end=end)
        else:
            sizes = self.op("Gather", self.op("Shape", x), np.arange(start, end), axis=0)
        return sizes

    def sizes(self, shape: Sequence[Dim]) -> Ref:
        """The sizes as a vector of int64."""
        parts: list[Ref] = []
        run: list[int] = []
        for dim in shape:
            if isinstance(dim, int):
                run.append(dim)
                continue
            if run:
                parts.append(self.known(np.array(run, np.int64)))
                run = []
            parts.append(self.size(dim))
        if run or not parts:
            parts.append(self.known(np.array(run, np.int64)))
        return parts[0] if len(parts) == 1 else self.concat(parts, 0)

    def size(self, dim: DimExpr) -> Ref:
        """The size that ``dim`` has, as a vector of one int64; computed once, in the outermost graph."""
        root = self.root
        if dim not in root._sizes:
            kept = root.path, root.node
            root.path, root.node = "sizes", None  # of no layer: it serves whoever needs it
            root._sizes[dim] = root._sum(dim)
            root.path, root.node = kept
        return root._sizes[dim]

    def _sum(self, dim: DimExpr) -> Ref:
        total: Ref | None = None
        for monomial, factor in dim.terms:
            product: Ref | None = None if factor == 1 and monomial else self.known(np.array([factor]))
            for atom in monomial:
                size = self._atom(atom)
                product = size if product is None else self.op("Mul", product, size)
            assert product is not None
            total = product if total is None else self.op("Add", total, product)
        assert total is not None
        return total

    def _atom(self, atom: str | FloorDiv | Min) -> Ref:
        if isinstance(atom, Min):
            smallest: Ref = self.op("Min", *(self.sizes((part,)) for part in atom.parts))
            return smallest
        if isinstance(atom, FloorDiv):
            result: Ref = self.op("Div", self.size(atom.numerator), np.array([atom.denominator]))
            return result
        if atom not in self._axes:
            raise ExportError(
                f"No input of the model has an axis of the size {atom!r} alone, to read it from."
            )
        source, axis = self._axes[atom]
        known = DimExpr((((atom,), 1),))
        if known not in self._sizes:
            self._sizes[known] = self.shape(source, axis, axis + 1)
        return self._sizes[known]

    def bind(self, size: DimExpr, value: Ref) -> Ref:
        """A boolean vector of the length ``value``, which ``size`` stands for from here on."""
        if self is not self.root:
            raise ExportError(f"{self.path}: the size {size} comes from a value inside a branch or a loop.")
        self._sizes[size] = value
        self._axes[str(size)] = (value, 0)
        false = onnx.helper.make_tensor("", onnx.TensorProto.BOOL, (1,), [False])
        result: Ref = self.op("ConstantOfShape", value, value=false)
        return result

    def input(self, name: str, type_: TensorType) -> Ref:
        """Declare an input of the outermost graph."""
        ref = Ref(self.names.new(name), type_)
        for axis, dim in enumerate(type_.shape):
            text = str(dim)
            if isinstance(dim, DimExpr) and dim.symbols() == {text}:
                self._axes.setdefault(text, (ref, axis))
        return ref

    # ------------------------------------------------------------ graphs

    def graph(self, graph: Graph, inputs: Sequence[Ref], variables: Sequence[Ref] = ()) -> list[Ref]:
        """Write the nodes of ``graph`` and give its outputs."""
        values: dict[Value, Ref] = dict(zip(graph.inputs, inputs, strict=True))
        values.update(zip((v.value for v in graph.variables), variables, strict=True))
        outer = self.path
        for node in graph.nodes:
            operands = [None if value is None else values[value] for value in node.operands]
            self.path, self.node = node.name or outer, node
            try:
                results = self._results(node, operands)
            finally:
                self.path = outer
            for value, result in zip(node.outputs, results, strict=True):
                values[value] = replace(result, known_type=value.type)
        return [values[value] for value in graph.outputs]

    def _results(self, node: Node, operands: list[Ref | None]) -> Sequence[Ref]:
        assert isinstance(node.op, OpSpec)
        if node.op.name == "constant":
            literal = node.attributes["value"]
            assert isinstance(literal, Literal)
            return (self.known(literal.numpy()),)
        row = self.target.table.get(node.op)
        if row is not None:
            extra = {"regions": node.regions} if node.regions else {}
            result = row(self, *operands, **extra, **node.attributes)
            if result is not NotImplemented:
                return result if isinstance(result, tuple) else (result,)
        if node.op.decomposition is None:
            reason = self.target.reasons.get(node.op, "ONNX has no operator for this form of it")
            raise ExportError(f"{node.where()} cannot be written as ONNX: {reason}.")
        inputs = {
            v: o for v, o in zip(node.operands, operands, strict=True) if v is not None and o is not None
        }
        alone = Graph(node.op.name, tuple(inputs), (), (node,), node.outputs)
        others = set(self.target.table) - {node.op}
        return self.graph(expand(alone, others), list(inputs.values()))

    def body(self, name: str, inputs: Sequence[tuple[str, TensorType]], write: Callable[..., Any]) -> Any:
        """A subgraph: ``write(writer, *inputs) -> [(tensor, its type) …]`` writes its nodes."""
        inner = Writer(self.target, self)
        refs = [Ref(self.names.new(f"{self.path}/{label}"), type_) for label, type_ in inputs]
        results = write(inner, *refs)
        # Whatever is not made inside gets a name inside.
        outputs = [value_info(inner.op("Identity", ref).name, type_) for ref, type_ in results]
        declared = [value_info(ref.name, ref.type) for ref in refs]
        return onnx.helper.make_graph(inner.nodes, self.names.new(f"{self.path}/{name}"), declared, outputs)
