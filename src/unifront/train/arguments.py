"""Checks of the numbers that training takes as arguments."""

from __future__ import annotations

from typing import Any

import numpy as np

from unifront.errors import ArgumentError


def whole(what: str, value: Any, least: int = 1) -> int:
    """``value``, which must be an int of at least ``least``; else `ArgumentError` that begins with ``what``."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        kind = "a positive int" if least == 1 else f"an int >= {least}"
        raise ArgumentError(f"{what} is {kind}, not {value!r}.")
    return int(value)


def number(what: str, value: Any, interval: str) -> float:
    """``value``, which must be a number in ``interval``, written as in ``"[0, 1)"``; else `ArgumentError`."""
    low, high = map(float, interval[1:-1].split(","))
    if (
        not isinstance(value, int | float | np.integer | np.floating)
        or isinstance(value, bool)
        or not (low <= value if interval[0] == "[" else low < value)
        or not (value <= high if interval[-1] == "]" else value < high)
    ):
        raise ArgumentError(f"{what} is a number in {interval}, not {value!r}.")
    return float(value)


def optional(what: str, value: Any) -> int | None:
    """``value``, which must be a positive int, or None; else `ArgumentError`."""
    return None if value is None else whole(what, value)
