"""Where in a model work is done: the path of layers that nodes, weights and errors are named after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_path: ContextVar[tuple[str, ...]] = ContextVar("unifront_path", default=())


@contextmanager
def scope(name: str) -> Iterator[None]:
    """Everything made inside is named ``name/…``."""
    token = _path.set((*_path.get(), name))
    try:
        yield
    finally:
        _path.reset(token)


def current_path() -> str:
    """The path of the scopes entered, ``encoder/block1``."""
    return "/".join(_path.get())
