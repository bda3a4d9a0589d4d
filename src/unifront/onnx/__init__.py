"""ONNX, written from the graph: no framework is traced, and none needs to be installed.

    model.export("digits.onnx")

The package ``onnx`` is imported when a model is written, and not before.
"""

from __future__ import annotations

from unifront.onnx.export import export

__all__ = ["export"]
