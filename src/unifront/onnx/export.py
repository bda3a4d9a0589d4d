"""Writing a traced model as an ONNX file."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unifront.dtypes import DTypeLike, bfloat16, dtype_of
from unifront.errors import ArgumentError, BackendMissing, DTypeError
from unifront.files import destination, parts_of, writing
from unifront.onnx.data import write_inside, write_outside

if TYPE_CHECKING:
    from unifront.trace import Tracing

OPSETS = range(18, 26)
DEFAULT_OPSET = 20
INLINE_LIMIT = 2**31 - 2**20
"""The most bytes of weights inside the file itself: Protocol Buffers end at 2 GiB."""


def export(
    tracing: Tracing,
    path: str | Path,
    *,
    opset: int | None = None,
    dtype: DTypeLike | None = None,
    optimize: bool = True,
    external_data: bool | None = None,
) -> None:
    """Write a traced graph and the values of its variables as an ONNX model.

    Layers keep their names: a node is called ``layer/path/Operator``, an initializer as the weight is. Images
    are channels first inside, with one transpose where the model's input is channels last; recurrent layers
    are ``LSTM``, ``GRU`` and ``RNN`` nodes, one for both directions of a layer.

    Args:
        tracing: the graph and its live variables; ``Model.trace(False)``.
        path: the file (``.onnx``); it appears whole or not at all.
        opset: the version of the ONNX operator set, 18 to 25; None: 20, or 22 where there is bfloat16, which
            many operators do not take before.
        dtype: a float dtype that takes the place of float32 in weights, inputs and outputs; None keeps it.
        optimize: fold batch normalizations into convolutions, fold padding and constants, compute equal
            things once, read a sequence in both directions by one node.
        external_data: whether weights go to a second file, ``path`` + ``.data``; None: where they are too
            large for one.

    Raises `ExportError` naming the layer whose operation ONNX does not have, and `BackendMissing` where the
    package ``onnx`` is not installed; `ArgumentError` for a name that promises another format, `FileWriteError` for
    what the operating system refuses.

        model.export("digits.onnx", dtype="float16")
    """
    path = destination(path, ".onnx")
    model, arrays = _converted(tracing, opset, dtype, optimize)
    size = sum(array.nbytes for array in arrays.values())
    with ExitStack() as both:
        file = both.enter_context(writing(path))
        if external_data or (external_data is None and size > INLINE_LIMIT):
            data = path.with_name(path.name + ".data")
            write_outside(model, arrays, data.name, both.enter_context(writing(data)))
            file.write(model.SerializeToString())
        else:
            write_inside(model, arrays, file)
        file.flush()  # the data gets its name first: by then all that can fail is done


def convert(
    tracing: Tracing, *, opset: int | None = None, dtype: DTypeLike | None = None, optimize: bool = True
) -> tuple[Any, Sequence[Any]]:
    """The ``onnx.ModelProto`` of a traced graph, and its initializers; see `export`."""
    model, arrays = _converted(tracing, opset, dtype, optimize)
    for proto in model.graph.initializer:
        proto.raw_data = b"".join(parts_of(arrays[proto.name]))
    return model, model.graph.initializer


def _converted(
    tracing: Tracing, opset: int | None, dtype: DTypeLike | None, optimize: bool
) -> tuple[Any, dict[str, np.ndarray]]:
    """The model without the data of its initializers, and these."""
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
    values = {
        seen.name: live.numpy() for seen, live in zip(tracing.graph.variables, tracing.variables, strict=True)
    }
    count = tracing.output_count  # without new values of variables
    graph = replace(
        tracing.graph, outputs=tracing.graph.outputs[:count], output_names=tracing.graph.output_names[:count]
    )
    graph, arrays = prepare(graph, values, chosen.table.keys(), dtype=wanted, optimize=optimize)
    return write_model(graph, arrays, chosen)
