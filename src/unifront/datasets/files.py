"""Where the files of the data sets are, and how they are read."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unifront.errors import ArgumentError, FileFormatError
from unifront.utils.downloads import get_file

GOOGLE = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
TORONTO = "https://www.cs.toronto.edu/~kriz/"

Part = tuple[np.ndarray, np.ndarray]
Split = tuple[Part, Part]
"""``(x_train, y_train), (x_test, y_test)``."""


@dataclass(frozen=True)
class Source:
    """Where a file is, and its sum (None: nobody has published one)."""

    origin: str
    sum: str | None


SOURCES = {
    "mnist.npz": Source(
        f"{GOOGLE}mnist.npz", "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
    ),
    "imdb.npz": Source(
        f"{GOOGLE}imdb.npz", "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f"
    ),
    "imdb_word_index.json": Source(
        f"{GOOGLE}imdb_word_index.json", "bfafd718b763782e994055a2d397834f"
    ),
    "reuters.npz": Source(
        f"{GOOGLE}reuters.npz", "d6586e694ee56d7a4e65172e12b3e987c03096cb01eab99753921ef915959916"
    ),
    "reuters_word_index.json": Source(
        f"{GOOGLE}reuters_word_index.json", "4d44cc38712099c9e383dc6e5f11a921"
    ),
    "boston_housing.npz": Source(
        f"{GOOGLE}boston_housing.npz", "f553886a1f8d56431e820c5b82552d9d95cfcb96d1e678153f8839538947dff5"
    ),
    "california_housing.npz": Source(
        f"{GOOGLE}california_housing.npz", "1a2e3a52e0398de6463aebe6f4a8da34fb21fbb6b934cf88c3425e766f2a1a6f"
    ),
    "cifar-10-batches-py-target": Source(
        f"{TORONTO}cifar-10-python.tar.gz", "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
    ),
    "cifar-100-python-target": Source(
        f"{TORONTO}cifar-100-python.tar.gz", "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"
    ),
    **{
        name: Source(f"{GOOGLE}{name}", None)
        for name in (
            "train-labels-idx1-ubyte.gz", "train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz",
            "t10k-images-idx3-ubyte.gz",
        )
    },
}  # fmt: skip
"""The files that Keras's loaders read; addresses and sums are the publishers'."""


def path_of(name: str, called: str | None = None, folder: str = "datasets", extract: bool = False) -> Path:
    """The file, or the folder of an archive, in the cache folder; fetched if it is not there.

    Args:
        name: in `SOURCES`.
        called: what it is called in the cache folder, if otherwise.
    """
    source = SOURCES[name]
    found = get_file(
        called or name, source.origin, file_hash=source.sum, cache_subdir=folder, extract=extract
    )
    return Path(found)


_ALLOWED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
}
"""What a pickle may make besides lists, dicts, numbers and texts: arrays."""


class _Arrays(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it would make {module}.{name}")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def unpickled(stream: Any, path: Path) -> Any:
    """What a pickle holds, if that is arrays and plain data; else `FileFormatError`: no code of a file is run."""
    try:
        return _Arrays(stream, encoding="bytes").load()  # of what is allowed above only
    except (pickle.UnpicklingError, EOFError, ValueError, KeyError, AttributeError, ImportError) as error:
        raise FileFormatError(f"{path} is no data set: {error}.") from error


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` file, those of lists too."""
    found = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".npy"):
                    found[name[:-4]] = _array(io.BytesIO(archive.read(name)), path)
    except (zipfile.BadZipFile, OSError) as error:
        raise FileFormatError(f"{path} is no .npz file: {error}.") from error
    return found


def _array(stream: io.BytesIO, path: Path) -> np.ndarray:
    try:
        return np.lib.format.read_array(stream, allow_pickle=False)
    except ValueError:  # an array of objects: lists of different lengths
        stream.seek(0)
    try:
        version = np.lib.format.read_magic(stream)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        read(stream)
    except ValueError as error:
        raise FileFormatError(f"{path} holds no array: {error}.") from error
    return np.asarray(unpickled(stream, path), object)


def json_of(path: Path) -> Any:
    """What a JSON file holds."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FileFormatError(f"{path} is no JSON: {error}.") from error


def shuffled(x: Any, y: Any, seed: int) -> tuple[Any, Any]:
    """Both in the order that Keras's loaders give them, by NumPy's older generator."""
    order = np.arange(len(x))
    np.random.RandomState(seed).shuffle(order)  # the order that everybody knows
    return x[order], y[order]


def parted(x: Any, y: Any, share: float) -> Split:
    """The first examples for training, and the last ``share`` of them for testing."""
    cut = int(len(x) * (1 - share))
    return (x[:cut], y[:cut]), (x[cut:], y[cut:])


def check_share(share: Any) -> None:
    """Raise `ArgumentError` unless it is a share."""
    if not isinstance(share, int | float) or not 0 <= share < 1:
        raise ArgumentError(
            f"Invalid `test_split` argument: {share}. It must be between 0 and 1 (exclusive of 1)."
        )
