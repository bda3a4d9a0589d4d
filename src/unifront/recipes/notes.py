"""What a trained model notes of its data, when it comes from a file: hostile until it is looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from unifront.errors import FileFormatError
from unifront.utils.image_folder import CHANNELS

LARGEST = 2**20
"""Sizes beyond this are not meant."""
_Check = Callable[[Any], bool]


def _size(one: Any) -> bool:
    return type(one) is int and 0 < one <= LARGEST


def _text(one: Any) -> bool:
    return isinstance(one, str) and bool(one)


def _names(one: Any) -> bool:
    return isinstance(one, list) and bool(one) and all(isinstance(name, str) for name in one)


def _number(one: Any) -> bool:
    return type(one) in (int, float)


def _column(one: Any) -> bool:
    return (
        isinstance(one, dict)
        and set(one) == set(_COLUMN)
        and all(fits(one[key]) for key, fits in _COLUMN.items())
    )


_COLUMN: dict[str, _Check] = {
    "name": lambda one: isinstance(one, str),
    "input": _text,
    "kinds": lambda one: one is None or one == [] or _names(one),
    "mean": _number,
    "deviation": _number,
}
_COMMON: dict[str, _Check] = {
    "task": lambda one: one in ("classes", "numbers", "characters"),
    "logits": lambda one: isinstance(one, bool),
}
_KINDS: dict[str, dict[str, _Check]] = {
    "images": {
        "classes": _names,
        "size": lambda one: isinstance(one, list) and len(one) == 2 and all(map(_size, one)),
        "color": lambda one: isinstance(one, str) and one in CHANNELS,
        "resize": lambda one: one in ("stretch", "crop", "pad"),
    },
    "table": {
        "target": lambda one: isinstance(one, str),
        "classes": lambda one: one is None or _names(one),
        "missing": lambda one: one in ("error", "mean"),
        "columns": lambda one: isinstance(one, list) and bool(one) and all(map(_column, one)),
    },
    "series": {"columns": _names, "targets": _names, "length": _size, "horizon": _size, "stride": _size},
    "text": {"characters": _text, "length": _size, "stride": _size},
}


def checked_notes(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The notes of a model that a recipe trained; empty for a model of other origin.

    Raises `FileFormatError` naming file and key for notes that are none.
    """
    kind = given.get("kind")
    if not isinstance(kind, str) or kind not in _KINDS:
        return {}
    for key, fits in {**_COMMON, **_KINDS[kind]}.items():
        if key not in given or not fits(given[key]):
            found = repr(given.get(key))[:80]
            raise FileFormatError(f"{where}: what it says of its data is broken: {key} is {found}.")
    return dict(given)
