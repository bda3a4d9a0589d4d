"""The table of TensorFlow: one file per family of operations, merged here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from unifront.backends import LiveRows, family_modules
from unifront.ir.graph import Op
from unifront.ir.layouts import Storage

FAMILIES = (
    "conv_transpose",
    "tensor",
    "elementwise",
    "comparison",
    "activation",
    "trigonometry",
    "special",
    "bitwise",
    "reduce",
    "cumulative",
    "searching",
    "shape",
    "conversion",
    "scatter",
    "slicing",
    "creation",
    "index",
    "linalg",
    "complex_numbers",
    "factorizations",
    "solving",
    "segments",
    "fft",
    "conv",
    "pool",
    "norm",
    "nn",
    "rnn",
    "control",
    "random",
    "threefry",
    "variates",
    "optimize",
    "gradient",
    "custom",
    "remat",
)

TABLE: dict[Op, Callable[..., Any]] = LiveRows()
OVERLAYS: dict[str, dict[Op, Callable[..., Any]]] = {}
"""Rows for one kind of device (``"cuda"``, ``"cpu"``, ``"tpu"``), which stand before those of `TABLE`."""
UNSUPPORTED: dict[Op, str] = {}
STORAGE: dict[tuple[Op, int], Storage] = {}
IN_PLACE: dict[Op, Callable[..., None]] = {}
FORWARD: dict[Op, Callable[..., Any]] = {}
"""Rows without all gradients, for programs that nothing records."""


def _merge(rows: ModuleType) -> None:
    TABLE.update(rows.TABLE)
    for kind, own in getattr(rows, "OVERLAYS", {}).items():
        OVERLAYS.setdefault(kind, LiveRows()).update(own)
    reasons: Mapping[Op, str] = getattr(rows, "UNSUPPORTED", {})
    storage: Mapping[tuple[Op, int], Storage] = getattr(rows, "STORAGE", {})
    UNSUPPORTED.update(reasons)
    STORAGE.update(storage)
    IN_PLACE.update(getattr(rows, "IN_PLACE", {}))
    FORWARD.update(getattr(rows, "FORWARD", {}))


for _module in family_modules(__name__, __path__, FAMILIES):
    _merge(_module)
