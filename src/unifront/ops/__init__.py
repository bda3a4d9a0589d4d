"""Operations: ``uf.ops.NAME`` works on native arrays (runs at once) and symbolic tensors (adds to a graph).

One file per family. Each operation is one `OpSpec` (in capitals) with its public function beside it.
"""

from __future__ import annotations

import importlib
from typing import Any

from unifront.ops.spec import OPS, OpSpec, Sample

FAMILIES = (
    "elementwise", "reduce", "shape", "slicing", "creation", "index", "linalg", "optimize", "rnn", "random",
    "control", "nn", "conv", "pool", "norm",
)  # fmt: skip

_functions: dict[str, Any] = {}
for _family in FAMILIES:
    _module = importlib.import_module(f"unifront.ops.{_family}")
    for _name, _value in vars(_module).items():
        if (
            callable(_value)
            and getattr(_value, "__module__", None) == _module.__name__
            and not _name.startswith("_")
        ):
            _functions[_name] = _value
globals().update(_functions)
importlib.import_module("unifront.ops.operators")
__all__ = ["OPS", "OpSpec", "Sample", *_functions]


def __getattr__(name: str) -> Any:
    from unifront.errors import UnknownName

    raise AttributeError(str(UnknownName("operation", name, _functions)))
