"""The operations: each one `OpSpec` (in capitals) with its public function beside it, one file per family.

Users find the functions in `unifront.ops`, which `python -m unifront.opset` writes.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from unifront.ir.facts import Facts
from unifront.opset.spec import OPS, OpSpec, Sample

FAMILIES = (
    "control", "conv", "creation", "define", "elementwise", "gradient", "index", "linalg", "nn", "norm",
    "optimize", "pool", "random", "reduce", "rnn", "shape", "sizes", "slicing",
)  # fmt: skip

__all__ = ["FAMILIES", "OPS", "Facts", "OpSpec", "Sample", "public_functions"]


def public_functions(family: str) -> dict[str, Callable[..., Any]]:
    """The functions that ``unifront/opset/FAMILY.py`` defines for users, by name."""
    module = importlib.import_module(f"unifront.opset.{family}")
    return {
        name: value
        for name, value in sorted(vars(module).items())
        if callable(value)
        and getattr(value, "__module__", None) == module.__name__
        and not isinstance(value, type)
        and not name.startswith("_")
    }


for _family in FAMILIES:
    importlib.import_module(f"unifront.opset.{_family}")
importlib.import_module("unifront.opset.operators")
