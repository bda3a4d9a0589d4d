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
from tests.models import MODELS
from tests.saving.files import entries_of, refuse, zipped
from unifront import layers
from unifront.saving.write import LIMITS

ENTRIES = [*LIMITS, "weights.safetensors", "optimizer.safetensors"]


def test_the_good_file_is_good(good: bytes, tmp_path: Path) -> None:
    path = tmp_path / "good.uf"
    path.write_bytes(zipped(entries_of(good)))
    assert uf.load(path).predict(np.ones((2, 4)), backend="numpy").shape == (2, 2)


def test_truncated_anywhere(good: bytes, tmp_path: Path) -> None:
    for length in [*range(64), *range(64, len(good) - 64, 97), *range(len(good) - 64, len(good))]:
        refuse(tmp_path / "cut.uf", good[:length])


@pytest.mark.parametrize("name", ENTRIES)
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


@pytest.mark.parametrize("kind", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("name", ENTRIES)
def test_nothing_is_unpacked(good: bytes, name: str, kind: int, tmp_path: Path) -> None:
    """What is compressed is refused before a byte of it is read: a bomb has no way in."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for key, content in entries_of(good).items():
            archive.writestr(
                key, bytes(10 * 2**20) if key == name else content, kind if key == name else None
            )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    refuse(
        tmp_path / "bomb.uf",
        buffer.getvalue(),
        f"{name} is compressed; what a .uf file holds is stored as it is",
    )
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 5 * 1024  # KiB


def changed(content: bytes, name: str, **fields: int) -> bytes:
    """A zip whose directory says something else of an entry."""
    places = {
        "flags": (8, "<H"),
        "method": (10, "<H"),
        "packed": (20, "<L"),
        "size": (24, "<L"),
        "start": (42, "<L"),
    }
    damaged, at = bytearray(content), content.find(b"PK\x01\x02")
    while content[at + 46 :][: len(name)] != name.encode():
        at = content.index(b"PK\x01\x02", at + 1)
    for field, value in fields.items():
        offset, form = places[field]
        struct.pack_into(form, damaged, at + offset, value)
    return bytes(damaged)


@pytest.mark.parametrize("name", ENTRIES)
def test_a_directory_that_lies(good: bytes, name: str, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for fields, match in (
        ({"size": 2**31, "packed": 2**31}, f"{name} is said to have {2**31} bytes, more than are there"),
        ({"size": 2**31}, f"{name} is compressed"),
        ({"start": 2**31}, f"{name} is said to have .* more than are there"),
        ({"start": 20}, f"{name} cannot be read: "),
        ({"flags": 1}, f"{name} is encrypted"),
        ({"flags": 0x20}, f"{name} cannot be read: .*patched"),
        ({"method": 99}, f"{name} is compressed"),
    ):
        refuse(tmp_path / "liar.uf", changed(good, name, **fields), match)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024  # KiB


def test_texts_have_a_limit(good: bytes, tmp_path: Path) -> None:
    for name, limit in LIMITS.items():
        refuse(
            tmp_path / "long.uf", zipped({**entries_of(good), name: bytes(limit + 1)}),
            f"{name} has {limit + 1} bytes; at most {limit} are read",
        )  # fmt: skip


def test_what_could_not_be_read_again_is_not_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model, _ = MODELS["mlp"]("float32")
    monkeypatch.setitem(LIMITS, "inference.graph", 100)
    with pytest.raises(
        uf.errors.ArgumentError, match=r"The model 'mlp' cannot be saved: its inference.graph has \d+"
    ):
        model.save(tmp_path / "large.uf")
    monkeypatch.undo()
    monkeypatch.setattr("unifront.safetensors.HEADER_LIMIT", 100)
    for write in (model.save, model.save_weights):
        with pytest.raises(uf.errors.ArgumentError, match="4 weights are too many for a file"):
            write(tmp_path / "large")
    assert not list(tmp_path.iterdir())


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
    model = uf.Sequential([uf.Input((2,)), layers.Dense(1)])
    for name in ("", "pipe.uf", "dangling.uf"):
        with pytest.raises(uf.errors.FileFormatError, match=r"there is no such file|is a folder"):
            model.load_weights(tmp_path / name)
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
    for error in (KeyboardInterrupt, OSError(28, "No space left on device")):

        def broken(self: Any, file: Any, error: Any = error) -> None:
            raise error

        monkeypatch.setattr("unifront.safetensors.Contents.write", broken)
        raised = uf.errors.FileWriteError if isinstance(error, OSError) else KeyboardInterrupt
        with pytest.raises(raised, match=r"\A\Z|Cannot write .*model.uf: No space left on device\."):
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
