"""Bits taken for another dtype."""

from __future__ import annotations

from unifront.onnx.writer import Row
from unifront.opset import conversion as c
from unifront.opset.spec import OpSpec

TABLE: dict[OpSpec, Row] = {}
UNSUPPORTED: dict[OpSpec, str] = {
    c.BITCAST: "ONNX's BitCast came with operator set 26, which few programs read yet"
}
