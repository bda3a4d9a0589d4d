"""How the two CIFAR data sets are read (Krizhevsky 2009)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from unifront.datasets.files import Part, unpickled
from unifront.errors import FileFormatError
from unifront.opset.data_format import image_data_format


def read(files: Sequence[Path], labels: str) -> Part:
    """Images uint8 ``[examples, 32, 32, 3]`` (or the channels first) and labels ``[examples, 1]``."""
    images, numbers = [], []
    for file in files:
        with file.open("rb") as stream:
            found = unpickled(stream, file)
        try:
            images.append(np.asarray(found[b"data"], np.uint8).reshape(-1, 3, 32, 32))
            numbers.append(np.asarray(found[labels.encode()]).reshape(-1, 1))
        except (KeyError, TypeError, ValueError) as error:
            raise FileFormatError(f"{file} is no batch of CIFAR: {error!r}.") from error
    x, y = np.concatenate(images), np.concatenate(numbers)
    return (x.transpose(0, 2, 3, 1) if image_data_format() == "channels_last" else x), y
