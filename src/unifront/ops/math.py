"""The operations that Keras has in its file ``ops/math.py``; written by ``python -m unifront.opset``."""

from __future__ import annotations

from unifront.opset.elementwise import erf as erf
from unifront.opset.elementwise import rsqrt as rsqrt
from unifront.opset.index import top_k as top_k
from unifront.opset.reduce import logsumexp as logsumexp

__all__ = [
    "erf",
    "logsumexp",
    "rsqrt",
    "top_k",
]
