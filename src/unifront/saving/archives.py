"""Zip files whose writers nobody knows: what they say of themselves is checked before anything is read."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unifront.errors import FileFormatError

_DIRECTORY = 16 * 2**20
"""The most bytes of a zip's directory, which `zipfile` reads before anybody can look at it."""


class Bounded(io.BufferedReader):
    """A file of which at most ``limit`` bytes are read at a time, while there is a limit."""

    limit: int | None = _DIRECTORY

    def read(self, size: int | None = -1, /) -> bytes:
        if self.limit is not None and size is not None and size > self.limit:
            raise FileFormatError(f"its directory has {size} bytes; at most {self.limit} are read")
        return super().read(size)


@contextmanager
def opened(path: Path, directory: int = _DIRECTORY) -> Iterator[zipfile.ZipFile]:
    """The zip at ``path``; one whose directory has more bytes than ``directory`` is refused."""
    with Bounded(io.FileIO(path)) as file:
        file.limit = directory
        with zipfile.ZipFile(file) as archive:
            file.limit = None
            yield archive


def check_stored(info: zipfile.ZipInfo, size: int, kind: str) -> None:
    """Refuse an entry that is encrypted, compressed (a small one could become huge) or larger than its file."""
    if info.flag_bits & 1:
        raise FileFormatError(f"{info.filename[:200]} is encrypted")
    if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
        raise FileFormatError(f"{info.filename[:200]} is compressed; what {kind} holds is stored as it is")
    if info.header_offset + info.file_size > size:
        raise FileFormatError(
            f"{info.filename[:200]} is said to have {info.file_size} bytes, more than are there"
        )
