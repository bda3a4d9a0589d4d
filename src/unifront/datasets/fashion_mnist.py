"""Fashion-MNIST: 70,000 pictures of clothes (Xiao, Rasul, Vollgraf 2017)."""

import gzip
import os
from pathlib import Path

import numpy as np

from unifront.datasets.files import Part, Split, path_of
from unifront.errors import FileFormatError

FOLDER = os.path.join("datasets", "fashion-mnist")


def load_data() -> Split:
    """``(x_train, y_train), (x_test, y_test)`` as of MNIST; the labels are kinds of clothes.

    Source: ``keras.datasets.fashion_mnist``.
    """
    return _part("train"), _part("t10k")


def _part(name: str) -> Part:
    labels = _bytes(path_of(f"{name}-labels-idx1-ubyte.gz", folder=FOLDER), 8)
    path = path_of(f"{name}-images-idx3-ubyte.gz", folder=FOLDER)
    pixels = _bytes(path, 16)
    if len(pixels) != len(labels) * 28 * 28:
        raise FileFormatError(f"{path} holds {len(pixels)} pixels; {len(labels)} images have 28 x 28 each.")
    return pixels.reshape(-1, 28, 28), labels


def _bytes(path: Path, offset: int) -> np.ndarray:
    try:
        return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=offset)
    except (OSError, EOFError, ValueError) as error:
        raise FileFormatError(f"{path} is no file of IDX, packed by gzip: {error}.") from error
