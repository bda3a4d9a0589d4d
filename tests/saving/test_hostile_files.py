"""Broken and hostile files: always a FileFormatError with file and reason; nothing run, nothing written."""

from __future__ import annotations

import io
import os
import pickle
import resource
import struct
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.saving.files import entries_of, refuse, zipped
from unifront.saving.read import LIMITS


def test_the_good_file_is_good(good: bytes, tmp_path: Path) -> None:
    path = tmp_path / "good.uf"
    path.write_bytes(zipped(entries_of(good)))
    assert uf.load(path).predict(np.ones((2, 4)), backend="numpy").shape == (2, 2)


def test_truncated_anywhere(good: bytes, tmp_path: Path) -> None:
    for length in [*range(64), *range(64, len(good) - 64, 97), *range(len(good) - 64, len(good))]:
        refuse(tmp_path / "cut.uf", good[:length])


@pytest.mark.parametrize("name", [*LIMITS, "weights.safetensors", "optimizer.safetensors"])
def test_entries_cut_or_absent(good: bytes, name: str, tmp_path: Path) -> None:
    entries = entries_of(good)
    for length in range(0, len(entries[name]) - 4, max(1, len(entries[name]) // 40)):
        refuse(tmp_path / "cut.uf", zipped({**entries, name: entries[name][:length]}))
    refuse(
        tmp_path / "less.uf", zipped({k: v for k, v in entries.items() if k != name}), "it holds .*expected"
    )


def random_damage(rng: np.random.Generator, content: bytes) -> bytes:
    damaged = bytearray(content)
    match rng.integers(4):
        case 0:
            for position in rng.integers(len(damaged), size=rng.integers(1, 8)):
                damaged[position] ^= 1 << rng.integers(8)
        case 1:
            start = rng.integers(len(damaged))
            del damaged[start : start + rng.integers(1, 40)]
        case 2:
            start, other = rng.integers(len(damaged), size=2)
            damaged[start:start] = damaged[other : other + rng.integers(1, 40)]
        case 3:
            start = rng.integers(len(damaged))
            damaged[start : start + 8] = rng.bytes(8)
    return bytes(damaged)


def load_or_refuse(path: Path, content: bytes) -> None:
    """Damage may leave a good file; anything but a model or a FileFormatError is a fault."""
    path.write_bytes(content)
    try:
        uf.load(path)
    except uf.errors.FileFormatError as error:
        assert str(path) in str(error)  # noqa: PT017  # either outcome is right


@pytest.mark.parametrize("seed", range(4))
def test_damaged_files(good: bytes, seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(100):
        load_or_refuse(tmp_path / "bad.uf", random_damage(rng, good))


@pytest.mark.parametrize(
    "name", ["manifest.json", "training.graph", "inference.graph", "optimizer.safetensors"]
)
def test_damaged_entries_in_a_whole_zip(good: bytes, name: str, tmp_path: Path) -> None:
    """Checksums are right here, so that the damage reaches the parsers."""
    rng, entries = np.random.default_rng(len(name)), entries_of(good)
    for _ in range(120):
        load_or_refuse(tmp_path / "bad.uf", zipped({**entries, name: random_damage(rng, entries[name])}))


@pytest.mark.parametrize(
    "name", ["../evil", "/tmp/evil", "..\\evil", "C:\\evil", "a/../../evil", "manifest.json/"]
)
def test_names_that_leave_the_folder(good: bytes, name: str, tmp_path: Path) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    refuse(folder / "evil.uf", zipped({**entries_of(good), name: b"evil"}), "it holds ")
    assert not list(tmp_path.glob("**/evil"))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_entry_twice(good: bytes, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in [*entries_of(good).items(), ("manifest.json", b"{}")]:
            archive.writestr(name, content)
    refuse(tmp_path / "twice.uf", buffer.getvalue(), "it holds ")


def test_compressed_weights(good: bytes, tmp_path: Path) -> None:
    refuse(
        tmp_path / "bad.uf", zipped(entries_of(good), zipfile.ZIP_DEFLATED), "weights are stored as they are"
    )
    refuse(tmp_path / "bad.uf", zipped(entries_of(good), zipfile.ZIP_LZMA), "compressed")


def with_bomb(good: bytes, name: str, size: int, declared: int | None = None) -> bytes:
    """An entry of zeros that unpacks to ``size``; its headers say ``declared``."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for key, content in entries_of(good).items():
            if key != name:
                archive.writestr(zipfile.ZipInfo(key), content)
        with archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as file:
            file._compressor = __import__("zlib").compressobj(9, 8, -15)
            file._zinfo.compress_type = zipfile.ZIP_DEFLATED
            for _ in range(size // 2**20):
                file.write(bytes(2**20))
    content = buffer.getvalue()
    if declared is not None:
        content = content.replace(struct.pack("<Q", size), struct.pack("<Q", declared))
        content = content.replace(struct.pack("<L", size), struct.pack("<L", declared))
    return content


@pytest.mark.parametrize("name", LIMITS)
def test_a_bomb_is_refused_before_it_is_unpacked(good: bytes, name: str, tmp_path: Path) -> None:
    size = 160 * 2**20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refuse(
        tmp_path / "bomb.uf", with_bomb(good, name, size), f"{name} would unpack to {size} bytes, more than"
    )
    refuse(tmp_path / "liar.uf", with_bomb(good, name, size, 1000))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024  # KiB


def test_what_is_no_file(good: bytes, tmp_path: Path) -> None:
    with pytest.raises(uf.errors.FileFormatError, match=r"missing.uf: there is no such file"):
        uf.load(tmp_path / "missing.uf")
    with pytest.raises(uf.errors.FileFormatError, match="is a folder"):
        uf.load(tmp_path)
    (tmp_path / "dangling.uf").symlink_to(tmp_path / "nowhere")
    with pytest.raises(uf.errors.FileFormatError, match=r"dangling.uf: there is no such file"):
        uf.load(tmp_path / "dangling.uf")
    os.mkfifo(tmp_path / "pipe.uf")
    with pytest.raises(uf.errors.FileFormatError, match=r"pipe.uf: there is no such file"):
        uf.load(tmp_path / "pipe.uf")
    (tmp_path / "real.uf").write_bytes(good)
    (tmp_path / "link.uf").symlink_to(tmp_path / "real.uf")
    assert uf.load(tmp_path / "link.uf").name == "small"


def test_other_kinds_of_files(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path}/evil",)

    np.savez(tmp_path / "arrays.npz", a=np.zeros(3))
    for content in (
        b"",
        b"PK\x03\x04",
        b"PK\x05\x06" + bytes(18),
        pickle.dumps(Evil()),
        (tmp_path / "arrays.npz").read_bytes(),
        b"import os; os.system('true')",
    ):
        refuse(tmp_path / "other.uf", content)
    assert not (tmp_path / "evil").exists()


def test_an_interrupted_write_leaves_the_old_file(
    good: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.uf"
    path.write_bytes(good)
    model = uf.load(path)
    before = path.read_bytes()
    real = zipfile.ZipFile.writestr
    for error in (KeyboardInterrupt, OSError("disk full")):

        def broken(self: Any, info: Any, *args: Any, error: Any = error) -> None:
            if getattr(info, "filename", info) == "weights.safetensors":
                raise error
            real(self, info, *args)

        monkeypatch.setattr(zipfile.ZipFile, "writestr", broken)
        with pytest.raises(BaseException):  # noqa: B017, PT011  # whatever was raised comes through
            model.save(path)
        assert path.read_bytes() == before
        assert os.listdir(tmp_path) == ["model.uf"]
    monkeypatch.undo()
    model.save(path)
    assert uf.load(path).name == "small"
    with pytest.raises(uf.errors.ArgumentError, match=r"Cannot write .*there is no folder"):
        model.save(tmp_path / "nowhere" / "model.uf")
    with pytest.raises(uf.errors.ArgumentError, match=r"Cannot write .*it is a folder"):
        model.save(tmp_path)


def test_a_killed_write_leaves_the_old_file(good: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.uf"
    path.write_bytes(good)
    code = f"""
        import os, zipfile
        import unifront as uf
        model = uf.load({str(path)!r})
        zipfile.ZipFile.close = lambda self: os._exit(9)
        model.save({str(path)!r})
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False, timeout=60)
    assert done.returncode == 9
    assert path.read_bytes() == good
