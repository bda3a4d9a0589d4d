"""What backends share that is of the host: its memory, keys from integers, forked processes."""

from __future__ import annotations

import os
from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np

from unifront.errors import ArgumentError, ForkError

ALIGNED = 64
"""Bytes of the widest vectors that frameworks compute with."""


class HostKey(int):
    """A random key as an integer on the host: what ``uf.random_key(seed)`` gives, and what backends use whose
    generators are seeded from the host. Raises `ArgumentError` for what is no int from 0."""

    def __new__(cls, seed: int) -> HostKey:
        if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
            raise ArgumentError(f"random_key: seed is an int >= 0, not {seed!r}.")
        return super().__new__(cls, seed)

    def fold_in(self, data: int) -> HostKey:
        """A new key for the stream number ``data`` (the finalizer of SplitMix64, Steele et al. 2014)."""
        mixed = (int(self) + (int(data) + 1) * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
        return HostKey(mixed ^ (mixed >> 31))


def aligned_copy(value: np.ndarray) -> np.ndarray:
    """A copy that begins where frameworks want it to, so that one on the host takes it as it is: NumPy's own begin at
    any 16 bytes, and are copied once more."""
    raw = np.empty(value.nbytes + ALIGNED, np.uint8)
    start = -raw.ctypes.data % ALIGNED
    copied = raw[start : start + value.nbytes].view(value.dtype).reshape(value.shape)
    copied[...] = value
    return copied


def host_free_bytes() -> int | None:
    """How much memory of the machine is free; None where the operating system does not tell."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not on Windows and macOS
        return None


def refuse_after_fork(backend: Any, was_used: Callable[[], bool]) -> None:
    """Make ``backend`` raise `ForkError` for whatever it is asked in a forked process, if ``was_used()`` then.

    For frameworks with threads of their own: a fork copies none of them, and waits for them in vain.
    """

    def fail(own: Any, name: str) -> Any:
        if name.startswith("__") or name == "name":
            return object.__getattribute__(own, name)
        raise ForkError(
            f"This process was forked from one in which {backend.name} was in use, whose threads it has not; "
            "any work here would hang. Start processes afresh, for example with "
            'multiprocessing.get_context("spawn"), or fork before the first use.'
        )

    def mark() -> None:
        if was_used():
            # Another class for the object: calls in other processes pay nothing.
            backend.__class__ = type("Forked", (type(backend),), {"__getattribute__": fail})

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=mark)
