"""Arrays in files of others: what they are is known before they are read, and they are taken all, or none is."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from unifront.errors import FileFormatError
from unifront.weights import Variable, together

_SHOWN = 5
_LONGEST = 120


@dataclass(frozen=True)
class Stored:
    """An array in a file.

    Args:
        name: what it is called there.
        shape: its shape, after `changed` if that was called.
        dtype: its dtype in NumPy.
        read: reads it. The shape is compared with what is wanted first, so that no file decides what is allocated.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], np.ndarray]

    def changed(self, change: Callable[[np.ndarray], np.ndarray]) -> Stored:
        """The array as ``change`` makes it: transposed, reshaped or a part of it.

        Raises `FileFormatError` where its shape does not admit that.
        """
        try:  # the change is tried on an array of this shape that takes no memory
            shape = change(np.broadcast_to(np.zeros((), self.dtype), self.shape)).shape
        except (ValueError, IndexError):
            raise FileFormatError(f"{self.name[:_LONGEST]} is {self}, which does not fit its layer") from None
        return replace(self, shape=shape, read=lambda: change(self.read()))

    def __str__(self) -> str:
        return f"{self.dtype.name}{list(self.shape)}"


def take(
    path: Path, model_name: str, wanted: Mapping[str, Variable], given: Mapping[str, Stored],
    extra: Iterable[str] = (), hint: str = "", skip_mismatch: bool = False,
) -> None:  # fmt: skip
    """Give the variables ``wanted`` the arrays ``given`` for them, all or none.

    Args:
        path: the file, for errors.
        model_name: likewise.
        wanted: the variables by what they are called in the model.
        given: the arrays by the same names.
        extra: what is in the file beside them.
        hint: what to try, if they do not fit.
        skip_mismatch: take what fits instead, layer by layer.

    Raises `FileFormatError` telling what is missing, left over, or of another shape.
    """
    if skip_mismatch:
        wanted, extra = fitting(wanted, lambda name: name in given and _fits(given[name], wanted[name])), ()
    wrong = misfit(wanted, given, extra)
    if wrong:
        raise FileFormatError(f"{path} does not fit the model {model_name!r}: {wrong}.{hint}")
    values = {name: np.asarray(given[name].read()) for name in wanted}
    with together(wanted.values()):
        for name, value in values.items():
            wanted[name].assign(value)


def fitting(wanted: Mapping[str, Variable], fits: Callable[[str], bool]) -> dict[str, Variable]:
    """The variables of those layers of which each one ``fits``, as Keras goes by layers too."""
    left = {name.rpartition("/")[0] for name in wanted if not fits(name)}
    return {name: variable for name, variable in wanted.items() if name.rpartition("/")[0] not in left}


def misfit(wanted: Mapping[str, Variable], given: Mapping[str, Stored], extra: Iterable[str] = ()) -> str:
    """What is wrong with what is given; nothing if it is what is wanted."""
    extra = sorted(extra)
    missing = [name for name in wanted if name not in given]
    odd = [name for name in wanted if name in given and not _fits(given[name], wanted[name])]
    parts = []
    if missing:
        close = difflib.get_close_matches(missing[0], extra, n=1)
        nearest = f" (the nearest in it: {close[0][:_LONGEST]})" if close else ""
        parts.append(f"it lacks {len(missing)} of {len(wanted)} weights: {_few(missing)}{nearest}")
    if extra:
        parts.append(f"it holds {len(extra)} that the model does not have: {_few(extra)}")
    if odd:
        told = [f"{name} is {given[name]} there and {wanted[name].type} in the model" for name in odd]
        parts.append(f"{len(odd)} of another shape: {_few(told)}")
    return "; ".join(parts)


def _few(names: list[str]) -> str:
    shown = ", ".join(name[:_LONGEST] for name in names[:_SHOWN])
    return shown + (", …" if len(names) > _SHOWN else "")


def _fits(stored: Stored, variable: Variable) -> bool:
    """Whether shapes are equal, and both are floats or neither is."""
    is_float = stored.dtype.kind in "fV"  # V: bfloat16
    return stored.shape == variable.shape and is_float == variable.dtype.is_float
