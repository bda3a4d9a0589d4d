"""Parts at positions that are tensors."""

from __future__ import annotations

from typing import Any

from unifront.onnx.writer import Ref, Row, Writer
from unifront.opset import scatter as s
from unifront.opset.spec import OpSpec


def _scatter(w: Writer, x: Ref, indices: Ref, updates: Ref, mode: str) -> Any:
    return w.op(
        "ScatterND", x, w.cast(indices, "int64"), updates, reduction="none" if mode == "set" else mode
    )


TABLE: dict[OpSpec, Row] = {s.SCATTER: _scatter}
