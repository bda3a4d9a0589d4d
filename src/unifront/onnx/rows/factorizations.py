"""Factorizations of matrices."""

from __future__ import annotations

from unifront.opset import factorizations as f
from unifront.opset.spec import OpSpec

UNSUPPORTED: dict[OpSpec, str] = dict.fromkeys(
    (f.CHOLESKY, f.QR, f.SVD, f.EIGH, f.EIG, f.LU_FACTOR), "ONNX has no factorizations of matrices"
)
