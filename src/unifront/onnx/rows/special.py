"""Functions of probability and physics, of which ONNX has Erf alone."""

from __future__ import annotations

from unifront.onnx.writer import Row
from unifront.opset import special as s
from unifront.opset.spec import OpSpec

TABLE: dict[OpSpec, Row] = {s.ERFC: lambda w, x: w.op("Sub", w.number(1, x), w.op("Erf", x))}
UNSUPPORTED: dict[OpSpec, str] = {
    s.ERFINV: "ONNX has no inverse of Erf",
    s.I0: "ONNX has no Bessel functions",
}
