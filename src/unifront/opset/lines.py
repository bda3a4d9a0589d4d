"""Where in the user's own code something happened: what errors of a trace point at."""

from __future__ import annotations

import linecache
import sys
from types import FrameType

_OURS = ("unifront", "unifront_torch", "unifront_tensorflow", "unifront_jax")
_BETWEEN = frozenset({*_OURS, "numpy", "torch", "tensorflow", "jax", "contextlib", "functools"})
"""Packages whose frames stand between the user's line and ours."""


def users_line() -> str:
    """The innermost line of code outside this library, as ``file.py:12: `source` ``; empty if there is none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if package not in _BETWEEN:
            file, number = frame.f_code.co_filename, frame.f_lineno
            source = linecache.getline(file, number, frame.f_globals).strip()
            return f"{file}:{number}" + (f": `{source}`" if source else "")
        frame = frame.f_back
    return ""
