"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from unifront.errors import ArgumentError


def check_place(path: Path) -> None:
    """Raise `ArgumentError` where no file ``path`` can be."""
    if not path.parent.is_dir():
        raise ArgumentError(f"Cannot write {path}: there is no folder {path.parent}.")
    if path.is_dir():
        raise ArgumentError(f"Cannot write {path}: it is a folder.")


def write_beside(path: Path, write: Callable[[Any], None]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, which gets that name when it is whole."""
    check_place(path)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w+b") as file:
            write(file)
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
