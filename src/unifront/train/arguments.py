"""Checks of what training takes as arguments: of numbers, and of what functions of the user's take."""

from __future__ import annotations

import inspect
from collections.abc import Callable
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


def takes_keyword(function: Callable[..., Any], name: str) -> bool:
    """Whether ``function`` takes an argument ``name``, by itself or with any others (``**kwargs``)."""
    known = inspect.signature(function).parameters
    return name in known or any(one.kind is one.VAR_KEYWORD for one in known.values())
