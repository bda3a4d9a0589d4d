"""Reading an ONNX model: a graph of unifront, and the values of its weights.

The file is taken as hostile: what it says of itself is checked before anything is done with it, no code runs, and
external data is read from the model's folder only.
"""

from __future__ import annotations

import os
import re
from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unifront.errors import (
    ArgumentError,
    BackendMissing,
    FileFormatError,
    GraphError,
    ShapeError,
    UnifrontError,
    UnsupportedOp,
)
from unifront.files import existing
from unifront.ir.dims import Dim, symbol
from unifront.ir.graph import Graph
from unifront.ir.types import TensorType
from unifront.opset.arrays import at_most
from unifront.opset.tensor import Builder, building
from unifront.paths import path_of
from unifront.trace import finish

LARGEST_FILE = 2**31
"""Protocol Buffers end there."""
LONGEST_TEXT = 1200


@dataclass(frozen=True)
class Result:
    """An output of the model.

    Args:
        value: the structure of the output: the number of an output of the graph, the array itself where it is of
            strings, a tuple of these, or None for an optional that is empty.
        element: the number in ``TensorProto.DataType`` of its elements.
    """

    name: str
    value: Any
    element: int | None


@dataclass(frozen=True)
class Imported:
    """A model that was read.

    Args:
        graph: inputs and outputs named as in the model; each part of a sequence by itself.
        values: the value of each of the graph's variables, by name.
        results: what the outputs of the model are.
        elements: for each input of the graph its number in ``TensorProto.DataType``.
    """

    graph: Graph
    values: Mapping[str, np.ndarray]
    results: tuple[Result, ...]
    elements: Mapping[str, int]


def load(
    model: Any, inputs: Mapping[str, Any] | None = None, *, bind_sizes: bool = True, name: str = ""
) -> Imported:
    """The graph of an ONNX model.

    Args:
        model: the path of a file, its content as bytes, or an ``onnx.ModelProto``.
        inputs: what is known of inputs beyond what the model says: a shape, a `TensorType`, an array that the input
            is to be for good, a tuple of these for a sequence.
        bind_sizes: whether sizes that are computed from values become sizes of the graph; else they have to be known.
        name: of the graph; that of the model unless given.

    Raises `FileFormatError` for what is no ONNX model, or a broken one, naming the node; `UnsupportedOp` for an
    operator without a row; `ArgumentError` where an input decides what the graph is; `BackendMissing` without the
    package ``onnx``.
    """
    _check_installed()
    proto, folder, what = _read(model)
    try:
        return _import(proto, folder, dict(inputs or {}), bind_sizes, name)
    except UnsupportedOp as error:
        raise UnsupportedOp(f"{what} cannot be imported: {_short(error)}") from error
    except (FileFormatError, GraphError, ShapeError) as error:  # names or sizes that do not fit together
        raise FileFormatError(f"{what} cannot be imported: {_short(error)}") from error
    except UnifrontError:
        raise
    except RecursionError as error:
        raise FileFormatError(f"{what} cannot be imported: it is nested too deep") from error
    except (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError) as error:
        # What a field holds that was never meant to: text that is no UTF-8, say.
        raise FileFormatError(
            f"{what} cannot be imported: {type(error).__name__}: {str(error)[:300]}"
        ) from error


def proto_of(model: Any) -> Any:
    """The ``onnx.ModelProto`` of a path or of bytes, read as `load` reads it."""
    _check_installed()
    return _read(model)[0]


def _short(error: Exception) -> str:
    """The text of an error, which may hold what the file made long."""
    text = str(error)
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]} …"


def _check_installed() -> None:
    try:
        import onnx  # noqa: F401  # is it there?
    except ImportError as error:
        raise BackendMissing(
            'The package "onnx" is not installed. Install it with: pip install "unifront[onnx]"'
        ) from error


def _read(model: Any) -> tuple[Any, Path | None, str]:
    """The ``ModelProto``, the folder of its external data, and what errors call it."""
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it has none

    if isinstance(model, onnx.ModelProto):
        _check_texts(model, "The ONNX model")
        return model, None, "The ONNX model"
    folder, what, size = None, "The ONNX model", 0
    if isinstance(model, bytes | bytearray | memoryview):
        content = bytes(model)
    else:
        path = existing(path_of(model))
        what = f"The file {str(path)!r}"
        try:
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                content = file.read() if size <= LARGEST_FILE else b""
        except OSError as error:
            raise FileFormatError(f"{what} cannot be read: {error.strerror}") from error
        folder = path.parent
    if max(size, len(content)) > LARGEST_FILE:
        raise FileFormatError(
            f"{what} has more than {LARGEST_FILE} bytes; larger models keep weights in files beside"
        )
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(content)
    except (DecodeError, ValueError, RuntimeError) as error:
        raise FileFormatError(f"{what} is no ONNX model, or a broken one: {error}") from error
    if not proto.HasField("graph"):
        raise FileFormatError(f"{what} is no ONNX model, or a broken one: it has no graph")
    _check_texts(proto, what)
    return proto, folder, what


def _check_texts(proto: Any, what: str) -> None:
    """Raise `FileFormatError` for text that is no UTF-8: Protocol Buffers give it as bytes. Data are not looked at."""
    from onnx import TensorProto

    stack = [proto]
    while stack:
        message = stack.pop()
        if isinstance(message, TensorProto):
            texts: list[Any] = [message.name]
            stack += message.external_data
        else:
            texts = []
            for field, value in message.ListFields():
                if field.message_type is not None:
                    stack += value if field.is_repeated else (value,)
                elif field.type == field.TYPE_STRING:
                    texts += value if field.is_repeated else (value,)
        if any(isinstance(text, bytes) for text in texts):
            raise FileFormatError(f"{what} is no ONNX model, or a broken one: a name in it is no UTF-8")


def _import(proto: Any, folder: Path | None, given: dict[str, Any], bind: bool, name: str) -> Imported:
    from unifront.onnx import imports
    from unifront.onnx.imports import values
    from unifront.onnx.imports.folding import COMPUTED
    from unifront.onnx.imports.frame import Frame
    from unifront.onnx.imports.importer import Importer
    from unifront.onnx.imports.tensors import Tensors

    builder = Builder(name or proto.graph.name or "onnx")
    tensors = Tensors(folder)
    importer = Importer(
        builder, imports.rows(), _functions(proto), tensors, reasons=imports.reasons(), bind=bind
    )
    known: ChainMap[str, Any] = ChainMap({})
    frame = Frame(known, _versions(proto), {})
    initialized = {one.name for one in proto.graph.initializer}
    elements: dict[str, int] = {}
    for one in proto.graph.input:
        if one.name in initialized and one.name not in given:
            continue
        if one.name in known:
            raise FileFormatError(f"two inputs are called {one.name[:200]!r}")
        known[one.name] = _input(builder, one.name, one.type, given.pop(one.name, _UNKNOWN), elements)
    if given:
        raise ArgumentError(
            f"The model has no input {next(iter(given))!r}; it has {[i.name for i in proto.graph.input]}."
        )
    with building(builder), at_most(COMPUTED):
        outputs = importer.run(proto.graph, frame)
        leaves: list[Any] = []
        names: list[str] = []
        results = []
        for one, value in zip(proto.graph.output, outputs, strict=True):
            structure = _structure(importer, value, one.name, leaves, names)
            results.append(Result(one.name, structure, values.element_in(value)))
        tracing = finish(builder, leaves, tuple(names), None)
    weights = {
        seen.name: variable.numpy()
        for seen, variable in zip(tracing.graph.variables, tracing.variables, strict=True)
    }
    return Imported(tracing.graph, weights, tuple(results), elements)


class _Unknown:
    pass


_UNKNOWN = _Unknown()


def _structure(importer: Any, value: Any, name: str, leaves: list[Any], names: list[str]) -> Any:
    from unifront.onnx.imports import values

    if isinstance(value, tuple):
        return tuple(_structure(importer, one, f"{name}_{i}", leaves, names) for i, one in enumerate(value))
    if value is None or values.is_strings(value):
        return value
    leaves.append(importer.lifting.traced(value))
    names.append(name)
    return len(leaves) - 1


def _functions(proto: Any) -> dict[tuple[str, str, str], Any]:
    return {
        ("" if one.domain == "ai.onnx" else one.domain, one.name, one.overload): one
        for one in proto.functions
    }


def _versions(proto: Any) -> dict[str, int]:
    """The versions of the operator sets by domain."""
    from unifront.onnx.imports.schemas import newest

    found = {"" if one.domain == "ai.onnx" else one.domain: one.version for one in proto.opset_import}
    for domain, version in found.items():
        known = newest(domain)
        if version < 1 or (known is not None and version > known):
            raise FileFormatError(
                f"it is written for version {version} of the operator set {domain or 'ai.onnx'!r}; the package onnx "
                f"that is installed knows versions 1 to {known}"
            )
    # ONNX Runtime's optimizers write its operators without saying of which set they are; there is one.
    return {"com.microsoft": 1, **(found or {"": 1})}


def _input(builder: Builder, name: str, type_: Any, given: Any, elements: dict[str, int]) -> Any:
    """The value of an input."""
    from unifront.onnx.imports import values

    kind = type_.WhichOneof("value")
    if kind == "optional_type":
        return (
            None if given is None else _input(builder, name, type_.optional_type.elem_type, given, elements)
        )
    if kind == "sequence_type":
        if not isinstance(given, Sequence):
            raise ArgumentError(
                f"The input {name!r} is a sequence, of which the length has to be known: from_onnx(…, "
                f"inputs={{{name!r}: (shape, …)}})."
            )
        inner = type_.sequence_type.elem_type
        return values.Parts(
            _input(builder, f"{name}_{i}", inner, one, elements) for i, one in enumerate(given)
        )
    if kind != "tensor_type":
        raise FileFormatError(
            f"the input {name[:200]!r} is a {kind or 'value of no type'}, which unifront has not"
        )
    return _tensor_input(builder, name, type_.tensor_type, given, elements)


def _tensor_input(builder: Builder, name: str, type_: Any, given: Any, elements: dict[str, int]) -> Any:
    from unifront.onnx.imports import values

    element = type_.elem_type
    if isinstance(given, np.ndarray | np.generic):
        return values.carried(np.asarray(given), element)
    if element == values.STRING:
        raise ArgumentError(
            f"The input {name!r} takes strings, with which only the host works: give its value, from_onnx(…, "
            f"inputs={{{name!r}: array}})."
        )
    if isinstance(given, TensorType):
        shape = given.shape
    elif isinstance(given, _Unknown):
        if not type_.HasField("shape"):
            raise ArgumentError(
                f"The model does not say how many axes its input {name!r} has. Say it: from_onnx(…, "
                f"inputs={{{name!r}: shape}})."
            )
        shape = tuple(_dim(dim, name, i) for i, dim in enumerate(type_.shape.dim))
    else:
        shape = tuple(
            symbol(dim) if isinstance(dim, str) else _symbol(name, i) if dim is None else dim
            for i, dim in enumerate(given)
        )
    own = TensorType(values.carrier(element), shape)
    tensor = builder.input(name, own)
    elements[name] = element
    return values.Narrow(tensor, element) if element in values.NARROW else tensor


def _symbol(name: str, axis: int) -> Dim:
    return symbol(re.sub(r"\W|^(?=\d)", "_", f"{name[:60]}_{axis}", flags=re.ASCII))


def _dim(dim: Any, name: str, axis: int) -> Dim:
    """A dimension as the model gives it: a size, a name, or nothing."""
    if dim.WhichOneof("value") == "dim_value" and dim.dim_value >= 0:
        return int(dim.dim_value)
    if dim.dim_param:
        return symbol(re.sub(r"\W|^(?=\d)", "_", dim.dim_param[:60], flags=re.ASCII))
    return _symbol(name, axis)
