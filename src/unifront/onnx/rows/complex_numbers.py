"""Complex numbers."""

from __future__ import annotations

from unifront.opset import complex_numbers as c
from unifront.opset.spec import OpSpec

UNSUPPORTED: dict[OpSpec, str] = dict.fromkeys(
    (c.COMPLEX, c.PARTS), "ONNX's operators take no complex numbers"
)
