"""Writing a traced model as an ONNX file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unifront.dtypes import DType, DTypeLike, bfloat16, dtype_of, float32
from unifront.errors import ArgumentError, BackendMissing, DTypeError
from unifront.files import check_place, write_beside

if TYPE_CHECKING:
    from unifront.ir.graph import Graph
    from unifront.trace import Tracing

OPSETS = range(13, 27)
DEFAULT_OPSET = 20
INLINE_LIMIT = 2**31 - 2**20
"""The most bytes of weights inside the file itself: Protocol Buffers end at 2 GiB."""
SMALL = 1024
"""Fewer bytes than these stay inside in any case: axes and shapes are looked for there, and nowhere else."""


def export(
    tracing: Tracing,
    path: str | Path,
    *,
    opset: int | None = None,
    dtype: DTypeLike | None = None,
    optimize: bool = True,
    external_data: bool | None = None,
    verify: bool = True,
) -> None:
    """Write a traced graph and the values of its variables as an ONNX model.

    Layers keep their names: a node is called ``layer/path/Operator``, an initializer as the weight is, and a node's
    metadata says the layer (``unifront.layer``) and its operation (``unifront.operation``). Images
    are channels first inside, with one transpose where the model's input is channels last; recurrent layers
    are ``LSTM``, ``GRU`` and ``RNN`` nodes, one for both directions of a layer.

    Args:
        tracing: the graph and its live variables; ``Model.trace(False)``.
        path: the file; it appears whole or not at all.
        opset: the version of the ONNX operator set, 13 to 26; None: 20, or 22 where there is bfloat16, which
            many operators do not take before. Reshaping to free sizes, none may be 0 in 13.
        dtype: a float dtype that takes the place of float32 in weights, inputs and outputs; None keeps it.
        optimize: fold batch normalizations into convolutions, fold padding and constants, compute equal
            things once, read a sequence in both directions by one node.
        external_data: whether weights go to a second file, ``path`` + ``.data``; None: where they are too
            large for one.
        verify: where the package ``onnxruntime`` is installed, run what was written once on small random inputs
            (negative ones too; free sizes are small) and compare with the NumPy reference, before the file
            appears. It is not done without that package, nor for operations that ONNX Runtime has no kernel
            for, as many in float64 and bfloat16. NumPy takes a second for a ResNet-50; leave it out for models
            with very large inputs.

    A model that draws random numbers in inference gets nodes that draw (``RandomNormal``, ``RandomUniform``), with
    seeds made of that of ``uf.set_seed``. A session draws other numbers at each run, the same ones when it is made
    again; they are not those of a backend, and ``verify`` looks at shapes and finiteness only.

    Raises `ExportError` naming the layer whose operation ONNX does not have, or the output that ONNX Runtime
    computes otherwise than the model, and how far it is off; and `BackendMissing` where the package ``onnx`` is
    not installed. Then there is no file at ``path``, or the one that was there.

        model.export("digits.onnx", dtype="float16")
    """
    path = Path(path)
    model, weights = convert(tracing, opset=opset, dtype=dtype, optimize=optimize)
    size = sum(len(proto.raw_data) for proto in weights)

    def check(written: bytes | str) -> None:
        from unifront.onnx import check

        if verify and check.can_check():
            check.check(written, *_given(tracing, None if dtype is None else dtype_of(dtype)))

    if not (external_data or (external_data is None and size > INLINE_LIMIT)):
        content = model.SerializeToString()
        check(content)
        write_beside(path, lambda file: file.write(content))
        return
    with _folder_beside(path) as folder:
        _move_out(weights, folder / f"{path.name}.data")
        content = model.SerializeToString()
        write_beside(folder / path.name, lambda file: file.write(content))
        check(str(folder / path.name))
        for file in folder.iterdir():
            os.replace(file, path.with_name(file.name))


@contextmanager
def _folder_beside(path: Path) -> Iterator[Path]:
    """A folder that goes away, for files that are to become ``path`` and its neighbours."""
    check_place(path)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        yield Path(folder)


def _given(tracing: Tracing, dtype: DType | None) -> tuple[Graph, Mapping[str, np.ndarray]]:
    """The graph to write, without the new values of variables, and the values of its variables."""
    from unifront.onnx.lowering import retyped

    count = tracing.output_count
    graph = replace(
        tracing.graph, outputs=tracing.graph.outputs[:count], output_names=tracing.graph.output_names[:count]
    )
    live = zip(tracing.graph.variables, tracing.variables, strict=True)
    values = {seen.name: variable.numpy() for seen, variable in live}
    return (graph, values) if dtype in (None, float32) else retyped(graph, values, dtype)


def convert(
    tracing: Tracing, *, opset: int | None = None, dtype: DTypeLike | None = None, optimize: bool = True
) -> tuple[Any, Sequence[Any]]:
    """The ``onnx.ModelProto`` of a traced graph, and its initializers; see `export`."""
    if opset is not None and (type(opset) is not int or opset not in OPSETS):
        raise ArgumentError(f"opset is an int from {OPSETS[0]} to {OPSETS[-1]}, not {opset!r}.")
    wanted = None if dtype is None else dtype_of(dtype)
    if wanted is not None and not wanted.is_float:
        raise DTypeError(f"A model is exported in a float dtype, not {wanted}.")
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise BackendMissing(
            'The package "onnx" is not installed. Install it with: pip install "unifront[onnx]"'
        ) from error
    from unifront.onnx.lowering import prepare
    from unifront.onnx.model import write_model
    from unifront.onnx.rows import target

    narrow = bfloat16 in (wanted, *(value.type.dtype for value in tracing.graph.values()))
    chosen = target(opset or (22 if narrow else DEFAULT_OPSET))
    graph, values = _given(tracing, wanted)
    graph, arrays = prepare(graph, values, chosen.table.keys(), optimize=optimize)
    model = write_model(graph, arrays, chosen)
    return model, model.graph.initializer


def _move_out(weights: Sequence[Any], path: Path) -> None:
    """Write the bytes of large initializers to ``path``, page-aligned, and leave their places in the model."""
    import onnx

    def write(file: Any) -> None:
        for proto in weights:
            data = proto.raw_data
            if len(data) < SMALL:
                continue
            file.write(bytes(-file.tell() % 4096))
            places = {"location": path.name, "offset": file.tell(), "length": len(data)}
            file.write(data)
            proto.ClearField("raw_data")
            proto.data_location = onnx.TensorProto.EXTERNAL
            for key, value in places.items():
                proto.external_data.add(key=key, value=str(value))

    write_beside(path, write)
