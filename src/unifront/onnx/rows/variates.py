"""Gamma and binomial numbers, which ONNX has not."""

from __future__ import annotations

from unifront.opset import variates as v
from unifront.opset.spec import OpSpec

UNSUPPORTED: dict[OpSpec, str] = {
    v.RANDOM_GAMMA: "ONNX draws uniform and normal numbers only",
    v.RANDOM_BINOMIAL: "ONNX draws uniform and normal numbers only",
}
