"""Texts as sequences of integers, or as vectors of what occurs in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Self, Unpack

import numpy as np

from unifront.arguments import Size, in_order, shown
from unifront.errors import ArgumentError, ShapeError, UnknownName
from unifront.layers.configs import plain, revived
from unifront.layers.preprocessing.data import batches, is_array
from unifront.layers.preprocessing.encoding import Dense
from unifront.layers.preprocessing.lookup import StringLookup
from unifront.layers.preprocessing.strings import HostLayer, strings_of
from unifront.layers.preprocessing.vocabulary import OLDER, LookupOptions, Tokens
from unifront.opset.rules import is_whole

_LOWER = {ord(one): one.lower() for one in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}  # as TensorFlow: of ASCII only
_PUNCTUATION = dict.fromkeys(map(ord, "!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~'"))
_WORD = re.compile(r"[^ \t\n\r\f\v]+")

STANDARDS: dict[str, Callable[[str], str]] = {
    "lower": lambda text: text.translate(_LOWER),
    "strip_punctuation": lambda text: text.translate(_PUNCTUATION),
    "lower_and_strip_punctuation": lambda text: text.translate(_LOWER).translate(_PUNCTUATION),
}
SPLITS: dict[str, Callable[[str], list[str]]] = {"whitespace": _WORD.findall, "character": list}


class TextVectorization(HostLayer):
    """Texts as integers: each is standardized, split into tokens, joined to n-grams, and looked up in a vocabulary.

    It runs on the host: call it on lists of str or arrays of strings, before the graph; see `HostLayer`.

    Args:
        max_tokens: the size of the vocabulary at most, padding and unknown tokens included.
        standardize: ``"lower_and_strip_punctuation"``, ``"lower"`` (both of ASCII letters, as in Keras),
            ``"strip_punctuation"``, None, or a function from an array of str to one of the same shape.
        split: ``"whitespace"``, ``"character"``, None, or a function from an array of texts to a list of lists.
        ngrams: n for n-grams up to that length, or a tuple of lengths; tokens are joined by spaces.
        output_mode: ``"int"``: ``[batch, length]``, padded with 0; ``"multi_hot"``, ``"count"``, ``"tf_idf"``: a vector
            of the size of the vocabulary for each text.
        output_sequence_length: in the mode ``"int"``, the length to which all are cut or padded.
        pad_to_max_tokens, vocabulary, idf_weights, encoding: as of `StringLookup`.
        sparse, ragged: taken at False only.

    Source: ``keras.layers.TextVectorization``.

    Example::

        layer = layers.TextVectorization(vocabulary=["good", "movie"])
        layer(["A good movie!", "Movie?"])  # [[1 2 3], [3 0 0]]
    """

    @in_order("name")
    def __init__(
        self,
        max_tokens: Tokens | None = None,
        standardize: Any = "lower_and_strip_punctuation",
        split: Any = "whitespace",
        ngrams: Any = None,
        output_mode: Literal["int", "multi_hot", "count", "tf_idf", "one_hot", "binary", "tf-idf"] = "int",
        output_sequence_length: Size | None = None,
        pad_to_max_tokens: bool = False,
        vocabulary: Any = None,
        idf_weights: Any = None,
        sparse: Dense = False,
        ragged: Dense = False,
        encoding: str = "utf-8",
        **options: Unpack[LookupOptions],
    ) -> None:
        own: Any = options
        has_input_vocabulary = own.pop("has_input_vocabulary")
        own.pop("vocabulary_size")  # what a config tells of the vocabulary that it has
        super().__init__(**own)
        for name, value, known in (("standardize", standardize, STANDARDS), ("split", split, SPLITS)):
            if (
                value is not None
                and (not callable(value) or isinstance(value, type))
                and (not isinstance(value, str) or value not in known)
            ):
                raise UnknownName(f"{name} of TextVectorization", value, known)
        self.output_mode: Any = OLDER.get(output_mode, output_mode)
        if self.output_mode != "int" and output_sequence_length is not None:
            raise ArgumentError(
                "`output_sequence_length` must not be set if `output_mode` is not 'int'. "
                f"Received output_sequence_length={output_sequence_length}."
            )
        self.max_tokens, self.standardize, self.split = max_tokens, standardize, split
        self.ngrams, self._widths = ngrams, _widths(ngrams)
        self.output_sequence_length, self.pad_to_max_tokens = output_sequence_length, pad_to_max_tokens
        self.sparse, self.ragged, self.encoding = sparse, ragged, encoding
        mode: Any = self.output_mode
        lookup = StringLookup(
            max_tokens, mask_token="", vocabulary=vocabulary, idf_weights=idf_weights, output_mode=mode,
            pad_to_max_tokens=pad_to_max_tokens, encoding=encoding, has_input_vocabulary=has_input_vocabulary,
        )  # fmt: skip
        self._lookup_layer = lookup  # as Keras's files call it

    @property
    def lookup(self) -> StringLookup:
        """The layer that holds the vocabulary."""
        return self._lookup_layer

    def get_config(self) -> dict[str, Any]:
        """The arguments to make it again with; the vocabulary too, also one that was learned."""
        inner = self.lookup.get_config()
        told: dict[str, Any] = {
            name: inner[name]
            for name in ("vocabulary", "idf_weights", "vocabulary_size", "has_input_vocabulary")
            if name in inner
        }
        return {
            **self._base_config(), "max_tokens": self.max_tokens, "standardize": plain(self.standardize),
            "split": plain(self.split), "ngrams": self.ngrams, "output_mode": self.output_mode,
            "output_sequence_length": self.output_sequence_length, "pad_to_max_tokens": self.pad_to_max_tokens,
            "sparse": self.sparse, "ragged": self.ragged, "encoding": self.encoding, **told,
        }  # fmt: skip

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """A layer from what `get_config` gave, here or in Keras."""
        made = {name: revived(value) for name, value in config.items()}
        if isinstance(made.get("ngrams"), list):
            made["ngrams"] = tuple(made["ngrams"])
        return cls(**made)

    # ------------------------------------------------------------ the vocabulary

    def set_vocabulary(self, vocabulary: Any, idf_weights: Any = None) -> None:
        """Take a vocabulary; see `StringLookup.set_vocabulary`."""
        self.lookup.set_vocabulary(vocabulary, idf_weights)

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[str]:
        """The tokens in the order of their indices."""
        return self.lookup.get_vocabulary(include_special_tokens)

    def vocabulary_size(self) -> int:
        """How many indices there are, those of padding and unknown tokens included."""
        return self.lookup.vocabulary_size()

    def load_own_variables(self, store: Mapping[str, Any]) -> None:
        """As of `StringLookup`; Keras's files have it twice."""
        self.lookup.load_own_variables(store)

    def load_assets(self, dir_path: str) -> None:
        """As of `StringLookup`; Keras's files have it twice."""
        self.lookup.load_assets(dir_path)

    def adapt(self, data: Any, batch_size: int | None = None, steps: int | None = None) -> None:
        """Learn the vocabulary from texts.

        Args:
            data: a list or array of texts, or an iterable of batches of them, such as a ``tf.data.Dataset``.
            batch_size: taken as Keras takes it; nothing depends on it.
            steps: how many batches to take at most.
        """
        self.reset_state()
        if is_array(data) or isinstance(data, list | tuple | str):
            texts = strings_of(data, self.encoding)
            self.update_state(texts[:, None] if texts.ndim == 1 else texts)
        else:
            for batch in batches(data, steps):
                self.update_state(batch)
        self.finalize_state()

    def update_state(self, data: Any) -> None:
        """Let the tokens of a batch of texts count too."""
        tokens = self.tokens(data)
        if isinstance(tokens, np.ndarray):
            self.lookup.update_state(tokens)
        elif self.lookup._given:
            self.lookup.update_state(np.empty((0, 0), object))  # which says that there is a vocabulary
        else:
            self.lookup.count_documents(tokens)

    def finalize_state(self) -> None:
        """Make the vocabulary of what was counted."""
        self.lookup.finalize_state()

    def reset_state(self) -> None:
        """Forget what was counted."""
        self.lookup.reset_state()

    # ------------------------------------------------------------ texts to indices

    def tokens(self, inputs: Any) -> Any:
        """The tokens of texts: a list for each text, or the array as it was if nothing is split."""
        texts = strings_of(inputs, self.encoding)
        if callable(self.standardize):
            texts = strings_of(self.standardize(texts.astype(str)), self.encoding)
        elif self.standardize is not None:
            standard = STANDARDS[self.standardize]
            texts = _like(texts, [standard(text) for text in texts.reshape(-1)])
        if self.split is None:
            return texts if self._widths is None else self._joined(texts)
        if texts.ndim > 1:
            if texts.shape[-1] != 1:
                raise ShapeError(
                    "When using `TextVectorization` to tokenize strings, the input rank must be 1 or the last shape "
                    f"dimension must be 1. Received: inputs.shape={texts.shape} with rank={texts.ndim}"
                )
            texts = texts[..., 0]
        if texts.ndim > 1:
            raise ShapeError(
                f"TextVectorization splits texts of shape [batch] or [batch, 1], not {texts.shape}."
            )
        split = self.split if callable(self.split) else _each(SPLITS[self.split])
        rows = [
            strings_of(row if is_array(row) else list(row), self.encoding).reshape(-1).tolist()
            for row in split(texts.reshape(-1))
        ]
        rows = rows if self._widths is None else [_ngrams(row, self._widths) for row in rows]
        return rows if texts.ndim else np.array(rows[0], object)

    def _joined(self, texts: np.ndarray) -> np.ndarray:
        assert self._widths is not None
        if texts.ndim == 0:
            raise ShapeError("TextVectorization: ngrams of what is not split need an axis of tokens.")
        rows = [_ngrams(row.tolist(), self._widths) for row in texts.reshape(-1, texts.shape[-1])]
        return strings_of(rows).reshape(*texts.shape[:-1], -1)

    def call(self, inputs: Any) -> Any:
        tokens = self.tokens(inputs)
        lookup = self.lookup
        if isinstance(tokens, np.ndarray):
            indices = lookup.indices(tokens)
        else:
            longest = max(map(len, tokens), default=0)
            fill = 0 if self.output_mode == "int" else -1
            indices = np.full((len(tokens), longest), fill, np.int64)
            flat = lookup.indices(_like(None, [token for row in tokens for token in row]))
            ends = np.cumsum([len(row) for row in tokens])
            for i, row in enumerate(np.split(flat, ends[:-1]) if len(tokens) else ()):
                indices[i, : len(row)] = row
        if self.output_mode != "int":
            return lookup.encode(indices)
        return indices if self.output_sequence_length is None else _cut(indices, self.output_sequence_length)


LONGEST = 2**16
"""No n-gram has more tokens."""


def _widths(ngrams: Any) -> tuple[int, ...] | None:
    if ngrams is None:
        return None
    widths = tuple(range(1, ngrams + 1)) if is_whole(ngrams) and ngrams <= LONGEST else ngrams
    fits = isinstance(widths, tuple) and widths and all(is_whole(n) and 0 < n <= LONGEST for n in widths)
    if not fits:
        raise ArgumentError(
            f"`ngrams` must be None, an integer, or a tuple of integers. Received: ngrams={shown(ngrams)}"
        )
    return tuple(widths)


def _each(split: Callable[[str], list[str]]) -> Callable[[np.ndarray], list[list[str]]]:
    return lambda texts: [split(text) for text in texts]


def _ngrams(tokens: Sequence[str], widths: tuple[int, ...]) -> list[str]:
    return [" ".join(tokens[i : i + n]) for n in widths for i in range(len(tokens) - n + 1)]


def _like(array: np.ndarray | None, strings: list[str]) -> np.ndarray:
    found = np.empty(len(strings), object)
    found[:] = strings
    return found if array is None else found.reshape(array.shape)


def _cut(indices: np.ndarray, length: int) -> np.ndarray:
    """Rows of ``length``, cut or padded with 0."""
    cut = indices[..., :length]
    return np.pad(cut, [(0, 0)] * (cut.ndim - 1) + [(0, length - cut.shape[-1])])
