"""Reuters: 11,228 newswires of 46 topics, as numbers of words."""

from __future__ import annotations

from unifront.datasets.files import Split, arrays_of, check_share, json_of, parted, path_of, shuffled
from unifront.datasets.words import as_objects, known_ones, need_some, prepared, short_ones

TOPICS = (
    "cocoa", "grain", "veg-oil", "earn", "acq", "wheat", "copper", "housing", "money-supply", "coffee", "sugar",
    "trade", "reserves", "ship", "cotton", "carcass", "crude", "nat-gas", "cpi", "money-fx", "interest", "gnp",
    "meal-feed", "alum", "oilseed", "gold", "tin", "strategic-metal", "livestock", "retail", "ipi", "iron-steel",
    "rubber", "heat", "jobs", "lei", "bop", "zinc", "orange", "pet-chem", "dlr", "gas", "silver", "wpi", "hog", "lead",
)  # fmt: skip


def load_data(
    path: str = "reuters.npz",
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    test_split: float = 0.2,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int | None = 3,
) -> Split:
    """``(x_train, y_train), (x_test, y_test)``: arrays of lists of ints, and topics; arguments as of IMDB's.

    Args:
        test_split: which share is for testing.

    Source: ``keras.datasets.reuters``.
    """
    check_share(test_split)
    found = arrays_of(path_of("reuters.npz", path))
    texts, labels = shuffled(found["x"], found["y"], seed)
    offset = index_from if start_char is not None or index_from else None
    kept, labels = short_ones(prepared(texts, start_char, offset), labels, maxlen)
    need_some(kept, maxlen)
    (x, y), (x_test, y_test) = parted(known_ones(kept, num_words, skip_top, oov_char), labels, test_split)
    return (as_objects(list(x)), y), (as_objects(list(x_test)), y_test)


def get_word_index(path: str = "reuters_word_index.json") -> dict[str, int]:
    """The numbers of words, from 1; `load_data` adds ``index_from``."""
    return json_of(path_of("reuters_word_index.json", path))


def get_label_names() -> tuple[str, ...]:
    """The 46 topics, in the order of their numbers."""
    return TOPICS
