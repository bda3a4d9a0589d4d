"""The rows of a backend's table: what runs an operation on native arrays, on any device or on one kind."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

from unifront.errors import ArgumentError
from unifront.ir.graph import Op
from unifront.ir.types import TensorType

Row = Callable[..., Any]
"""What runs an operation on native arrays."""


def with_plain(row: Row, plain: Row) -> Row:
    """``row``, and with it what it comes to for operands that are plain, see `is_plain`: of these it asks nothing."""
    row.plain = plain  # type: ignore[attr-defined]  # kept by the function itself
    return row


def is_plain(type_: TensorType | None) -> bool:
    """Whether it is of an operand that frameworks differ least in: floats of 16 or 32 bits, of two to five axes."""
    return type_ is not None and type_.dtype.name in _PLAIN and 2 <= type_.rank <= 5


_PLAIN = frozenset({"float16", "bfloat16", "float32"})


class LiveRows(dict[Op, Row]):
    """Rows that may change while programs run: whoever remembers some is told, see `when_rows_change`."""


def _telling(name: str) -> Callable[..., Any]:
    change = getattr(dict, name)

    def changed(self: LiveRows, *args: Any, **kwargs: Any) -> Any:
        try:
            return change(self, *args, **kwargs)
        finally:
            for listener in _listeners:
                listener()

    return changed


for _change in ("__setitem__", "__delitem__", "__ior__", "pop", "popitem", "clear", "update", "setdefault"):
    setattr(LiveRows, _change, _telling(_change))

_listeners: list[Callable[[], None]] = []


def when_rows_change(listener: Callable[[], None]) -> None:
    """Call ``listener`` after every change of rows."""
    _listeners.append(listener)


def family_modules(package: str, folders: Iterable[str], families: Sequence[str]) -> Iterator[ModuleType]:
    """The modules of a backend's rows: those of ``package``, which lies in ``folders``, called as ``families``.

    Raises `ArgumentError` where files and families differ, for the rows of a file that nobody reads would be missed
    by nobody: their operations would run by their decompositions. Files that begin with ``_`` have no rows.
    """
    from pkgutil import iter_modules

    files = {one.name for one in iter_modules(list(folders)) if not one.name.startswith("_")}
    if without := min({*families} - files, default=""):
        raise ArgumentError(f"{package} has the family {without!r}, and no file {without}.py.")
    if unread := min(files - {*families}, default=""):
        raise ArgumentError(f"{package} has the file {unread}.py, and no family {unread!r}.")
    return (import_module(f"{package}.{family}") for family in families)


_added: dict[str, LiveRows] = {}
_KINDS = {"gpu": "cuda"}


def added_rows(place: str) -> dict[Op, Row]:
    """The rows that were added for a backend (``"torch"``) or one kind of its devices (``"torch:cuda"``), live."""
    return _added.setdefault(place, LiveRows())


def kind_of(device: str) -> str:
    """What kind of device one name, or the names of several, mean: ``"cuda"`` of ``"cuda:0,cuda:1"``."""
    return device.partition(",")[0].partition(":")[0]


def live_table(
    name: str,
    rows: MutableMapping[Op, Row],
    device: str | None,
    overlays: Mapping[str, MutableMapping[Op, Row]] | None = None,
) -> Mapping[Op, Row]:
    """The table of a backend on a device. It is no copy: a row that is added later counts.

    Args:
        rows: the backend's own, for any device.
        device: one of its devices. Rows of its kind (``"cuda"``, ``"cpu"``, ``"tpu"``) stand before the others.
        overlays: the backend's own rows for a kind of device.
    """
    kind = kind_of(device or "")
    kind = _KINDS.get(kind, kind)
    own: MutableMapping[Op, Row] = (overlays or {}).get(kind, {})
    return ChainMap(added_rows(f"{name}:{kind}"), own, added_rows(name), rows)
