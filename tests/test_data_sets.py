"""Data sets: files in Keras's cache folder are read as Keras reads them; broken and hostile ones are refused."""

from __future__ import annotations

import gzip
import importlib
import io
import json
import pickle
import tarfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import unifront as uf
from unifront import errors
from unifront.datasets import files


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder whose files are small ones of ours: their sums are not asked for."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(
        files, "SOURCES", {name: files.Source("file:///nowhere/x", None) for name in files.SOURCES}
    )
    for name in ("mnist", "imdb", "reuters", "boston_housing", "california_housing"):
        module = importlib.import_module(f"keras.src.datasets.{name}")
        monkeypatch.setattr(
            module, "get_file", lambda fname=None, *_, **__: str(tmp_path / "datasets" / fname)
        )
    (tmp_path / "datasets").mkdir()
    return tmp_path / "datasets"


def assert_same(ours: Any, theirs: Any) -> None:
    for a, b in zip(
        [part for pair in ours for part in pair], [part for pair in theirs for part in pair], strict=True
    ):
        assert a.dtype == b.dtype
        if a.dtype == object:
            assert a.tolist() == b.tolist()
        else:
            np.testing.assert_array_equal(a, b)


def texts(count: int, rng: np.random.Generator) -> np.ndarray:
    found = np.empty(count, object)
    found[:] = [rng.integers(1, 30, rng.integers(2, 12)).tolist() for _ in range(count)]
    return found


def test_digits_and_iris() -> None:
    (x, y), (x_test, y_test) = uf.datasets.digits.load_data()
    assert (x.shape, x_test.shape, x.dtype) == ((1437, 8, 8), (360, 8, 8), np.float32)
    assert x.max() == 16
    assert sorted(set(y)) == sorted(set(y_test)) == list(range(10))
    (x, y), (x_test, y_test) = uf.datasets.iris.load_data(test_split=0.5, seed=1)
    assert x.shape == x_test.shape == (75, 4)
    assert len(np.unique(np.concatenate([y, y_test]))) == 3
    again = uf.datasets.iris.load_data(test_split=0.5, seed=2)
    assert not np.array_equal(again[0][0], x)


def test_mnist(cache: Path) -> None:
    rng = np.random.default_rng(0)
    parts = {"x_train": rng.integers(0, 256, (6, 28, 28), np.uint8), "y_train": np.arange(6, dtype=np.uint8)}
    np.savez(cache / "mnist.npz", **parts, x_test=parts["x_train"][:2], y_test=parts["y_train"][:2])
    assert_same(uf.datasets.mnist.load_data(), keras.datasets.mnist.load_data())


def test_fashion_mnist(cache: Path) -> None:
    folder = cache / "fashion-mnist"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (3, 28, 28), np.uint8)
    for name in ("train", "t10k"):
        (folder / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(b"\0" * 8 + bytes([2, 1, 0])))
        (folder / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"\0" * 16 + pixels.tobytes()))
    (x, y), _ = uf.datasets.fashion_mnist.load_data()
    np.testing.assert_array_equal(x, pixels)
    np.testing.assert_array_equal(y, [2, 1, 0])
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"\0" * 20))
    with pytest.raises(errors.FileFormatError, match="holds 4 pixels; 3 images have 28 x 28"):
        uf.datasets.fashion_mnist.load_data()


WORDS: list[dict[str, Any]] = [
    {},
    {"num_words": 15, "skip_top": 6},
    {"maxlen": 8, "oov_char": None, "num_words": 20},
    {"start_char": None, "index_from": 0},
    {"seed": 1, "start_char": None},
]


@pytest.mark.parametrize("options", WORDS)
@pytest.mark.parametrize("name", ["imdb", "reuters"])
def test_texts(name: str, options: dict[str, Any], cache: Path) -> None:
    rng = np.random.default_rng(0)
    if name == "imdb":
        parts = {
            "x_train": texts(20, rng),
            "y_train": np.arange(20) % 2,
            "x_test": texts(9, rng),
            "y_test": np.arange(9) % 2,
        }
    else:
        parts = {"x": texts(30, rng), "y": np.arange(30)}
    np.savez(cache / f"{name}.npz", **parts)
    assert_same(
        getattr(uf.datasets, name).load_data(**options), getattr(keras.datasets, name).load_data(**options)
    )
    (cache / f"{name}_word_index.json").write_text(json.dumps({"the": 1}))
    assert getattr(uf.datasets, name).get_word_index() == {"the": 1}
    with pytest.raises(errors.ArgumentError, match="shorter than maxlen=1, no sequence was kept"):
        getattr(uf.datasets, name).load_data(maxlen=1)


def test_the_topics_of_reuters() -> None:
    assert uf.datasets.reuters.get_label_names() == keras.datasets.reuters.get_label_names()


@pytest.mark.parametrize("name", ["boston_housing", "california_housing"])
def test_houses(name: str, cache: Path) -> None:
    np.savez(cache / f"{name}.npz", x=np.arange(1400.0).reshape(700, 2), y=np.arange(700.0))
    ours, theirs = getattr(uf.datasets, name), getattr(keras.datasets, name)
    assert_same(ours.load_data(test_split=0.3, seed=4), theirs.load_data(test_split=0.3, seed=4))
    if name == "california_housing":
        assert_same(ours.load_data("small"), theirs.load_data("small"))
        with pytest.raises(errors.ArgumentError, match="`version` must be one of 'small', 'large'"):
            ours.load_data("tiny")
    with pytest.raises(errors.ArgumentError, match="Invalid `test_split` argument: 1"):
        ours.load_data(test_split=1)


def pack(folder: Path, name: str, members: dict[str, bytes]) -> None:
    with tarfile.open(folder / f"{name}_archive", "w:gz") as archive:
        for member, content in members.items():
            entry = tarfile.TarInfo(member)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


@pytest.mark.parametrize("kinds", [10, 100])
def test_cifar(kinds: int, cache: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (2, 3072), np.uint8)
    key = b"labels" if kinds == 10 else b"coarse_labels"
    batch = pickle.dumps({b"data": pixels, key: [1, 7]}, protocol=3)
    if kinds == 10:
        names = [
            *(f"cifar-10-batches-py/data_batch_{i}" for i in range(1, 6)),
            "cifar-10-batches-py/test_batch",
        ]
        pack(cache, "cifar-10-batches-py-target", dict.fromkeys(names, batch))
        (x, y), (x_test, y_test) = uf.datasets.cifar10.load_data()
        assert (x.shape, y.shape, y.dtype) == ((10, 32, 32, 3), (10, 1), np.uint8)
    else:
        names = ["cifar-100-python/train", "cifar-100-python/test"]
        pack(cache, "cifar-100-python-target", dict.fromkeys(names, batch))
        (x, y), (x_test, y_test) = uf.datasets.cifar100.load_data("coarse")
        assert x.shape == (2, 32, 32, 3)
        with pytest.raises(errors.ArgumentError, match="`label_mode` must be one of"):
            uf.datasets.cifar100.load_data("rough")
    np.testing.assert_array_equal(x_test, pixels.reshape(2, 3, 32, 32).transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(y_test, [[1], [7]])


class Hostile:
    def __reduce__(self) -> Any:
        return print, ("it ran",)


def test_no_code_of_a_file_is_run(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = np.empty(1, object)
    found[0] = Hostile()
    np.savez(cache / "imdb.npz", x_train=found, y_train=[0], x_test=found, y_test=[0])
    with pytest.raises(
        errors.FileFormatError, match=r"imdb\.npz is no data set: it would make builtins\.print"
    ):
        uf.datasets.imdb.load_data()
    assert capsys.readouterr().out == ""


def test_broken_files_are_named(cache: Path) -> None:
    (cache / "mnist.npz").write_bytes(b"PK no zip")
    with pytest.raises(errors.FileFormatError, match=r"mnist\.npz is no \.npz file"):
        uf.datasets.mnist.load_data()


def test_a_file_that_is_not_there(cache: Path) -> None:
    with pytest.raises(errors.DataError, match=r"URL fetch failure .* put the file at .*mnist\.npz"):
        uf.datasets.mnist.load_data()
