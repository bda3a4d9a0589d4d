"""ONNX Runtime as a backend for inference: ``model.predict(x, backend="onnxruntime")``.

A graph is exported once, with the values of its variables inside, so that ONNX Runtime folds and packs them; arrays
are NumPy's. When a variable has another value, the next call exports again.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from operator import is_
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from unifront import ops
from unifront.backends import Array, Step, StepPlan, StepState, installed
from unifront.dtypes import DType, bfloat16, float32
from unifront.errors import ArgumentError, ExportError, UnsupportedOp
from unifront.ir.graph import Graph
from unifront.onnx.data import write_inside, write_outside
from unifront.onnx.export import DEFAULT_OPSET, INLINE_LIMIT
from unifront.onnx.lowering import prepare
from unifront.onnx.model import write_model
from unifront.onnx.rows import target
from unifront.opset.bounds import check_indices, index_bounds
from unifront.opset.flops import flops_of_an_example
from unifront.opset.replay import inline
from unifront.opset.tensor import Builder, Traced
from unifront.reference import NumPyBackend

CARRIED: Mapping[DType, DType] = {bfloat16: float32}
"""Dtypes of which a session takes and gives no arrays, and those that carry their numbers exactly."""
NARROW_OPSET = 22
"""The first in which many operators take bfloat16."""
SMALL, CACHED = 10**7, 2**20
"""One thread runs calls of fewer floating-point operations than `SMALL` of models whose weights take no more than
`CACHED` bytes: their kernels are too short to be shared out. With ONNX Runtime 1.31 on two cores an MLP and an LSTM of
100 kB took 0.7 of the time at this size; but a batch of 1 through two of Dense(512), where each weight is read once and
from memory, 1.7 times as long."""


class OnnxRuntimeBackend(NumPyBackend):
    """Runs graphs in sessions of ONNX Runtime, on the CPU. It does inference only."""

    name = "onnxruntime"

    def version(self) -> str:
        return str(onnxruntime.__version__)

    def signature(self, kind: type) -> Callable[[Array], Hashable] | None:
        return None  # NumPy's arrays are NumPy's backend's

    def compile(self, graph: Graph, device: str | None = None) -> OnnxRuntimeProgram:  # type: ignore[override]
        if graph.takes_key:
            raise UnsupportedOp(
                f"The backend 'onnxruntime' does not run {graph.name!r}, which draws random numbers in inference: ONNX "
                "has seeds in the file, and no keys. Say another backend."
            )
        return OnnxRuntimeProgram(graph)

    def recordable(self, graph: Graph, device: str | None = None) -> Any:
        return self.compile(graph, device)

    def value_and_grad(self, graph: Graph, wrt: Sequence[str], device: str | None = None) -> Any:
        raise _inference_only()

    def step(self, plan: StepPlan, state: StepState, device: str | None = None) -> Step:
        raise _inference_only()


def _inference_only() -> UnsupportedOp:
    trains = [name for name in installed() if name != "numpy"]
    advice = (
        f"Say backend={trains[0]!r}" if trains else 'Install one that trains: pip install "unifront[torch]"'
    )
    return UnsupportedOp(
        f"The backend 'onnxruntime' does inference only (predict): it has no gradients and updates nothing. {advice}."
    )


class OnnxRuntimeProgram:
    """A compiled graph; its session is made at the first call, when the values of the variables are known.

    There may be two: small calls go to one of a single thread, others to one of as many as ONNX Runtime sees fit.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph, self._bounds = graph, index_bounds(graph)
        self._carried = _carried(graph)
        self._inputs = [value.type.dtype.numpy for value in self._carried.inputs]
        self._outputs = [value.type.dtype.numpy for value in graph.outputs]
        self._is_carried = self._carried is not graph
        is_cached = sum(seen.value.type.nbytes for seen in graph.variables) <= CACHED
        self._flops = flops_of_an_example(graph) if is_cached else None
        self._batch = _batch_in(graph)
        self._held: tuple[tuple[Array, ...] | None, dict[bool, _Opened]] = None, {}
        self.storage = (None,) * len(graph.variables)
        self.source = str(graph)

    def __call__(self, inputs: Sequence[Array], variables: Sequence[Array]) -> tuple[Array, ...]:
        known, sessions = self._held
        if known is None or not all(map(is_, variables, known)):
            self._held = known, sessions = tuple(variables), {}
        alone = self._is_small(inputs)
        if alone not in sessions:
            sessions[alone] = self._opened(known, alone)
        session, names, outputs = sessions[alone]
        check_indices(self._graph, self._bounds, inputs)
        if self._is_carried:
            inputs = [np.asarray(x, dtype) for x, dtype in zip(inputs, self._inputs, strict=True)]
        try:
            found = session.run(outputs, dict(zip(names, inputs, strict=True)))
        except Exception as error:
            raise ArgumentError(f"ONNX Runtime cannot run {self._graph.name!r}: {error}") from error
        if self._is_carried:
            found = [one.astype(dtype, copy=False) for one, dtype in zip(found, self._outputs, strict=True)]
        return tuple(found)

    def _is_small(self, inputs: Sequence[Array]) -> bool:
        rows = 1 if self._batch is None else len(inputs[self._batch])
        return self._flops is not None and rows * self._flops < SMALL

    def _opened(self, variables: tuple[Array, ...], alone: bool) -> _Opened:
        names = (seen.name for seen in self._graph.variables)
        values = dict(zip(names, map(np.asarray, variables), strict=True))
        session = _session(self._carried, values, threads=1 if alone else 0)
        return session, _names(session.get_inputs()), _names(session.get_outputs())


_Opened = tuple[Any, list[str], list[str]]
"""A session, and the names of its inputs and outputs."""


def _names(values: Sequence[Any]) -> list[str]:
    return [value.name for value in values]


def _batch_in(graph: Graph) -> int | None:
    """The first input that begins with a free size."""
    shapes = (value.type.shape for value in graph.inputs)
    return next((i for i, shape in enumerate(shapes) if shape and not isinstance(shape[0], int)), None)


def _carried(graph: Graph) -> Graph:
    """``graph`` with inputs and outputs of dtypes of which a session takes arrays; itself if all are."""
    if not any(value.type.dtype in CARRIED for value in (*graph.inputs, *graph.outputs)):
        return graph
    builder = Builder(graph.name)
    given = []
    for name, value in zip(graph.input_names, graph.inputs, strict=True):
        wide = CARRIED.get(value.type.dtype)
        tensor = builder.input(name, value.type if wide is None else value.type.with_dtype(wide))
        given.append(tensor if wide is None else ops.cast(tensor, value.type.dtype))
    values = [builder.new(seen.value.type) for seen in graph.variables]
    results = inline(graph, builder, given, [Traced(value, builder) for value in values])
    outputs = [ops.cast(one, CARRIED[one.dtype]) if one.dtype in CARRIED else one for one in results]
    variables = [replace(seen, value=value) for seen, value in zip(graph.variables, values, strict=True)]
    return builder.graph(outputs, graph.output_names, variables)


def _session(graph: Graph, values: Mapping[str, np.ndarray], threads: int) -> Any:
    """A session of so many ``threads``, of as many as there are cores if 0."""
    narrow = any(value.type.dtype == bfloat16 for value in graph.values())
    chosen = target(NARROW_OPSET if narrow else DEFAULT_OPSET)
    try:
        prepared, arrays = prepare(graph, values, chosen.table.keys(), optimize=True)
        model, data = write_model(prepared, arrays, chosen)
    except ExportError as error:
        raise UnsupportedOp(f"The backend 'onnxruntime' cannot run {graph.name!r}: {error}") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    if sum(array.nbytes for array in data.values()) > INLINE_LIMIT:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            with path.with_suffix(".data").open("wb") as file:
                write_outside(model, data, "model.data", file)
            path.write_bytes(model.SerializeToString())
            return _opened(str(path), options, graph)
    content = io.BytesIO()
    write_inside(model, data, content)
    return _opened(content.getvalue(), options, graph)


def _opened(model: bytes | str, options: Any, graph: Graph) -> Any:
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise UnsupportedOp(
            f"The backend 'onnxruntime' cannot run {graph.name!r}: ONNX Runtime {onnxruntime.__version__} with onnx "
            f"{onnx.__version__} says {error}"
        ) from error


BACKEND = OnnxRuntimeBackend()
