"""The judges of an exported model: the checker, ONNX's reference evaluator, ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx.reference import ReferenceEvaluator

RUNTIME_OPSETS = range(13, 27)
"""The operator sets that ONNX Runtime, 1.31, knows."""


def check(model: Any) -> None:
    """Assert that the model is valid and that its types can be inferred and are consistent."""
    onnx.checker.check_model(model, full_check=True)
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)


def _feed(model: Any, inputs: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    return dict(zip([value.name for value in model.graph.input], inputs, strict=True))


def reference(model: Any, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What ONNX's reference evaluator gives."""
    with np.errstate(all="ignore"):
        return [np.asarray(result) for result in ReferenceEvaluator(model).run(None, _feed(model, inputs))]


def session_of(model: Any) -> Any:
    """A session of ONNX Runtime that says errors only."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    content = model if isinstance(model, bytes | str) else model.SerializeToString()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def runtime(model: Any, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What ONNX Runtime gives."""
    session = session_of(model)
    names = [value.name for value in session.get_inputs()]
    results: list[np.ndarray] = session.run(None, dict(zip(names, inputs, strict=True)))
    return results


def kinds(model: Any) -> list[str]:
    """The operators of the model, in order."""
    return [node.op_type for node in model.graph.node]
