"""Taking .uf files apart and putting them together wrongly."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest

import unifront as uf

Entries = dict[str, bytes]


def entries_of(content: bytes) -> Entries:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(entries: Entries, kind: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", kind) as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name), content, kind)
    return buffer.getvalue()


def refuse(path: Path, content: bytes, match: str | None = None) -> str:
    path.write_bytes(content)
    before = sorted(os.listdir(path.parent))
    with pytest.raises(uf.errors.FileFormatError, match=match) as caught:
        uf.load(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 2000
    assert sorted(os.listdir(path.parent)) == before
    return str(caught.value)
