"""The table: each operation and its PyTorch callable. One file per family, named as in `unifront.opset`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from unifront.backends import LiveRows, family_modules
from unifront.ir.graph import Op
from unifront.ir.layouts import Storage

FAMILIES = (
    "conv_transpose",
    "attention",
    "ctc",
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
"""Updates of many variables at once, in place; see `unifront_torch.lower.optimize`."""

for _module in family_modules(__name__, __path__, FAMILIES):
    TABLE.update(_module.TABLE)
    for _kind, _rows in getattr(_module, "OVERLAYS", {}).items():
        OVERLAYS.setdefault(_kind, LiveRows()).update(_rows)
    UNSUPPORTED.update(getattr(_module, "UNSUPPORTED", {}))
    STORAGE.update(getattr(_module, "STORAGE", {}))
    IN_PLACE.update(getattr(_module, "IN_PLACE", {}))
