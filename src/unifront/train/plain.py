"""Plain data: numbers, text, arrays, and lists, tuples and dicts of them; as JSON beside arrays, exactly, and back."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from unifront.errors import FileFormatError

TUPLE, DICT, ARRAY, SCALAR, FLOATS, FLOAT = "$tuple", "$dict", "$array", "$scalar", "$floats", "$float"
MANY = 32
"""So many floats in a list are kept as an array."""


def is_plain(value: Any) -> bool:
    """Whether ``value`` is plain data."""
    match value:
        case None | bool() | int() | float() | str():
            return type(value) in (type(None), bool, int, float, str)
        case np.ndarray() | np.generic():
            return value.dtype.kind in "biufV" and value.dtype.hasobject is False
        case list() | tuple():
            return type(value) in (list, tuple) and all(map(is_plain, value))
        case dict():
            keys = all(type(key) in (str, int, float, bool) for key in value)
            return type(value) is dict and keys and all(map(is_plain, value.values()))
    return False


def copied(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The plain ones of ``attributes``, as they are now."""
    return {name: copy.deepcopy(value) for name, value in list(attributes.items()) if is_plain(value)}


def changes(attributes: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """The plain ones of ``attributes`` that were others, or no plain data, ``before``."""
    return {
        name: value
        for name, value in attributes.items()
        if is_plain(value) and not (name in before and _same(value, before[name]))
    }


def _same(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    match a:
        case np.ndarray():
            return bool(a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())
        case list() | tuple():
            return len(a) == len(b) and all(map(_same, a, b))
        case dict():
            return list(a) == list(b) and all(_same(a[key], b[key]) for key in a)
        case float() | np.generic():
            return bool(a == b or (a != a and b != b))
    return bool(a == b)


def packed(value: Any, arrays: dict[str, np.ndarray], name: str) -> Any:
    """``value`` as JSON; arrays in it go into ``arrays``, under names that begin with ``name``."""

    def kept(array: np.ndarray) -> str:
        own = f"{name}/{len(arrays)}"
        arrays[own] = np.array(array)  # it may be changed before it is written
        return own

    match value:
        case float():
            return value if math.isfinite(value) else {FLOAT: repr(value)}
        case np.ndarray():
            return {ARRAY: kept(value)}
        case np.generic():
            return {SCALAR: kept(np.asarray(value))}
        case list():
            if len(value) >= MANY and all(type(item) is float for item in value):
                return {FLOATS: kept(np.array(value, np.float64))}
            return [packed(item, arrays, name) for item in value]
        case tuple():
            return {TUPLE: [packed(item, arrays, name) for item in value]}
        case dict():
            return {DICT: [[key, packed(item, arrays, name)] for key, item in value.items()]}
    return value


def unpacked(value: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """What `packed` was given. Raises `FileFormatError` for what it does not give."""
    if isinstance(value, list):
        return [unpacked(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) != 1:
        raise FileFormatError(f"it holds {str(value)[:80]}, which is no plain data")
    ((kind, inner),) = value.items()
    if kind in (ARRAY, SCALAR, FLOATS):
        array = arrays[inner]
        return array if kind == ARRAY else array[()] if kind == SCALAR else array.tolist()
    if kind == FLOAT:
        return float(inner)
    if kind == TUPLE:
        return tuple(unpacked(item, arrays) for item in inner)
    if kind == DICT:
        return {key: unpacked(item, arrays) for key, item in inner}
    raise FileFormatError(f"it holds {kind[:80]!r}, which is no plain data")
