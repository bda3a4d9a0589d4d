"""Numbers as JSON has them ↔ arrays, strictly: what does not fit is said, nothing is rounded away or guessed."""

from __future__ import annotations

import json
from itertools import chain
from typing import Any, NoReturn

import numpy as np

from unifront.dtypes import DType, bfloat16, float16, float32
from unifront.serving.errors import Refused

MAX_RANK = 32
_TAKEN: dict[str, tuple[set[type], str]] = {
    "f": ({int, float}, "numbers"),
    "i": ({int}, "whole numbers"),
    "u": ({int}, "whole numbers that are not negative"),
    "b": ({bool}, "true and false"),
}
"""Kinds of dtypes, what JSON's parser makes of what they take, and in words."""
_CALLED = {
    str: "text",
    bool: "true or false",
    type(None): "null",
    dict: "an object",
    float: "fractions",
    int: "whole numbers",
}


def parsed(body: bytes) -> Any:
    """The JSON in ``body``. Raises `Refused` for what is none: NaN and Infinity too, which JSON has not."""
    try:
        return json.loads(body.decode(), parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise Refused(
            400, f"The request is not text in UTF-8: {error.reason} at byte {error.start}."
        ) from None
    except RecursionError:
        raise Refused(400, "The request is JSON of too many levels.") from None
    except ValueError as error:  # JSONDecodeError, and an integer of thousands of digits
        raise Refused(400, f"The request is not JSON: {error}.") from None


def _constant(text: str) -> NoReturn:
    raise Refused(400, f"The request holds {text}, which is no number in JSON.")


def array_of(data: Any, dtype: DType, what: str) -> np.ndarray:
    """Nested lists of numbers as an array. Raises `Refused` where it is none, or does not fit ``dtype``.

    Args:
        what: the numbers, as an error calls them.
    """
    flat, shape = _flat(data, what)
    taken, words = _TAKEN[dtype.kind]
    odd = set(map(type, flat)) - taken
    if odd:
        given = " and ".join(sorted(_CALLED.get(kind, kind.__name__) for kind in odd))
        raise Refused(400, f"{what} takes {words} ({dtype}); {given} was given.")
    through = float32 if dtype in (float16, bfloat16) else dtype
    try:
        with np.errstate(over="ignore"):
            array = np.array(flat, through.numpy).astype(dtype.numpy, copy=False)
    except OverflowError:
        raise Refused(400, f"{what} holds a number that {dtype} cannot hold.") from None
    if dtype.is_float and not np.isfinite(array.astype(np.float64, copy=False)).all():
        raise Refused(400, f"{what} holds a number that is too large for {dtype}.")
    return array.reshape(shape)


def _flat(data: Any, what: str) -> tuple[list[Any], tuple[int, ...]]:
    """What is in nested lists, and their shape."""
    level, shape = [data], list[int]()
    while (kinds := set(map(type, level))) == {list}:
        lengths = sorted(set(map(len, level)))
        if len(lengths) > 1:
            raise Refused(
                400,
                f"{what} is ragged: on level {len(shape) + 1} there are lists of {lengths[0]} and {lengths[1]}.",
            )
        if len(shape) == MAX_RANK:
            raise Refused(400, f"{what} has more than {MAX_RANK} levels of lists.")
        shape.append(lengths[0])
        level = list(chain.from_iterable(level))
    if list in kinds:
        raise Refused(400, f"{what} is ragged: on level {len(shape) + 1} there are lists beside numbers.")
    return level, tuple(shape)


def listed(array: np.ndarray, what: str) -> Any:
    """An array as nested lists. Raises `Refused` for numbers that JSON has not."""
    if array.dtype.kind not in "biu":
        array = array.astype(np.float64)  # exact, of every float
        if not np.isfinite(array).all():
            raise Refused(
                500,
                f"{what} holds NaN or infinite numbers, which JSON has not; binary data of /v2 may hold them.",
            )
    return array.tolist()
