"""The operations that Keras has in ``keras.ops.image``; written by ``python -m unifront.opset``."""

from __future__ import annotations

__all__: list[str] = []
