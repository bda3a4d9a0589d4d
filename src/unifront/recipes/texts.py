"""Texts, character by character."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import unifront as uf
from unifront.errors import ArgumentError, DataError
from unifront.recipes import bundled
from unifront.recipes.data import Prepared, Read
from unifront.recipes.schema import Characters
from unifront.recipes.text import Text


def prepare(text: Text, given: Characters, seed: int) -> Prepared:
    """The text that a recipe names: its last share is held out."""
    if given.text not in bundled.TEXTS and not Path(given.text).is_file():
        known = ", ".join(bundled.TEXTS)
        raise text.error(("data", "text"), f"there is no file {given.text!r}. Bundled: {known}.")
    characters = of_file(given.text)
    known_characters = sorted(set(characters))
    notes: dict[str, Any] = {
        "kind": "text", "characters": "".join(known_characters), "length": given.length,
        "stride": given.stride or given.length,
    }  # fmt: skip
    codes = encoded(notes, characters, given.text)
    cut = len(codes) - round(given.validation * len(codes))
    train, held = (windows(part, notes) for part in (codes[:cut], codes[cut:]))
    if not len(train[0]):
        raise text.error(
            ("data", "length"),
            f"the {cut} characters to train on are too few for one example of {given.length} and the next one.",
        )
    tensor = uf.Input((None,), name="characters", dtype="int32")
    return Prepared(
        train, held if len(held[0]) else None, len(train[0]), tensor, lambda x: x, len(known_characters),
        "characters", notes,
    )  # fmt: skip


def of_file(name: str) -> str:
    """The text in a file, or the bundled one of this name."""
    if name in bundled.TEXTS:
        return bundled.TEXTS[name]()
    try:
        return Path(name).read_bytes().decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is no text in UTF-8: {error.reason} at byte {error.start}.") from error


def encoded(notes: dict[str, Any], characters: str, where: str) -> np.ndarray:
    """The number of each character."""
    numbers = {one: i for i, one in enumerate(notes["characters"])}
    odd = sorted(set(characters) - set(numbers))
    if odd:
        raise DataError(f"{where} has the character {odd[0]!r}, which the text trained on has not.")
    return np.fromiter((numbers[one] for one in characters), np.int32, len(characters))


def windows(codes: np.ndarray, notes: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Characters ``[examples, length]``, and for each the next one."""
    length = notes["length"]
    if len(codes) <= length:
        return np.empty((0, length), np.int32), np.empty((0, length), np.int32)
    found = np.lib.stride_tricks.sliding_window_view(codes, length + 1)[:: notes["stride"]]
    return found[:, :-1], found[:, 1:]


def again(notes: dict[str, Any], paths: Sequence[str], targets: bool) -> Read:
    """A text to evaluate on; or what a text begins with, to be gone on with."""
    if targets:
        if len(paths) != 1:
            raise ArgumentError(f"One text is read at a time; {len(paths)} were given.")
        if paths[0] not in bundled.TEXTS and not Path(paths[0]).is_file():
            raise DataError(f"{paths[0]}: there is no such file.")
        x, y = windows(encoded(notes, of_file(paths[0]), paths[0]), notes)
        if not len(x):
            raise DataError(
                f"{paths[0]} is too short: an example has {notes['length']} characters and the next one."
            )
        return Read(x, y, [f"character {i * notes['stride'] + 1}" for i in range(len(x))])
    start = " ".join(paths) or notes["characters"][0]
    return Read(encoded(notes, start, "The beginning")[None], None, [start])


def continued(
    notes: dict[str, Any], scores: Callable[[np.ndarray], np.ndarray], start: np.ndarray, count: int,
    temperature: float, seed: int,
) -> str:  # fmt: skip
    """``count`` characters after ``start``, each drawn by the model's logits over ``temperature``; 0: the best.

    The model sees ``length`` characters at most, as many as in training; those before the beginning are blanks of the
    text, so that all calls have one shape.
    """
    rng = np.random.default_rng(seed)
    codes = list(start)
    blank = max(notes["characters"].find(" "), 0)
    length = notes["length"]
    for _ in range(count):
        seen = codes[-length:]
        padded = np.asarray([[blank] * (length - len(seen)) + seen], np.int32)
        logits = scores(padded)[0, -1].astype(np.float64)
        if temperature == 0:
            codes.append(int(np.argmax(logits)))
            continue
        weights = np.exp((logits - logits.max()) / temperature)
        codes.append(int(rng.choice(len(weights), p=weights / weights.sum())))
    return "".join(notes["characters"][one] for one in codes)
