"""The operations that Keras has in its file ``ops/core.py``; written by ``python -m unifront.opset``."""

from __future__ import annotations

from unifront.opset.control import cond as cond
from unifront.opset.control import scan as scan
from unifront.opset.control import while_loop as while_loop
from unifront.opset.elementwise import cast as cast
from unifront.opset.elementwise import stop_gradient as stop_gradient
from unifront.opset.shape import unstack as unstack
from unifront.opset.slicing import slice as slice

__all__ = [
    "cast",
    "cond",
    "scan",
    "slice",
    "stop_gradient",
    "unstack",
    "while_loop",
]
