"""Random operations, which ONNX cannot have."""

from __future__ import annotations

from unifront.opset import random as r
from unifront.opset.spec import OpSpec

_REASON = (
    "it draws random numbers from a key, and ONNX has no generator with keys; export the inference graph"
)
UNSUPPORTED: dict[OpSpec, str] = dict.fromkeys(
    (r.FOLD_IN, r.RANDOM_UNIFORM, r.RANDOM_NORMAL, r.DROPOUT), _REASON
)
