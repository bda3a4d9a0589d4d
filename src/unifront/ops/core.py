"""The operations that Keras has in its file ``ops/core.py``; written by ``python -m unifront.opset``."""

from __future__ import annotations

from unifront.opset.casting import cast as cast
from unifront.opset.control import cond as cond
from unifront.opset.control import scan as scan
from unifront.opset.control import while_loop as while_loop
from unifront.opset.elementwise import stop_gradient as stop_gradient
from unifront.opset.scatter import scatter as scatter
from unifront.opset.scatter import scatter_update as scatter_update
from unifront.opset.scatter import slice as slice
from unifront.opset.scatter import slice_update as slice_update
from unifront.opset.shape import unstack as unstack

__all__ = [
    "cast",
    "cond",
    "scan",
    "scatter",
    "scatter_update",
    "slice",
    "slice_update",
    "stop_gradient",
    "unstack",
    "while_loop",
]
