"""Writing files so that a reader never sees half of one.

A file is written beside its place, under a hidden name, and renamed when it is whole. While it is written it is
locked (``flock``). A writer that is killed leaves its hidden file but not its lock: so the next writer of the same
name tells the dead, whose files it removes, from the living, on other machines too where the file system locks.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from unifront.errors import ArgumentError, FileFormatError, FileWriteError, UnifrontError
from unifront.paths import path_of

try:
    import fcntl
except ImportError:  # Windows, where nobody can remove a file that is open
    fcntl = None  # type: ignore[assignment]

_PART = 2**20
BROKEN = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""All that reading a broken file may raise below; every error of unifront is one of them."""
_REASONS: dict[type[BaseException], str] = {
    EOFError: "it ends too early",
    MemoryError: "it does not fit into the memory",
}
_REASON_LENGTH = 600


def existing(path: str | Path) -> Path:
    """``path``, at which there is a file: no folder, and no pipe or device, which may never end."""
    path = path_of(path)
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        mode = 0
    except OSError as error:
        raise FileFormatError(f"{path} cannot be read: {error.strerror}.") from error
    if stat.S_ISDIR(mode):
        raise FileFormatError(f"{path} is a folder; a file is needed.")
    if not stat.S_ISREG(mode):
        raise FileFormatError(f"{path}: there is no such file.")
    return path


def reason(error: BaseException) -> str:
    """What ``error`` says, without a full stop, and not without end: a file may hold names of any length."""
    text = str(error).rstrip(".") or _REASONS.get(type(error), type(error).__name__)
    return text if len(text) <= _REASON_LENGTH else f"{text[:_REASON_LENGTH]} …"


def write_beside(path: str | os.PathLike[str], write: Callable[[BinaryIO], object]) -> None:
    """Let ``write`` fill a hidden file beside ``path``, which gets that name when it is whole; see `writing`."""
    with writing(path) as file:
        write(file)


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file to fill in the block, which is at ``path`` after it; a block that raises leaves what was there.

    A link is followed, and the permissions of the file that was there are kept.

    Raises `ArgumentError` for a path at which there can be no file, `FileWriteError` for what the operating system
    refuses, such as a full disk or a folder that may not be written to.
    """
    path = path_of(path)
    try:
        place = Path(os.path.realpath(path))
        old = _standing(path, place)
        _remove_dead(place)
        file, temporary = _open_beside(place)
        try:
            with file:
                yield file
                file.flush()
                os.fsync(file.fileno())
                if old is not None:
                    os.chmod(temporary, stat.S_IMODE(old.st_mode))
                if fcntl is not None:  # under the lock, so that no other writer takes it for a dead one's
                    os.replace(temporary, place)
            if fcntl is None:
                os.replace(temporary, place)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
    except UnifrontError:
        raise
    except OSError as error:
        raise FileWriteError(f"Cannot write {path}: {error.strerror or error}.") from error


def parts_of(array: np.ndarray) -> Iterator[memoryview]:
    """The bytes of ``array``, little-endian and in C order; of one that lies otherwise a part is copied at a time."""
    ordered = array.astype(array.dtype.newbyteorder("<"), copy=False)
    if ordered.flags.c_contiguous or ordered.nbytes <= _PART:
        yield np.ascontiguousarray(ordered).reshape(-1).view(np.uint8).data
        return
    rows = _PART * len(ordered) // ordered.nbytes
    for at in range(0, len(ordered), max(1, rows)):
        yield from parts_of(ordered[at : at + rows] if rows else ordered[at])


def _standing(path: Path, place: Path) -> os.stat_result | None:
    """The file that is at ``place`` already, if there is one."""
    try:
        old = place.stat()
    except (FileNotFoundError, NotADirectoryError):
        if not place.parent.is_dir():
            raise ArgumentError(f"Cannot write {path}: there is no folder {path.parent}.") from None
        return None
    if stat.S_ISDIR(old.st_mode):
        raise ArgumentError(f"Cannot write {path}: it is a folder.")
    if not stat.S_ISREG(old.st_mode):
        raise ArgumentError(f"Cannot write {path}: it is a device or a pipe.")
    return old


def _prefix(place: Path) -> str:
    """How hidden files for ``place`` begin: of one length, whatever the length of its name."""
    return f".unifront-{hashlib.blake2b(os.fsencode(place.name), digest_size=8).hexdigest()}-"


def _open_beside(place: Path) -> tuple[BinaryIO, Path]:
    """A new hidden file beside ``place``, locked."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        name = place.with_name(_prefix(place) + secrets.token_hex(8))
        handle = os.open(name, flags, 0o666)
        if fcntl is not None:
            with contextlib.suppress(OSError):  # a file system without locks: there nobody removes anything
                fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink or fcntl is None:
            return os.fdopen(handle, "w+b"), name
        os.close(handle)  # another writer took it for a dead one's before it was locked


def _remove_dead(place: Path) -> None:
    """Remove the hidden files of writers of ``place`` that live no more."""
    if fcntl is None:
        return
    prefix = _prefix(place)
    with contextlib.suppress(OSError), os.scandir(place.parent) as entries:
        for name in [entry.path for entry in entries if entry.name.startswith(prefix)]:
            with contextlib.suppress(OSError):
                handle = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(name)
                finally:
                    os.close(handle)
