"""Strings: they live on the host, in NumPy arrays, before any graph."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unifront import tree
from unifront.arguments import shown
from unifront.backends import backend_of, use_backend
from unifront.dtypes import dtype_of
from unifront.errors import ArgumentError, DTypeError, FileFormatError
from unifront.layers.layer import Layer
from unifront.layers.preprocessing.data import array_of, is_array
from unifront.opset.tensor import Tensor

LARGEST_FILE = 2**31
"""Bytes: more is no vocabulary."""
TEXTS = ("a", "a b")
"""Of one word and of two."""


class HostLayer(Layer):
    """A layer on strings: plain Python on NumPy arrays and lists, before the graph.

    It is called on data: in a generator, a torch ``Dataset``, the map of a ``tf.data.Dataset``, or on whole arrays. In
    a graph there are no strings.
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
        return called_on_host(self, args, kwargs)

    def examples(self) -> tuple[Any, Any]:
        """Two texts (or ints) that the layer takes, which its results are found out by."""
        return TEXTS


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


# ---------------------------------------------------------------- arrays that have no value yet


@dataclass(frozen=True)
class Awaited:
    """An array that has no value yet: the name of its dtype (or ``"string"``), and its sizes, None for free ones.

    Args:
        values: two that may be in it, texts or ints.
    """

    dtype: str
    shape: tuple[int | None, ...]
    values: tuple[Any, Any] = TEXTS

    def example(self, number: int) -> np.ndarray:
        """An array like it, the first or the second (0, 1), whose free sizes differ."""
        shape, value = tuple(2 + number if one is None else one for one in self.shape), self.values[number]
        if self.dtype == "string":
            return np.full(shape, str(value), object)
        return np.full(shape, 0 if isinstance(value, str) else value, dtype_of(self.dtype).numpy)


def told(function: Callable[..., Any], arguments: Any) -> Any:
    """What ``function`` gives for arguments that hold `Awaited` in the place of arrays, as such: by two calls on
    examples. Sizes that differ between these are free."""

    def called(number: int) -> Any:
        given = tree.map_leaves(
            lambda leaf: leaf.example(number) if isinstance(leaf, Awaited) else leaf, arguments
        )
        with use_backend("numpy"):
            return function(*given)

    first, second = called(0), called(1)
    others = iter(tree.leaves(second))

    def both(one: Any) -> Awaited:
        array, other = array_of(one), array_of(next(others))
        sizes = (a if a == b else None for a, b in zip(array.shape, other.shape, strict=True))
        return Awaited("string" if array.dtype.kind in "OSUT" else dtype_of(array.dtype).name, tuple(sizes))

    return tree.map_leaves(both, first)


def on_host(function: Callable[..., Any], arguments: Any, examples: Iterable[tuple[Any, Any]]) -> Any:
    """The results of ``function`` where arrays among ``arguments`` have no values yet, as in the map of a
    ``tf.data.Dataset``: it runs on the host once they have. None where they have.

    Args:
        examples: for each leaf of the arguments two values that it may have, texts or ints.
    """
    leaves = tree.leaves(arguments)
    backends = [backend_of(leaf) for leaf in leaves]
    known = [
        None if backend is None else backend.awaited(leaf)
        for backend, leaf in zip(backends, leaves, strict=True)
    ]
    waiting = [i for i, one in enumerate(known) if one is not None]
    if not waiting:
        return None
    kinds = refilled(
        arguments,
        [
            leaf if one is None else Awaited(*one, values)
            for leaf, one, values in zip(leaves, known, examples, strict=False)
        ],
    )
    backend = backends[waiting[0]]
    assert backend is not None
    with backend.outside():  # a function of the user's may compute in the framework, as it does later
        results = told(function, kinds)

    def run(*given: Any) -> list[np.ndarray]:
        values = iter(given)
        arguments = tree.map_leaves(lambda leaf: next(values) if isinstance(leaf, Awaited) else leaf, kinds)
        with use_backend("numpy"):
            found = function(*arguments)
        return [_plain(array_of(one)) for one in tree.leaves(found)]

    wanted = [(one.dtype, one.shape) for one in tree.leaves(results)]
    return refilled(results, backend.later(run, [leaves[i] for i in waiting], wanted))


def refilled(structure: Any, leaves: Iterable[Any]) -> Any:
    """The same structure with other leaves, in their order."""
    found = iter(leaves)
    return tree.map_leaves(lambda _: next(found), structure)


def _plain(array: np.ndarray) -> np.ndarray:
    """Strings as bytes, which frameworks take."""
    if array.dtype.kind not in "OUT":
        return np.asarray(array)
    found = np.empty(array.shape, object)
    found.reshape(-1)[:] = [text_of(one).encode() for one in array.astype(object).reshape(-1)]
    return found


def called_on_host(layer: Any, args: Any, kwargs: Any) -> Any:
    """What the call of a layer that works on the host gives, at once or when there are values."""

    def call(args: Any, kwargs: Any) -> Any:
        return layer.call(*args, **kwargs)

    found = on_host(call, [args, kwargs], itertools.repeat(layer.examples()))
    return call(args, kwargs) if found is None else found
