"""IMDB: 50,000 reviews of films, for or against (Maas et al. 2011), as numbers of words."""

from __future__ import annotations

from typing import Any

import numpy as np

from unifront.datasets.files import Split, arrays_of, json_of, path_of
from unifront.datasets.words import as_objects, known_ones, need_some, prepared, short_ones


def load_data(
    path: str = "imdb.npz",
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int | None = 3,
) -> Split:
    """``(x_train, y_train), (x_test, y_test)``: arrays of lists of ints, and labels 0 (against) and 1.

    Args:
        path: what the file is called in the cache folder.
        num_words, skip_top: the range of words to keep, the most frequent first; all unless given.
        maxlen: longer reviews are left out.
        seed: of the order.
        start_char: what each review begins with; None: nothing.
        oov_char: what stands for a word that is not kept; None: nothing.
        index_from: the number of the most frequent word.

    Source: ``keras.datasets.imdb``.
    """
    found = arrays_of(path_of("imdb.npz", path))
    random = np.random.RandomState(seed)  # the order that everybody knows
    parts: list[tuple[Any, Any]] = []
    for name in ("train", "test"):
        order = np.arange(len(found[f"x_{name}"]))
        random.shuffle(order)
        texts = prepared(found[f"x_{name}"][order], start_char, index_from)
        parts.append(short_ones(texts, found[f"y_{name}"][order], maxlen))
        need_some(parts[-1][0], maxlen)
    (train, y_train), (test, y_test) = parts
    every = known_ones(train + test, num_words, skip_top, oov_char)
    return (as_objects(every[: len(train)]), y_train), (as_objects(every[len(train) :]), y_test)


def get_word_index(path: str = "imdb_word_index.json") -> dict[str, int]:
    """The numbers of words, from 1; `load_data` adds ``index_from``."""
    return json_of(path_of("imdb_word_index.json", path))
