"""The operations that Keras has in its file ``ops/core.py``; written by ``python -m unifront.opset``."""

from __future__ import annotations

from unifront.opset.casting import cast as cast
from unifront.opset.control import cond as cond
from unifront.opset.control import scan as scan
from unifront.opset.control import while_loop as while_loop
from unifront.opset.conversion import convert_to_numpy as convert_to_numpy
from unifront.opset.conversion import convert_to_tensor as convert_to_tensor
from unifront.opset.conversion import dtype as dtype
from unifront.opset.conversion import is_tensor as is_tensor
from unifront.opset.conversion import saturate_cast as saturate_cast
from unifront.opset.conversion import shape as shape
from unifront.opset.custom import custom_gradient as custom_gradient
from unifront.opset.elementwise import stop_gradient as stop_gradient
from unifront.opset.loops import associative_scan as associative_scan
from unifront.opset.loops import fori_loop as fori_loop
from unifront.opset.loops import map as map
from unifront.opset.loops import switch as switch
from unifront.opset.scatter import scatter as scatter
from unifront.opset.scatter import scatter_update as scatter_update
from unifront.opset.scatter import slice as slice
from unifront.opset.scatter import slice_update as slice_update
from unifront.opset.shape import unstack as unstack
from unifront.opset.vectorizing import vectorized_map as vectorized_map

__all__ = [
    "associative_scan",
    "cast",
    "cond",
    "convert_to_numpy",
    "convert_to_tensor",
    "custom_gradient",
    "dtype",
    "fori_loop",
    "is_tensor",
    "map",
    "saturate_cast",
    "scan",
    "scatter",
    "scatter_update",
    "shape",
    "slice",
    "slice_update",
    "stop_gradient",
    "switch",
    "unstack",
    "vectorized_map",
    "while_loop",
]
