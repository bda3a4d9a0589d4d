"""Strings: they live on the host, in NumPy arrays, before any graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from unifront import tree
from unifront.arguments import shown
from unifront.errors import ArgumentError, DTypeError, FileFormatError
from unifront.layers.layer import Layer
from unifront.layers.preprocessing.data import array_of, is_array
from unifront.opset.tensor import Tensor

LARGEST_FILE = 2**31
"""Bytes: more is no vocabulary."""


class HostLayer(Layer):
    """A layer on strings: plain Python on NumPy arrays and lists, before the graph.

    It is called on data: in a generator, a torch ``Dataset``, or on whole arrays. In a graph there are no strings.
    """

    autocast = False

    def __call__(self, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        if any(isinstance(leaf, Tensor) for leaf in tree.leaves([args, kwargs])):
            raise ArgumentError(
                f"{self.name}: {type(self).__name__} works on strings, which are no tensors, so it cannot be part "
                "of a graph. Map it over the data first, and give the model what it returns: "
                "model.fit(layer(texts), labels)."
            )
        self.built = True
        return self.call(*args, **kwargs)


def text_of(token: Any, encoding: str = "utf-8") -> str:
    """``token`` (a str, or bytes in ``encoding``) as a str; `DTypeError` for anything else."""
    if isinstance(token, str):
        return str(token)
    if isinstance(token, bytes):
        try:
            return token.decode(encoding)
        except UnicodeDecodeError as error:
            raise DTypeError(f"{shown(token)} is not text in {encoding}: {error.reason}.") from None
    raise DTypeError(f"Strings are needed, not {shown(token)}.")


def strings_of(value: Any, encoding: str = "utf-8") -> np.ndarray:
    """A str, lists of such, or an array of strings or bytes of any framework, as an array of str objects."""
    if isinstance(value, str | bytes):
        value = np.array(value, object)
    elif is_array(value) or type(value).__name__ in ("RaggedTensor", "SparseTensor"):
        value = array_of(value)
    else:
        try:
            value = np.array(value, object)
        except ValueError:
            value = np.array([None])
        if any(isinstance(one, list | tuple) for one in value.reshape(-1)):
            raise DTypeError("Lists of unequal lengths are no array of strings; pad them to one length.")
        if value.size == 0:
            return value
    found = np.empty(value.shape, object)
    found.reshape(-1)[:] = [text_of(one, encoding) for one in value.astype(object).reshape(-1)]
    return found


def lines_of(path: Any) -> list[str]:
    """The terms of a vocabulary file: one a line, in UTF-8.

    Raises `ArgumentError` if there is no such file, `FileFormatError` naming file and line for one that is no text.
    """
    file = Path(path)
    if not file.is_file():
        raise ArgumentError(f"Vocabulary file {path} does not exist. It is a text file with one term a line.")
    if file.stat().st_size > LARGEST_FILE:
        raise FileFormatError(f"{path}: {file.stat().st_size} bytes are more than a vocabulary has.")
    lines: list[str] = []
    for number, line in enumerate(file.read_bytes().split(b"\n"), 1):
        try:
            term = line.removesuffix(b"\r").decode("utf-8")
        except UnicodeDecodeError as error:
            raise FileFormatError(f"{path}, line {number}: it is not UTF-8 text ({error.reason}).") from None
        if "\0" in term:
            raise FileFormatError(f"{path}, line {number}: it holds a zero byte, so it is no text.")
        lines.append(term)
    while lines and not lines[-1]:
        lines.pop()
    seen: dict[str, int] = {}
    for number, term in enumerate(lines, 1):
        if seen.setdefault(term, number) != number and term != "[UNK]":
            raise FileFormatError(f"{path}, line {number}: {term!r} is there already, in line {seen[term]}.")
    return lines
