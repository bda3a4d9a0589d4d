"""Shorter trainings: the first batches only, or so much time. The names are Lightning's."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import numpy as np

from unifront.errors import ArgumentError


def batches(name: str, given: Any, total: int | None) -> int | None:
    """How many batches are meant by ``given``: a number of them, or a float, the share of ``total``; None for all.

    Raises `ArgumentError` for what is neither, and for a share of a total that is not known.
    """
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float | np.number) or not given > 0:
        raise ArgumentError(f"{name} is a positive number of batches, or a share in (0, 1], not {given!r}.")
    if isinstance(given, int | np.integer):
        return int(given)
    if given > 1:
        raise ArgumentError(
            f"{name}={given!r} is a float, so a share, in (0, 1]; a number of batches is an int."
        )
    if total is None:
        raise ArgumentError(
            f"{name}={given!r} is a share of batches whose number is not known; give a number."
        )
    return max(1, math.floor(total * float(given)))


def seconds(given: Any) -> float | None:
    """The seconds meant by ``max_time``: a number of them, ``"DD:HH:MM:SS"``, a timedelta, or a dict for one."""
    if given is None:
        return None
    found: Any = None
    if isinstance(given, timedelta):
        found = given.total_seconds()
    elif isinstance(given, int | float | np.number) and not isinstance(given, bool):
        found = float(given)
    elif isinstance(given, str) and (match := re.fullmatch(r"(\d+):(\d\d?):(\d\d?):(\d\d?)", given)):
        days, hours, minutes, rest = map(int, match.groups())
        found = timedelta(days=days, hours=hours, minutes=minutes, seconds=rest).total_seconds()
    elif isinstance(given, Mapping):
        try:
            found = timedelta(**given).total_seconds()
        except TypeError:
            found = None
    if found is None or not 0 < found < math.inf:
        raise ArgumentError(
            "max_time is a number of seconds, 'DD:HH:MM:SS', a datetime.timedelta, or a dict such as "
            f"{{'minutes': 5}}, not {given!r}."
        )
    return float(found)


def trial_batches(fast_dev_run: Any) -> int | None:
    """How many batches a trial has; None for no trial."""
    if isinstance(fast_dev_run, bool):
        return 1 if fast_dev_run else None
    if not isinstance(fast_dev_run, int | np.integer) or fast_dev_run < 0:
        raise ArgumentError(f"fast_dev_run is True, False, or a number of batches, not {fast_dev_run!r}.")
    return int(fast_dev_run) or None


def least(*counts: int | None) -> int | None:
    """The least of those that are given."""
    given = [count for count in counts if count is not None]
    return min(given) if given else None
