"""Folders of texts as datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unifront.errors import ArgumentError, DataError
from unifront.utils.examples import Part
from unifront.utils.folders import Folder


def text_dataset_from_directory(
    directory: Any,
    labels: Any = "inferred",
    label_mode: str | None = "int",
    class_names: Any = None,
    batch_size: int | None = 32,
    max_length: int | None = None,
    shuffle: bool = True,
    seed: int | None = None,
    validation_split: float | None = None,
    subset: str | None = None,
    follow_links: bool = False,
    format: str | None = None,
    verbose: bool = True,
) -> Any:
    """The ``.txt`` files in a folder as a dataset of batches of texts: arrays of Python's strings.

    Args:
        max_length: of how many characters texts are; longer ones are cut.
        format: as of `image_dataset_from_directory`, whose other arguments these are too.

    Files are UTF-8. Raises `DataError` for a folder without texts, and, when it is read, for a file that is no UTF-8.
    Source: ``keras.utils.text_dataset_from_directory``.

    Example::

        texts = uf.utils.text_dataset_from_directory("reviews", label_mode=None)
        words = uf.layers.TextVectorization(max_tokens=10_000)
        words.adapt(texts)
    """
    if max_length is not None and (not isinstance(max_length, int) or max_length < 0):
        raise ArgumentError(f"`max_length` is an int >= 0 or None. Received: {max_length!r}")

    def read(path: str) -> str:
        try:
            return Path(path).read_bytes().decode("utf-8")[:max_length]
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is no text in UTF-8: {error.reason} at byte {error.start}.") from error
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}.") from error

    folder = Folder(
        ("text files", "text"), (".txt",), directory, labels, label_mode, class_names, batch_size, shuffle, seed,
        validation_split, subset, follow_links, format, verbose,
    )  # fmt: skip
    return folder.datasets(read, Part("str", ()))
