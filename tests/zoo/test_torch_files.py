"""Files of ``torch.save`` are read without torch: what torch writes, what is broken, what would run code."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

import unifront as uf
from unifront import errors
from unifront.saving.kinds import TORCH_ZIP, kind_of
from unifront.saving.torch_files import read_pickles, read_zip

DTYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")


def state() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    grid = torch.from_numpy(rng.normal(size=(4, 6)).astype("float32"))
    found: dict[str, Any] = {
        f"of.{name}": torch.from_numpy(rng.integers(0, 2, (3, 2)).astype("float32")).to(getattr(torch, name))
        for name in DTYPES
    }
    return (
        found
        | {
            "transposed": grid.T,  # strides that are not those of C
            "part": grid[1:3, ::2],  # of a storage that others share
            "whole": grid,
            "scalar": torch.tensor(3.5),
            "empty": torch.zeros(0, 3),
            "parameter": torch.nn.Parameter(grid[0]),
            "spread": torch.ones(1).expand(5),
        }
    )


def numpy(tensor: Any) -> np.ndarray:
    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        return tensor.float().numpy().astype(ml_dtypes.bfloat16)
    return tensor.numpy()


WRITERS: dict[str, Callable[[Any, Any], None]] = {
    "zip": torch.save,
    "pickles": lambda state, path: torch.save(state, path, _use_new_zipfile_serialization=False),
    "protocol 4": lambda state, path: torch.save(state, path, pickle_protocol=4),
}


def read(path: Path) -> Any:
    return (read_zip if kind_of(path) == TORCH_ZIP else read_pickles)(path)


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize(
    "wrap",
    [
        dict,
        lambda one: {"epoch": 1, "best": 0.5, "state_dict": one},
        lambda one: {f"module.{k}": v for k, v in one.items()},
    ],
)
def test_what_torch_writes_is_read(
    write: Callable[[Any, Any], None], wrap: Callable[[Any], Any], tmp_path: Path
) -> None:
    write(wrap(state()), tmp_path / "w.pth")
    found = read(tmp_path / "w.pth")
    assert {*found} == {*state()}
    for name, tensor in state().items():
        expected = numpy(tensor)
        assert found[name].shape == expected.shape
        array = found[name].read()
        assert array.dtype == found[name].dtype == expected.dtype
        assert (array == expected).all()


def test_a_module_of_torch_is_read(tmp_path: Path) -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    torch.save(net.state_dict(), tmp_path / "w.pth")
    assert {*read(tmp_path / "w.pth")} == {*net.state_dict()}


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_cut_off_anywhere_is_refused(name: str, tmp_path: Path) -> None:
    WRITERS[name](state(), tmp_path / "w.pth")
    whole = (tmp_path / "w.pth").read_bytes()
    for part in (0.01, 0.2, 0.5, 0.8, 0.99):
        (tmp_path / "w.pth").write_bytes(whole[: int(part * len(whole))])
        with pytest.raises(errors.FileFormatError, match=r"w\.pth"):
            uf.zoo.create("resnet18", weights=tmp_path / "w.pth")


class Evil:
    def __reduce__(self) -> Any:
        return (print, ("this ran",))


class Walks:
    def __reduce__(self) -> Any:
        return (io.open, ("/etc/passwd",))


def zipped(pickled: bytes, **entries: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("w/data.pkl", pickled)
        for name, content in entries.items():
            archive.writestr(f"w/{name.replace('_', '/')}", content)
    return out.getvalue()


def tensor(
    offset: int = 0, shape: tuple[int, ...] = (2,), strides: tuple[int, ...] = (1,), count: int = 2
) -> bytes:
    """The pickle of ``{"w": tensor}``, written by hand."""

    def tuple_(numbers: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(b"\x8a\x09" + n.to_bytes(9, "little", signed=True) for n in numbers) + b"t"

    storage = (
        b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0"
        + b"0X\x03\0\0\0cpu"
        + tuple_((count,))[1:-1]
        + b"tQ"
    )
    built = (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + storage
        + tuple_((offset,))[1:-1]
        + tuple_(shape)
        + tuple_(strides)
        + b"\x89}tR"
    )
    return b"\x80\x02}X\x01\0\0\0w" + built + b"s."


HOSTILE: list[tuple[bytes, str]] = [
    (zipped(pickle.dumps({"w": Evil()}, 2)), "it holds __builtin__.print, which is no weight"),
    (pickle.dumps(Evil(), 2), "it holds __builtin__.print, which is no weight"),
    (zipped(pickle.dumps({"w": Walks()}, 4)), "which is no weight. Save model.state_dict"),
    (pickle.dumps({"w": 3}, 2), "a pickle, but not one of PyTorch's weights"),
    (zipped(pickle.dumps({"w": 3}, 2)), "holds no state_dict, that is tensors by name"),
    (zipped(pickle.dumps([1], 2)), "holds no state_dict, that is tensors by name"),
    (zipped(tensor(shape=(2**40,)), data_0=bytes(8)), "a tensor in it lies outside of its storage"),
    (zipped(tensor(offset=2), data_0=bytes(8)), "a tensor in it lies outside of its storage"),
    (zipped(tensor(offset=-1), data_0=bytes(8)), "a tensor in it is described by"),
    (zipped(tensor(shape=(-2,)), data_0=bytes(8)), "a tensor in it is described by"),
    (zipped(tensor(strides=(1, 1)), data_0=bytes(8)), "has 1 sizes and 2 strides"),
    (zipped(tensor(shape=(2**40,), strides=(0,)), data_0=bytes(8)), "none of the modules of"),  # never allocated
    (zipped(tensor(), byteorder=b"big"), "its numbers are big-endian"),
    (zipped(b"\x80\x02r\xff\xff\xff\xff."), "w.pth"),  # a place in the memo that would take gigabytes
    (zipped(b"\x80\x02(.") , "w.pth"),
    (zipped(b"\x80\x02K\x01R."), "w.pth"),
    (zipped(b"\x80\x02}" + b"(" * 1000), "w.pth"),
    (b"<!doctype html><html>", "it is a web page, not weights"),
    (b"version https://git-lfs.github.com/spec/v1\noid", "it is a pointer of Git LFS"),
    (b"", "w.pth"),
    (zipped(tensor(), data_0=bytes(8))[:-30], "w.pth"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "message"), HOSTILE)
def test_a_hostile_file_is_refused(content: bytes, message: str, tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(content)
    with pytest.raises(errors.FileFormatError, match=message):
        uf.zoo.create("resnet18", weights=path)
    assert "this ran" not in capsys.readouterr().out


def test_a_tensor_written_by_hand_is_the_one_meant(tmp_path: Path) -> None:
    """So that what is refused above is so for the reason given."""
    (tmp_path / "w.pth").write_bytes(zipped(tensor(), data_0=np.array([1, 2], "<f4").tobytes()))
    assert read(tmp_path / "w.pth")["w"].read().tolist() == [1, 2]


def test_a_storage_of_another_size_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(zipped(tensor(), data_0=bytes(4)))
    with pytest.raises(errors.FileFormatError, match="the storage '0' has 4 bytes, for 2 numbers"):
        read(tmp_path / "w.pth")["w"].read()
