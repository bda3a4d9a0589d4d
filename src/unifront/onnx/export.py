"""Writing a traced model as an ONNX file."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unifront.dtypes import DType, DTypeLike, bfloat16, dtype_of, float32
from unifront.errors import ArgumentError, BackendMissing, DTypeError
from unifront.files import parts_of, writing
from unifront.onnx.data import write_inside, write_outside
from unifront.paths import destination
from unifront.weights import together

if TYPE_CHECKING:
    from unifront.ir.graph import Graph
    from unifront.trace import Tracing

OPSETS = range(13, 29)
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
    verify: bool = True,
    functions: bool = False,
    quantize: str | None = None,
    calibration: Any = None,
) -> None:
    """Write a traced graph and the values of its variables as an ONNX model.

    Layers keep their names: a node is called ``layer/path/Operator``, an initializer as the weight is, and a node's
    metadata says the layer (``unifront.layer``) and its operation (``unifront.operation``). Images
    are channels first inside, with one transpose where the model's input is channels last; recurrent layers
    are ``LSTM``, ``GRU`` and ``RNN`` nodes, one for both directions of a layer.

    Args:
        tracing: the graph and its live variables; ``Model.trace(False)``.
        path: the file (``.onnx``); it appears whole or not at all.
        opset: the version of the ONNX operator set, 13 to 28; None: 20, or 22 where there is bfloat16, which
            many operators do not take before. Reshaping to free sizes, none may be 0 in 13.
        dtype: a float dtype that takes the place of float32 in weights, inputs and outputs; None keeps it.
        optimize: fold batch normalizations into convolutions, fold padding and constants, compute equal
            things once, read a sequence in both directions by one node.
        external_data: whether weights go to a second file, ``path`` + ``.data``; None: where they are too
            large for one.
        verify: where the package ``onnxruntime`` is installed, run what was written once on small random inputs
            (negative ones too; free sizes are small) and compare with the NumPy reference, before the file
            appears. It is not done without that package, nor for an operator set that it does not know yet (1.31 knows
            up to 26), nor for operations that ONNX Runtime has no kernel
            for, as many in float64 and bfloat16, nor for more than 2 GiB of weights. NumPy takes a second for a
            ResNet-50, and ONNX Runtime memory of its own for the weights; leave it out for models with very large
            inputs or weights. Of a model that is quantized only shapes are compared, and whether numbers are finite.
        functions: whether a layer of several nodes becomes a function of the file (in the domain
            ``unifront.layers``), and layers inside it functions in that: viewers then show layers.
        quantize: ``"static"``: products of integers of 8 bits, whose ranges were seen on ``calibration``;
            ``"dynamic"``: likewise, with ranges that each run finds (of convolutions the weights alone);
            ``"weight_int8"``, ``"weight_int4"``: weights of so few bits, made floats where they are read (4 bits: from
            opset 21 on, which is then the default). See `unifront.onnx.quantize`.
        calibration: for ``"static"``, some hundred examples as for ``predict``: an array, a list in the order of the
            inputs, or a dict by their names.

    A model that draws random numbers in inference gets nodes that draw (``RandomNormal``, ``RandomUniform``), with
    seeds made of that of ``uf.set_seed``. A session draws other numbers at each run, the same ones when it is made
    again; they are not those of a backend, and ``verify`` looks at shapes and finiteness only.

    Raises `ExportError` naming the layer whose operation ONNX does not have, or the output that ONNX Runtime
    computes otherwise than the model, and how far it is off; and `BackendMissing` where the package ``onnx`` is
    not installed; `ArgumentError` for a name that promises another format, `FileWriteError` for what the operating
    system refuses. Then there is no file at ``path``, or the one that was there.

        model.export("digits.onnx", dtype="float16")
    """
    path = destination(path, ".onnx")
    wanted = None if dtype is None else dtype_of(dtype)
    form = _Form(opset, wanted, optimize, functions, quantize, calibration)
    with together(tracing.variables):  # what is written and what it is compared with are of one step
        model, arrays = _converted(tracing, form)
        size = sum(array.nbytes for array in arrays.values())
        if verify and size <= INLINE_LIMIT:
            _verify(model, arrays, tracing, form)
    write_files(model, arrays, path, external_data)


def write_files(
    model: Any, arrays: Mapping[str, np.ndarray], path: Path, external_data: bool | None = None
) -> None:
    """Write a model and the data of its initializers, which may go to a second file; see `export`."""
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


@dataclass(frozen=True)
class _Form:
    """How a model is written; see `export`."""

    opset: int | None = None
    dtype: DType | None = None
    optimize: bool = True
    functions: bool = False
    quantize: str | None = None
    calibration: Any = None


def _verify(model: Any, arrays: Mapping[str, np.ndarray], tracing: Tracing, form: _Form) -> None:
    """Run what is about to be written; see `unifront.onnx.check`."""
    from unifront.onnx import check

    if can_verify(model):
        content = io.BytesIO()
        write_inside(model, arrays, content)
        judge = check.check if form.quantize is None else check.run_once
        judge(content.getvalue(), *_given(tracing, form.dtype))


def can_verify(model: Any) -> bool:
    """Whether ONNX Runtime is installed and takes the model's operator set."""
    from unifront.onnx import check

    return check.can_check(next(one.version for one in model.opset_import if not one.domain))


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
    model, arrays = _converted(tracing, _Form(opset, None if dtype is None else dtype_of(dtype), optimize))
    for proto in model.graph.initializer:
        proto.raw_data = b"".join(parts_of(arrays[proto.name]))
    return model, model.graph.initializer


def checked_opset(opset: int | None) -> None:
    """Raises `ArgumentError` for an opset that is not written, `BackendMissing` without the package ``onnx``."""
    if opset is not None and (type(opset) is not int or opset not in OPSETS):
        raise ArgumentError(f"opset is an int from {OPSETS[0]} to {OPSETS[-1]}, not {opset!r}.")
    try:
        import onnx  # noqa: F401
    except ImportError as error:
        raise BackendMissing(
            'The package "onnx" is not installed. Install it with: pip install "unifront[onnx]"'
        ) from error


def _converted(tracing: Tracing, form: _Form) -> tuple[Any, dict[str, np.ndarray]]:
    """The model without the data of its initializers, and these."""
    opset, wanted = form.opset, form.dtype
    if wanted is not None and not wanted.is_float:
        raise DTypeError(f"A model is exported in a float dtype, not {wanted}.")
    checked_opset(opset)
    from unifront.onnx.functions import as_functions
    from unifront.onnx.lowering import prepare
    from unifront.onnx.model import write_model
    from unifront.onnx.quantize import OPSETS as NEEDED
    from unifront.onnx.quantize import check_arguments, examples, quantized
    from unifront.onnx.rows import target

    check_arguments(form.quantize, form.calibration, opset)
    narrow = bfloat16 in (wanted, *(value.type.dtype for value in tracing.graph.values()))
    least = max(22 if narrow else DEFAULT_OPSET, NEEDED.get(form.quantize or "", 0))
    chosen = target(opset or least)
    graph, values = _given(tracing, wanted)
    inputs = {name: value.type for name, value in graph.data_inputs.items()}
    graph, arrays = prepare(graph, values, chosen.table.keys(), optimize=form.optimize)
    model, found = write_model(graph, arrays, chosen)
    if form.quantize is not None:
        data = None if form.calibration is None else examples(form.calibration, inputs)
        model, found = quantized(model, found, form.quantize, data)
    if form.functions:
        as_functions(model)
    return model, found
