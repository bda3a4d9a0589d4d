"""Which backend runs, and on which devices: what ``backend="torch:cuda:1"`` means, and the default."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import numpy as np

from unifront.backends.protocol import Array, Backend
from unifront.backends.registry import get_backend, installed
from unifront.errors import ArgumentError

DEFAULT_VARIABLES = ("UNIFRONT_BACKEND", "KERAS_BACKEND")
"""Of the environment: the first that is set names the default; scripts for Keras set the second."""


@dataclass(frozen=True)
class Placement:
    """A backend and where it runs: what ``backend="torch:cuda:1"`` means, or ``"jax:cuda:0,cuda:1"``.

    Of several devices each holds every weight, and a part of each batch along its first axis (data parallelism): a
    program on them computes what it computes on one. A batch that has no equal parts is held whole by each.

    Args:
        device: the name of a device, or the names of several with commas between them.
        name: of the backend.
    """

    backend: Backend = field(compare=False)
    device: str
    name: str

    @property
    def devices(self) -> tuple[str, ...]:
        """The names of its devices."""
        return tuple(self.device.split(","))

    def batch(self, value: np.ndarray) -> Array:
        """A batch as a native array: of several devices, each has its part."""
        put = self.backend.split if len(self.devices) > 1 else self.backend.array
        return put(value, self.device)

    def __str__(self) -> str:
        return f"{self.name}:{self.device}"


_default: ContextVar[str | Placement | None] = ContextVar("unifront_backend", default=None)
_process_default: list[str] = []


def set_backend(name: str | None) -> None:
    """Make ``name`` (``"jax"``, ``"torch:cpu"``) the process's default backend; None forgets it."""
    _process_default.clear()
    if name is not None:
        _process_default.append(str(placement(name)))


@contextmanager
def use_backend(name: str | Placement) -> Iterator[Placement]:
    """A ``with`` block in which ``name`` is the default backend of this thread or task."""
    token = _default.set(name)
    try:
        yield placement(name)
    finally:
        _default.reset(token)


def chosen_around() -> str | None:
    """The default of the ``with uf.backend`` around this; None outside of one."""
    chosen = _default.get()
    return None if chosen is None else str(chosen)


def default_name() -> str:
    """The default: of ``with uf.backend``, of `set_backend`, of `DEFAULT_VARIABLES`, or the first installed."""
    chosen = _default.get() or (_process_default[-1] if _process_default else None)
    return str(chosen or next(filter(None, map(os.environ.get, DEFAULT_VARIABLES)), None) or installed()[0])


def placement(name: str | Placement | None = None) -> Placement:
    """The backend and devices meant by ``name``: ``"jax"``, ``"torch:cuda:1"``, ``"jax:cuda:0,cuda:1"`` (see
    `Placement`) or None for the default.

    Raises `ArgumentError` for a device that is not there, for one named twice, and for several where the backend
    runs on one only.
    """
    if isinstance(name, Placement):
        return name
    if not isinstance(name, str | None):
        raise ArgumentError(f"A backend is a name, such as 'torch' or 'jax:gpu:0', not {name!r}.")
    default = _default.get()
    if name is None and isinstance(default, Placement):
        return default
    head, _, device = (name or default_name()).partition(":")
    backend = get_backend(head)
    devices = backend.devices()
    if not device:
        return Placement(backend, devices[0], head)
    found = [_device_called(part.strip(), head, devices) for part in device.split(",")]
    if len(found) > 1 and not backend.spreads:
        raise ArgumentError(
            f"The backend {head!r} runs a program on one device, and {', '.join(found)} were named. "
            "Try: one of them, or the backend 'jax'."
        )
    if len(set(found)) < len(found):
        raise ArgumentError(f"{name!r} names a device twice.")
    return Placement(backend, ",".join(found), head)


def placement_on(name: str) -> Placement:
    """The default placement where it is of the backend ``name``, else that backend's own."""
    default = placement()
    return default if default.backend.name == name else placement(name)


def _device_called(given: str, backend: str, devices: Sequence[str]) -> str:
    for known in (given, f"{given}:0", given.removesuffix(":0")):
        if known in devices:
            return known
    raise ArgumentError(f"The backend {backend!r} has no device {given!r} here; it has {', '.join(devices)}.")
