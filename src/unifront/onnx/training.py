"""Writing a training step as an ONNX file that any runtime for inference trains with: its gradients are spelt out."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unifront.dtypes import bfloat16, dtype_of
from unifront.errors import ArgumentError
from unifront.ir.graph import Graph
from unifront.paths import destination

KEY = "unifront.state"
"""The key of the model's metadata that says, a line for each, which output is the next value of which input."""


@dataclass(frozen=True)
class StepToWrite:
    """A step, and the values that it begins with.

    Args:
        graph: takes the batch, a random key if it draws, numbers and the state; gives logs and the new state.
        values: of the graph's variables, which no step changes.
        batch: an example of the data, by the names of inputs.
        defaults: what numbers and the state are at the first step, by the names of inputs.
        state: by the name of each input that is carried on the name of the output that is its next value.
    """

    graph: Graph
    values: Mapping[str, np.ndarray]
    batch: Mapping[str, np.ndarray]
    defaults: Mapping[str, np.ndarray]
    state: Mapping[str, str]


def export_step(
    step: StepToWrite,
    path: str | Path,
    *,
    opset: int | None = None,
    optimize: bool = True,
    external_data: bool | None = None,
    verify: bool = True,
    functions: bool = False,
    defaults: bool = True,
) -> None:
    """Write ``step`` as an ONNX model; the options are those of `unifront.onnx.export`.

    Weights, slots and numbers are inputs with default values (initializers), so that a run that gives the batch alone
    is the first step; without ``defaults`` each run gives all of them. ``verify`` runs the first step on
    ``step.batch`` in ONNX Runtime and compares with NumPy.
    """
    from unifront.onnx.export import checked_opset, write_files

    path = destination(path, ".onnx")
    checked_opset(opset)
    import onnx

    from unifront.onnx.adjoints import written_gradients
    from unifront.onnx.export import DEFAULT_OPSET, INLINE_LIMIT, can_verify
    from unifront.onnx.functions import as_functions
    from unifront.onnx.lowering import prepare
    from unifront.onnx.model import write_model
    from unifront.onnx.rows import target

    narrow = any(value.type.dtype == bfloat16 for value in step.graph.values())
    chosen = target(opset or (22 if narrow else DEFAULT_OPSET))
    graph = written_gradients(step.graph)
    prepared, values = prepare(graph, step.values, chosen.table.keys(), optimize=optimize)
    model, arrays = write_model(prepared, values, chosen)
    if functions:
        as_functions(model)
    size = sum(array.nbytes for array in (*arrays.values(), *step.defaults.values()))
    if verify and size <= INLINE_LIMIT and can_verify(model):
        _verify(model, arrays, graph, step)
    for name, array in step.defaults.items() if defaults else ():
        kind = onnx.helper.np_dtype_to_tensor_dtype(dtype_of(array.dtype).numpy)
        model.graph.initializer.append(onnx.TensorProto(name=name, data_type=kind, dims=array.shape))
        arrays[name] = array
    if step.state:
        model.metadata_props.add(
            key=KEY, value="\n".join(f"{new} → {old}" for old, new in step.state.items())
        )
    write_files(model, arrays, path, external_data)


def _verify(model: Any, arrays: Mapping[str, np.ndarray], graph: Graph, step: StepToWrite) -> None:
    from unifront.onnx import check
    from unifront.onnx.data import write_inside

    content = io.BytesIO()
    write_inside(model, arrays, content)
    known = {**step.defaults, **step.batch}
    check.check(content.getvalue(), graph, step.values, [known[name] for name in graph.data_inputs])


def refuse_options(options: Mapping[str, Any]) -> None:
    """`ArgumentError` for options of an inference graph that a training step does not take."""
    known = ("opset", "optimize", "external_data", "verify", "functions")
    for option in options:
        if option not in known:
            raise ArgumentError(
                f"export: with training=… there is no option {option!r}; there are {', '.join(known)}."
            )
