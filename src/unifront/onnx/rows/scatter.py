"""Parts at positions that are tensors."""

from __future__ import annotations

from typing import Any

from unifront.errors import UnsupportedOp
from unifront.onnx.writer import Ref, Row, Writer
from unifront.opset import scatter as s
from unifront.opset.spec import OpSpec

_SINCE = {"set": 13, "add": 16, "mul": 16, "max": 18, "min": 18}
"""The first opset whose ScatterND knows a mode."""


def _scatter(w: Writer, x: Ref, indices: Ref, updates: Ref, mode: str) -> Any:
    if w.opset < _SINCE[mode]:
        raise UnsupportedOp(
            f"{w.path or 'graph'}: scatter of mode {mode!r} cannot be written for the opset {w.opset}. "
            f"Try opset={_SINCE[mode]}."
        )
    reduction: dict[str, Any] = {} if mode == "set" else {"reduction": mode}
    return w.op("ScatterND", x, w.cast(indices, "int64"), updates, **reduction)


TABLE: dict[OpSpec, Row] = {s.SCATTER: _scatter}
