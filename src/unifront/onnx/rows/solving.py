"""Linear systems."""

from __future__ import annotations

from unifront.onnx.writer import Row
from unifront.opset import solving as s
from unifront.opset.spec import OpSpec

TABLE: dict[OpSpec, Row] = {s.DET: lambda w, x: w.op("Det", x)}
UNSUPPORTED: dict[OpSpec, str] = dict.fromkeys(
    (s.SOLVE, s.SOLVE_TRIANGULAR, s.SLOGDET), "ONNX has no solver of linear systems"
)
