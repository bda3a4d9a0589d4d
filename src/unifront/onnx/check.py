"""What was written, run once by ONNX Runtime beside the NumPy reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from unifront.backends import HostKey
from unifront.dtypes import bfloat16, float16, float32, float64, key
from unifront.errors import ExportError
from unifront.ir.graph import Graph, Value
from unifront.onnx.lowering import retyped
from unifront.opset.sampling import FREE_SIZES, nodes_of, random_inputs
from unifront.reference import BACKEND, FORWARD, difference

Arrays = list[np.ndarray]

MARGIN, KERNELS = 10, 30
"""Where rounding grows: how many times further from float64 than NumPy a result may be, and how many times the bound
beside that, since kernels of ONNX Runtime round more than NumPy does (its Elu near zero)."""


@dataclass(frozen=True)
class _Worst:
    """The output that is furthest off: by how much (relative), and of which size."""

    name: str
    off: float
    absolute: float
    size: float


def can_check(opset: int) -> bool:
    """Whether ONNX Runtime is installed, and takes models of the operator set ``opset``."""
    return find_spec("onnxruntime") is not None and _takes(opset)


@cache
def _takes(opset: int) -> bool:
    """Whether it takes a model of one node."""
    import onnx
    import onnxruntime

    sets = [onnx.helper.make_opsetid("", opset)]
    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, (1,)) for name in "xy")
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "one", [x], [y])
    version = onnx.helper.find_min_ir_version_for(sets)
    model = onnx.helper.make_model(graph, opset_imports=sets, ir_version=version)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception:  # noqa: BLE001  # its errors have no class of their own for it
        return False
    return True


def check(
    model: bytes | str, graph: Graph, values: Mapping[str, np.ndarray], given: Arrays | None = None
) -> None:
    """Compare a model as ONNX Runtime runs it with its graph as NumPy does, on small random inputs.

    Args:
        model: the content of the file, or its path.
        graph: what was written, as it was before any pass; its outputs are the model's.
        values: those of its variables.
        given: the inputs, in place of random ones.

    Raises `ExportError` where ONNX Runtime refuses the model, or computes something else. A model is left
    unchecked if ONNX Runtime has no kernel for one of its operations, as for many in float64 and bfloat16.
    """
    session = _session(model, graph.name)
    if session is None:
        return
    inputs, expected = (
        _expected(graph, values) if given is None else (given, _reference(graph, values, given))
    )
    found = _run(session, graph, inputs)
    if found is None:
        return
    draws = any(node.op.random for node in nodes_of(graph))  # type: ignore[attr-defined]  # an OpSpec
    _same_shapes(graph, found, expected, finite=draws)
    if draws:
        return
    far = [off for off in _compared(graph, found, expected) if off.off > _bound(graph, off.name)]
    if not far:
        return
    # Rounding may have grown in the model itself: then NumPy is off as well, from its own float64.
    wide, arrays = retyped(graph, values, float64, (float16, bfloat16, float32, float64))
    judge = _reference(wide, arrays, [_wide(array) for array in inputs])
    rounding = {one.name: one.off for one in _compared(graph, expected, judge)}
    for worst in sorted(_compared(graph, found, judge), key=lambda one: -one.off):
        bound = min(KERNELS * _bound(graph, worst.name), FORWARD["float16"])
        if worst.off > bound + MARGIN * rounding[worst.name]:
            raise ExportError(
                f"ONNX Runtime computes something else from the exported {graph.name!r} than the model does: "
                f"the output {worst.name!r} is off by {worst.absolute:.3g}, where the largest is {worst.size:.3g}. "
                "Nothing was written; please report it. verify=False writes the file all the same."
            )


def run_once(model: bytes | str, graph: Graph, values: Mapping[str, np.ndarray]) -> None:
    """Run a model whose numbers are not those of its graph, being quantized: shapes and dtypes are, and it is finite.

    Raises `ExportError` as `check` does.
    """
    session = _session(model, graph.name)
    if session is not None:
        inputs, expected = _expected(graph, values)
        found = _run(session, graph, inputs)
        if found is not None:
            _same_shapes(graph, found, expected, finite=True)


def _session(model: bytes | str, name: str) -> Any:
    """A session of ONNX Runtime; None where it lacks a kernel."""
    import onnxruntime
    from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NoKernel

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except NoKernel:
        return None
    except Exception as error:
        raise ExportError(
            f"ONNX Runtime {onnxruntime.__version__} refuses the exported {name!r}: {error}. Nothing was written; "
            "verify=False writes the file all the same."
        ) from error


def _run(session: Any, graph: Graph, inputs: Arrays) -> Arrays | None:
    """What ONNX Runtime gives; None where a kernel is not there after all."""
    try:
        names = [value.name for value in session.get_inputs()]
        found: Arrays = session.run(None, dict(zip(names, inputs, strict=True)))
        return found
    except Exception as error:
        if "does not support" in str(error):  # how LSTM and GRU refuse float64
            return None
        raise ExportError(
            f"ONNX Runtime fails to run the exported {graph.name!r}: {error}. Nothing was written; "
            "verify=False writes the file all the same."
        ) from error


def _expected(graph: Graph, values: Mapping[str, np.ndarray]) -> tuple[Arrays, Arrays]:
    """Random inputs that the model takes, and what NumPy gives for them."""
    for first in FREE_SIZES:
        inputs = random_inputs(graph, first)
        try:
            return inputs, _reference(graph, values, inputs)
        except Exception as error:  # whatever a size that does not fit runs into
            if first == FREE_SIZES[-1] or not graph.symbols:
                raise ExportError(
                    f"The exported {graph.name!r} cannot be checked, because the model fails on random inputs of the "
                    f"shapes {[array.shape for array in inputs]}: {error}. Nothing was written; verify=False writes "
                    "the file unchecked."
                ) from error
    raise AssertionError


def _reference(graph: Graph, values: Mapping[str, np.ndarray], inputs: Sequence[np.ndarray]) -> Arrays:
    given = iter(inputs)
    operands = [HostKey(0) if value.type.dtype == key else next(given) for value in graph.inputs]
    return list(BACKEND.compile(graph)(operands, [values[seen.name] for seen in graph.variables]))


def _wide(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64) if array.dtype.kind not in "biu" else array


def _same_shapes(graph: Graph, found: Arrays, expected: Arrays, *, finite: bool) -> None:
    for name, one, wanted in zip(graph.output_names, found, expected, strict=True):
        if one.shape != wanted.shape or one.dtype != wanted.dtype:
            raise ExportError(
                f"ONNX Runtime gives the output {name!r} of the exported {graph.name!r} as {one.dtype} {one.shape}, "
                f"not {wanted.dtype} {wanted.shape}. Nothing was written; please report it."
            )
        if finite and np.isfinite(wanted).all() and not np.isfinite(one).all():
            raise ExportError(
                f"ONNX Runtime gives the output {name!r} of the exported {graph.name!r} with numbers that are not "
                "finite. Nothing was written; please report it."
            )


def _compared(graph: Graph, found: Arrays, expected: Arrays) -> list[_Worst]:
    """How far each output is off: of floats the largest difference, of others the share that differs."""
    result = []
    for name, value, one, wanted in zip(graph.output_names, graph.outputs, found, expected, strict=True):
        a, b = one.astype(np.float64), wanted.astype(np.float64)
        off = difference(a, b) if value.type.dtype.is_float else float(np.mean(a != b)) if a.size else 0.0
        with np.errstate(invalid="ignore"):
            absolute = float(np.abs(a - b).max(initial=0.0))
        result.append(_Worst(name, off, absolute, float(np.abs(b).max(initial=0.0))))
    return result


def _bound(graph: Graph, name: str) -> float:
    dtype = _output(graph, name).type.dtype
    return FORWARD[dtype.name] if dtype.is_float else 0.0


def _output(graph: Graph, name: str) -> Value:
    return graph.outputs[graph.output_names.index(name)]
