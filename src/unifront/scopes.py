"""Where in a model work is done: the path of layers that nodes, weights and errors are named after, and the dtype in
which weights are read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from unifront.dtypes import DType

_path: ContextVar[tuple[str, ...]] = ContextVar("unifront_path", default=())


@contextmanager
def scope(name: str) -> Iterator[None]:
    """Everything made inside is named ``name/…``."""
    token = _path.set((*_path.get(), name))
    try:
        yield
    finally:
        _path.reset(token)


@contextmanager
def at_path(path: str) -> Iterator[None]:
    """Everything made inside is named ``path``, whatever scopes are around."""
    token = _path.set(tuple(path.split("/")) if path else ())
    try:
        yield
    finally:
        _path.reset(token)


def current_path() -> str:
    """The path of the scopes entered, ``encoder/block1``."""
    return "/".join(_path.get())


_autocast: ContextVar[DType | None] = ContextVar("unifront_autocast", default=None)
autocast_dtype = _autocast.get
"""The dtype in which operations read float weights; None for the weights' own."""


@contextmanager
def autocasting(dtype: DType | None) -> Iterator[None]:
    """A block in which operations read float weights as ``dtype``."""
    token = _autocast.set(dtype)
    try:
        yield
    finally:
        _autocast.reset(token)
