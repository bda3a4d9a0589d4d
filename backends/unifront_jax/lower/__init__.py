"""The table: operation → native callable, one file per family as in `unifront.opset`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from unifront.backends import LiveRows, family_modules
from unifront.ir.graph import Op
from unifront.ir.layouts import Storage
from unifront.ir.types import TensorType
from unifront_jax._wide import any_wide, eager

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
    "nn",
    "rnn",
    "control",
    "random",
    "threefry",
    "variates",
    "gradient",
    "custom",
    "remat",
)

TABLE: dict[Op, Callable[..., Any]] = LiveRows()
OVERLAYS: dict[str, dict[Op, Callable[..., Any]]] = {}
"""Rows for one kind of device (``"cuda"``, ``"cpu"``, ``"tpu"``), which stand before those of `TABLE`."""
UNSUPPORTED: dict[Op, str] = {}
OUTSIDE_JIT: dict[Op, Callable[..., Any]] = LiveRows()
"""Rows for calls outside a compiled program alone."""
STORAGE: dict[tuple[Op, int], Storage] = {}

_layouts: dict[int, Storage] = {}


def _eager_storage(storage: Storage) -> Storage:
    """``storage`` for arrays of any width; one object for each, since layouts are compared by identity."""
    if id(storage) not in _layouts:
        _layouts[id(storage)] = replace(
            storage, to_native=eager(storage.to_native), from_native=eager(storage.from_native)
        )
    return _layouts[id(storage)]


for _module in family_modules(__name__, __path__, FAMILIES):
    TABLE.update(_module.TABLE)
    for _kind, _rows in getattr(_module, "OVERLAYS", {}).items():
        OVERLAYS.setdefault(_kind, LiveRows()).update(_rows)
    OUTSIDE_JIT.update(getattr(_module, "OUTSIDE_JIT", {}))
    UNSUPPORTED.update(getattr(_module, "UNSUPPORTED", {}))
    _stored: Mapping[tuple[Op, int], Storage] = getattr(_module, "STORAGE", {})
    STORAGE.update({place: _eager_storage(storage) for place, storage in _stored.items()})


class Eager(Mapping[Op, Callable[..., Any]]):
    """The rows of a table, which may grow, for calls outside a compiled program."""

    def __init__(self, table: Mapping[Op, Callable[..., Any]]) -> None:
        self._table = table
        self._made: dict[Op, tuple[Callable[..., Any], Callable[..., Any]]] = {}

    def __getitem__(self, op: Op) -> Callable[..., Any]:
        row = self._table[op]
        if op not in self._made or self._made[op][0] is not row:
            self._made[op] = row, eager(row)
        return self._made[op][1]

    def typed(
        self, op: Op, types: Sequence[TensorType | None], attributes: Mapping[str, Any]
    ) -> Callable[..., Any]:
        """The row of ``op`` for operands of ``types`` alone, which need not be looked at again."""
        names = [type_.dtype.name for type_ in types if type_ is not None]
        return self[op] if any_wide([*names, *attributes.values()]) else self._table[op]

    def __contains__(self, op: object) -> bool:
        return op in self._table

    def __iter__(self) -> Iterator[Op]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)
