"""What is written is at its place whole or not at all, nothing hidden stays, and a suffix keeps its promise."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import unifront as uf
from unifront import layers
from unifront.files import write_beside, writing
from unifront.paths import FORMATS

Write = Callable[[uf.Model, Any], None]
WRITERS: dict[str, tuple[Write, str]] = {
    "save": (lambda model, path: model.save(path), "m.uf"),
    "save_weights": (lambda model, path: model.save_weights(path), "w.safetensors"),
    "export": (lambda model, path: model.export(path, "onnx"), "m.onnx"),
    "export_external": (lambda model, path: model.export(path, "onnx", external_data=True), "m.onnx"),
}


@pytest.fixture(scope="module")
def model() -> uf.Model:
    return uf.Sequential([uf.Input((4,)), layers.Dense(8), layers.Dense(3)], name="small")


@pytest.fixture(params=WRITERS)
def writer(request: pytest.FixtureRequest) -> tuple[Write, str]:
    return WRITERS[request.param]


def hidden(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.startswith(".")]


def left_by_a_dead_writer(path: Path) -> str:
    """A process writes ``path`` and is gone in the middle."""
    code = f"""
        import os
        from unifront.files import writing
        with writing({str(path)!r}) as file:
            file.write(b"half")
            file.flush()
            os._exit(9)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False, timeout=60)
    assert done.returncode == 9
    (name,) = hidden(path.parent)
    return name


def test_what_a_dead_writer_left_is_removed_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "m.uf"
    left_by_a_dead_writer(path)
    write_beside(tmp_path / "other", lambda file: file.write(b"other"))
    assert len(hidden(tmp_path)) == 1  # of another name: not its matter
    write_beside(path, lambda file: file.write(b"whole"))
    assert sorted(os.listdir(tmp_path)) == ["m.uf", "other"]
    assert path.read_bytes() == b"whole"


def test_what_a_living_writer_writes_stays(tmp_path: Path) -> None:
    path = tmp_path / "m.uf"
    with writing(path) as first:
        first.write(b"first")
        with writing(path) as second:
            assert len(hidden(tmp_path)) == 2
            second.write(b"second")
        assert path.read_bytes() == b"second"
        assert len(hidden(tmp_path)) == 1
    assert path.read_bytes() == b"first"
    assert not hidden(tmp_path)


def test_a_file_taken_for_a_dead_ones_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, removed = fcntl.flock, []

    def late(handle: int, kind: int) -> None:
        if not removed:  # another writer comes between making and locking
            (name,) = hidden(tmp_path)
            os.unlink(tmp_path / name)
            removed.append(name)
        real(handle, kind)

    monkeypatch.setattr(fcntl, "flock", late)
    write_beside(tmp_path / "m.uf", lambda file: file.write(b"whole"))
    assert removed
    assert (tmp_path / "m.uf").read_bytes() == b"whole"
    assert not hidden(tmp_path)


def test_without_locks_nothing_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = left_by_a_dead_writer(tmp_path / "m.uf")

    def without(handle: int, kind: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", without)
    write_beside(tmp_path / "m.uf", lambda file: file.write(b"whole"))
    assert sorted(os.listdir(tmp_path)) == sorted([name, "m.uf"])


def test_what_looks_like_a_hidden_file_but_is_none_stays(tmp_path: Path) -> None:
    """In a shared folder: links and pipes are not followed, opened for ever, or removed with what they name."""
    name = left_by_a_dead_writer(tmp_path / "m.uf")
    os.unlink(tmp_path / name)
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / name).symlink_to(tmp_path / "precious")
    write_beside(tmp_path / "m.uf", lambda file: file.write(b"whole"))
    assert (tmp_path / "precious").read_bytes() == b"precious"
    os.unlink(tmp_path / name)
    os.mkfifo(tmp_path / name)
    write_beside(tmp_path / "m.uf", lambda file: file.write(b"whole"))
    assert (tmp_path / "m.uf").read_bytes() == b"whole"


def test_links_are_followed_and_permissions_kept(tmp_path: Path, model: uf.Model) -> None:
    (tmp_path / "folder").mkdir()
    real, link = tmp_path / "folder" / "real.uf", tmp_path / "link.uf"
    link.symlink_to(real)
    model.save(link)
    assert link.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o666 & ~current_umask()
    real.chmod(0o600)
    model.save(link)
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    assert uf.load(real).name == "small"


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


# ---------------------------------------------------------------- what cannot be written


def test_what_is_no_path(model: uf.Model, writer: tuple[Write, str]) -> None:
    write, _ = writer
    for path in (5, None, b"m.uf", ["m.uf"], "m\0.uf"):
        with pytest.raises(uf.errors.ArgumentError, match=r"A path is a str or an os.PathLike.*; not "):
            write(model, path)


@pytest.mark.parametrize("read", [uf.load, lambda path: uf.Sequential([uf.Input((2,))]).load_weights(path)])
def test_what_is_no_path_to_read(read: Any) -> None:
    for path in (b"m.uf", "m\0.uf"):
        with pytest.raises(uf.errors.ArgumentError, match=r"A path is a str or an os.PathLike.*; not "):
            read(path)
    with pytest.raises(uf.errors.ArgumentError, match=r"A path is .*; not 5|Weights are in a file, or in"):
        read(5)
    with pytest.raises(uf.errors.FileFormatError, match=r"nnn cannot be read: File name too long"):
        read("n" * 300)


def test_names_that_are_too_long(tmp_path: Path, model: uf.Model, writer: tuple[Write, str]) -> None:
    write, name = writer
    longest = "x" * (250 - len(name)) + name
    write(model, tmp_path / longest)
    assert (tmp_path / longest).is_file()
    long = tmp_path / ("x" * 260 + name)
    with pytest.raises(uf.errors.FileWriteError, match=rf"Cannot write .*{name}.*: File name too long"):
        write(model, long)


def test_devices_and_pipes_are_left_alone(tmp_path: Path, model: uf.Model, writer: tuple[Write, str]) -> None:
    write, _ = writer
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(
            uf.errors.ArgumentError, match=rf"Cannot write {path}.*: it is a device or a pipe"
        ):
            write(model, path)
        assert not path.is_file()


REFUSED = {
    # As on a full disk: the operating system takes no more bytes than these.
    "full": ("resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))", "File too large"),
    "read_only": ("os.chmod('.', 0o555); os.getuid() or os.setuid(65534)", "Permission denied"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_operating_system_refuses(case: str, tmp_path: Path) -> None:
    """Every writer says the user's path, leaves what was there, and hides nothing."""
    prepare, reason = REFUSED[case]
    code = f"""
        import os, resource
        import onnx
        import unifront as uf
        from unifront import layers
        from tests.saving.test_writing import WRITERS
        model = uf.Sequential([uf.Input((4,)), layers.Dense(8)], name="small")
        for write, name in WRITERS.values():
            write(model, name)
        before = {{name: open(name, "rb").read() for name in os.listdir()}}
        {prepare}
        for write, name in WRITERS.values():
            try:
                write(model, name)
            except uf.errors.FileWriteError as error:
                assert str(error).startswith(f"Cannot write {{name}}"), error
                assert {reason!r} in str(error), error
                assert isinstance(error, OSError)
            else:
                raise AssertionError(name)
        assert before == {{name: open(name, "rb").read() for name in os.listdir()}}
    """
    folder = tmp_path / "folder"
    folder.mkdir()
    tmp_path.chmod(0o755)
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=folder, env={**os.environ, "PYTHONPATH": os.pathsep.join([root, *sys.path])},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    folder.chmod(0o755)
    assert done.returncode == 0, done.stderr


# ---------------------------------------------------------------- suffixes


@pytest.mark.parametrize(
    ("write", "path", "message"),
    [
        ("save", "d/m.hdf5", r"model.save writes .uf files, and 'm.hdf5' promises a file of Keras 2, which unifront does not write. For a model: model.save\('d/m.uf'\)\."),
        ("save", "m.H5", r"'m.H5' promises a file of Keras.* model.save\('m.uf'\)\."),
        ("save", "m.onnx", r"promises an ONNX model. model.export\('m.onnx'\) writes that\. For a model: model.save\('m.uf'\)"),
        ("save", "m.safetensors", r"promises weights alone. model.save_weights\('m.safetensors'\) writes that"),
        ("save", "m.pt", r"promises a file of PyTorch. torch.save\(model.lower\(\"torch\"\).state_dict\(\), 'm.pt'\) writes that"),
        ("save_weights", "w.h5", r"model.save_weights writes .safetensors files, and 'w.h5' promises .* model.save_weights\('w.safetensors'\)"),
        ("save_weights", "w.keras", r"promises a model in Keras's format. model.save\('w.keras'\) writes that"),
        ("save_weights", "w.uf", r"promises a model. model.save\('w.uf'\) writes that"),
        ("save_weights", "w.npz", r"numpy.savez\('w.npz', \*model.get_weights\(\)\) writes that"),
        ("export", "m.pt", r"model.export writes .onnx files.* model.export\('m.onnx'\)"),
        ("export", "m.uf", r"model.save\('m.uf'\) writes that"),
        ("export", "m.tflite", r"promises a model of LiteRT, which unifront does not write"),
    ],
)  # fmt: skip
def test_a_suffix_that_promises_another_format(
    model: uf.Model, write: str, path: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(uf.errors.ArgumentError, match=message):
        WRITERS[write][0](model, path)
    assert not os.listdir(tmp_path)


def test_other_suffixes_promise_nothing(model: uf.Model, writer: tuple[Write, str], tmp_path: Path) -> None:
    write, name = writer
    for path in (name, name.upper(), "plain", "epoch-3.loss-0.25"):
        write(model, tmp_path / path)
        assert (tmp_path / path).is_file()


def test_every_suffix_is_written_by_a_call_or_by_none() -> None:
    for suffix, (what, call) in FORMATS.items():
        assert suffix == suffix.lower()
        assert call or what.endswith("which unifront does not write")


@pytest.mark.parametrize(
    ("read", "name", "message"),
    [
        ("load", "w.safetensors", r"w.safetensors is not a valid .uf file: .* model.load_weights reads weights alone\."),
        ("load", "m.onnx", r"m.onnx is not a valid .uf file: .* uf.from_onnx imports ONNX models\."),
        ("load_weights", "m.onnx", r"m.onnx cannot be read as safetensors: .* uf.from_onnx imports ONNX models\."),
    ],
)  # fmt: skip
def test_reading_another_format_names_the_right_call(
    model: uf.Model, read: str, name: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if name == "w.safetensors":
        WRITERS["save_weights"][0](model, path)
    else:
        path.write_bytes(b"\x08\x07\x12\x04" + bytes(100))
    with pytest.raises(uf.errors.FileFormatError, match=message):
        (uf.load if read == "load" else model.load_weights)(path)
