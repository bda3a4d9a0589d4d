"""Texts as numbers of words, as the data sets of reviews and of news have them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unifront.errors import ArgumentError


def prepared(texts: Any, start: int | None, index_from: int | None) -> list[list[int]]:
    """Texts that begin with ``start``, and whose words are counted from ``index_from``."""
    begin = [] if start is None else [start]
    offset = index_from or 0
    return [begin + [int(word) + offset for word in text] for text in texts]


def short_ones(
    texts: list[list[int]], labels: np.ndarray, maxlen: int | None
) -> tuple[list[list[int]], np.ndarray]:
    """Those of fewer than ``maxlen`` words; all of them without it."""
    if not maxlen:
        return texts, labels
    kept = [i for i, text in enumerate(texts) if len(text) < maxlen]
    return [texts[i] for i in kept], labels[kept]


def known_ones(
    texts: list[list[int]], num_words: int | None, skip_top: int, oov: int | None
) -> list[list[int]]:
    """Texts with the words from ``skip_top`` to ``num_words``: the others are ``oov``, or left out if that is None."""
    top = num_words or max((max(text) for text in texts if text), default=0)
    if oov is None:
        return [[word for word in text if skip_top <= word < top] for text in texts]
    return [[word if skip_top <= word < top else oov for word in text] for text in texts]


def as_objects(texts: list[list[int]]) -> np.ndarray:
    """One array of lists, whatever their lengths."""
    found = np.empty(len(texts), object)
    found[:] = texts
    return found


def need_some(texts: Sequence[Any], maxlen: int | None) -> None:
    """Raise `ArgumentError` if no text was short enough."""
    if not len(texts):
        raise ArgumentError(
            f"After filtering for sequences shorter than maxlen={maxlen}, no sequence was kept. Increase maxlen."
        )
