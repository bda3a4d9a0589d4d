"""The table: operation → native callable, one file per family as in `unifront.opset`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from unifront.ir.graph import Op
from unifront.ir.layouts import Storage
from unifront_jax._wide import eager

FAMILIES = (
    "tensor", "elementwise", "reduce", "shape", "slicing", "creation", "index",
    "linalg", "conv", "pool", "norm", "nn", "rnn",
    "attention",
    "control", "random", "optimize", "gradient",
)  # fmt: skip

TABLE: dict[Op, Callable[..., Any]] = {}
UNSUPPORTED: dict[Op, str] = {}
STORAGE: dict[tuple[Op, int], Storage] = {}

_layouts: dict[int, Storage] = {}


def _eager_storage(storage: Storage) -> Storage:
    """``storage`` for arrays of any width; one object for each, since layouts are compared by identity."""
    if id(storage) not in _layouts:
        _layouts[id(storage)] = replace(
            storage, to_native=eager(storage.to_native), from_native=eager(storage.from_native)
        )
    return _layouts[id(storage)]


for _family in FAMILIES:
    if find_spec(f"{__name__}.{_family}") is None:
        continue
    _module = import_module(f"{__name__}.{_family}")
    TABLE.update(_module.TABLE)
    UNSUPPORTED.update(getattr(_module, "UNSUPPORTED", {}))
    _stored: Mapping[tuple[Op, int], Storage] = getattr(_module, "STORAGE", {})
    STORAGE.update({place: _eager_storage(storage) for place, storage in _stored.items()})

EAGER: dict[Op, Callable[..., Any]] = {op: eager(row) for op, row in TABLE.items()}
"""The same rows for calls outside a compiled program."""
