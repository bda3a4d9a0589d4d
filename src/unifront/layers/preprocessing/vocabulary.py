"""What layers that look terms up share: the vocabulary, given, learned or read, and the arguments about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from unifront import ops
from unifront.arguments import LARGEST, shown, whole
from unifront.dtypes import floatx
from unifront.errors import ArgumentError, NotBuiltError
from unifront.layers.arguments import LayerOptions
from unifront.layers.layer import Layer
from unifront.layers.preprocessing.data import array_of, batches, is_array
from unifront.layers.preprocessing.encoding import encoded
from unifront.layers.preprocessing.hashes import salt_of
from unifront.layers.preprocessing.strings import lines_of
from unifront.serialization import check_trusted

Count = Annotated[int, whole(0, LARGEST)]
Long = Annotated[int, whole(-(2**63), 2**63 - 1)]
Tokens = Annotated[int, whole(-LARGEST, LARGEST)]  # of those below 2 more is said where they are checked
Mode = Literal["int", "one_hot", "multi_hot", "count", "tf_idf", "binary", "tf-idf"]
OLDER = {"binary": "multi_hot", "tf-idf": "tf_idf"}
"""Keras's former names of modes."""


class LookupOptions(LayerOptions, total=False):
    """What `get_config` tells beside the arguments of Keras's constructors, by name only."""

    has_input_vocabulary: bool | None
    vocabulary_size: Count | None


class IndexLookup(Layer):
    """What `StringLookup` and `IntegerLookup` share: the vocabulary, and how it is learned."""

    autocast = False
    reads_values = True

    def __init__(
        self, max_tokens: Any, num_oov_indices: int, mask_token: Any, oov_token: Any, vocabulary: Any,
        idf_weights: Any, invert: bool, output_mode: str, pad_to_max_tokens: bool, sparse: bool, salt: Any,
        has_input_vocabulary: bool | None, vocabulary_size: Any, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(**options)
        self.max_tokens, self.num_oov_indices = max_tokens, num_oov_indices
        self.mask_token, self.oov_token, self.invert = mask_token, oov_token, invert
        self.output_mode = OLDER.get(output_mode, output_mode)
        self.pad_to_max_tokens, self.sparse, self.salt = pad_to_max_tokens, sparse, salt_of(self._class, salt)
        self._check_arguments(idf_weights)
        self._given = bool(vocabulary is not None if has_input_vocabulary is None else has_input_vocabulary)
        self._tokens: tuple[Any, ...] = ()
        self._changes = 0
        self._has_vocabulary, self._size = False, vocabulary_size
        self._idf: np.ndarray | None = None
        self._reset_counts()
        if vocabulary is not None:
            if self.output_mode == "tf_idf" and idf_weights is None:
                raise ArgumentError(
                    f"{self._class}: when specifying the `vocabulary` argument, in TF-IDF output mode, the "
                    "`idf_weights` argument must also be provided."
                )
            self.set_vocabulary(vocabulary, idf_weights)

    def traced_state(self) -> int:
        """How often the vocabulary, which is a constant of graphs, was changed."""
        return self._changes

    @property
    def _class(self) -> str:
        return type(self).__name__

    def _check_arguments(self, idf_weights: Any) -> None:
        if self.max_tokens is not None and self.max_tokens <= 1:
            raise ArgumentError(
                f"If `max_tokens` is set for `{self._class}`, it must be greater than 1. "
                f"Received: max_tokens={self.max_tokens}"
            )
        if self.pad_to_max_tokens and self.max_tokens is None:
            raise ArgumentError(f"{self._class}: if pad_to_max_tokens is True, must set `max_tokens`.")
        if self.invert and self.output_mode != "int":
            raise ArgumentError(
                f"`output_mode` must be `'int'` when `invert` is true. Received: output_mode={self.output_mode}"
            )
        if idf_weights is not None and self.output_mode != "tf_idf":
            raise ArgumentError(
                "`idf_weights` should only be set if `output_mode` is `'tf_idf'`. "
                f"Received: output_mode={self.output_mode}"
            )

    # ------------------------------------------------------------ the vocabulary

    def _term(self, term: Any) -> Any:
        """A term as it is kept."""
        raise NotImplementedError

    def _terms(self, vocabulary: Any) -> list[Any]:
        if isinstance(vocabulary, str | Path):
            check_trusted(f"the vocabulary file {shown(str(vocabulary))}")
            if self.output_mode == "tf_idf":
                raise ArgumentError("output_mode `'tf_idf'` does not support loading a vocabulary from file.")
            return [self._line(vocabulary, i, line) for i, line in enumerate(lines_of(vocabulary), 1)]
        values = array_of(vocabulary) if is_array(vocabulary) else vocabulary
        if isinstance(values, np.ndarray):
            values = values.reshape(-1).tolist() if values.ndim == 1 else [None]
        if not isinstance(values, list | tuple):
            raise ArgumentError(
                f"{self._class}: a vocabulary is a list of terms or a path, not {shown(values)}."
            )
        return [self._term(one) for one in values]

    def _line(self, path: Any, number: int, line: str) -> Any:
        return line

    def _oov_start(self) -> int:
        return 1 if self.mask_token is not None and self.output_mode == "int" else 0

    def _start(self) -> int:
        return self._oov_start() + self.num_oov_indices

    def _special(self) -> list[Any]:
        return [self.mask_token] * self._oov_start() + [self.oov_token] * self.num_oov_indices

    def set_vocabulary(self, vocabulary: Any, idf_weights: Any = None) -> None:
        """Take ``vocabulary``, with or without the mask and out-of-vocabulary tokens at its start.

        Args:
            vocabulary: a list or array of terms, or the path of a text file with one a line.
            idf_weights: in the mode ``"tf_idf"`` as many numbers.

        Raises `ArgumentError` for terms that come twice, special ones in the middle, or more than ``max_tokens``.
        """
        if (idf_weights is None) == (self.output_mode == "tf_idf"):
            raise ArgumentError(
                "`idf_weights` must be set if output_mode is 'tf_idf'." if idf_weights is None else
                "`idf_weights` should only be set if output_mode is `'tf_idf'`. "
                f"Received: output_mode={self.output_mode}"
            )  # fmt: skip
        terms = self._terms(vocabulary)
        if not terms:
            raise ArgumentError(f"Cannot set an empty vocabulary. Received: vocabulary={shown(vocabulary)}")
        special = self._special()
        complete = terms[: self._start()] == special
        tokens = terms[self._start() :] if complete else terms
        self._check_tokens(tokens, len(terms) - len(tokens), special)
        self._tokens, self._has_vocabulary = tuple(tokens), True
        self._changes += 1
        if idf_weights is not None:
            self._idf = self._weights_of(idf_weights, terms, complete)

    def _check_tokens(self, tokens: list[Any], before: int, special: list[Any]) -> None:
        repeated = [one for one, count in Counter(tokens).items() if count > 1]
        if repeated:
            raise ArgumentError(
                "The passed vocabulary has at least one repeated term. Please uniquify your dataset. The repeated "
                f"terms are: {repeated[:20]}"
            )
        reserved = {"mask": self.mask_token, "OOV": self.oov_token if self.invert else None}
        for what, token in reserved.items():
            if token is not None and token in tokens:
                raise ArgumentError(
                    f"Found reserved {what} token at unexpected location in `vocabulary`. Either remove all mask and "
                    f"OOV tokens, or include them only at the start of the vocabulary in precisely this order: "
                    f"{special}. Received: {token!r} at vocabulary index {before + tokens.index(token)}"
                )
        size = self._start() + len(tokens)
        if self.max_tokens is not None and size > self.max_tokens:
            raise ArgumentError(
                "Attempted to set a vocabulary larger than the maximum vocab size. "
                f"Received vocabulary size is {size}; `max_tokens` is {self.max_tokens}."
            )

    def _weights_of(self, idf_weights: Any, terms: list[Any], complete: bool) -> np.ndarray:
        weights = np.asarray(array_of(idf_weights), np.float64)
        if weights.ndim != 1 or len(weights) != len(terms):
            raise ArgumentError(
                "`idf_weights` must be the same length as vocabulary. "
                f"len(idf_weights) is {weights.size}; len(vocabulary) is {len(terms)}"
            )
        return self._padded(weights, 0 if complete else self._start())

    def _padded(self, weights: np.ndarray, front: int) -> np.ndarray:
        """The weights of all indices: their mean for what is not known, zero for what there is not."""
        back = self.max_tokens - front - len(weights) if self.pad_to_max_tokens else 0
        mean = weights.mean() if len(weights) else 0.0
        whole_ = np.concatenate([np.full(front, mean), weights, np.zeros(back)])
        return whole_.astype(floatx().numpy)

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[Any]:
        """The terms in the order of their indices."""
        return [*(self._special() if include_special_tokens else ()), *self._tokens]

    def vocabulary_size(self) -> int:
        """How many indices there are, those of mask and unknown terms included."""
        return self._start() + len(self._tokens)

    def get_config(self) -> dict[str, Any]:
        """The arguments to make it again with; the vocabulary too, also one that was learned."""
        config = {
            **self._base_config(), "max_tokens": self.max_tokens, "num_oov_indices": self.num_oov_indices,
            "mask_token": self.mask_token, "oov_token": self.oov_token, "invert": self.invert,
            "output_mode": self.output_mode, "pad_to_max_tokens": self.pad_to_max_tokens, "sparse": self.sparse,
            "vocabulary": self.get_vocabulary(self._idf is not None) if self._tokens else None,
            "idf_weights": None if self._idf is None else self._idf[: self.vocabulary_size()].tolist(),
            "vocabulary_size": self.vocabulary_size() if self._tokens else None,
            "salt": None if self.salt is None else list(self.salt),
        }  # fmt: skip
        if self._tokens and not self._given:
            config["has_input_vocabulary"] = False
        return config

    # ------------------------------------------------------------ in Keras's files

    def load_own_variables(self, store: Mapping[str, Any]) -> None:
        """Take the weights of the mode ``"tf_idf"``, where Keras has learned them."""
        if "idf_weights" in store:
            self._idf = np.asarray(store["idf_weights"], floatx().numpy)

    def load_assets(self, dir_path: str) -> None:
        """Take the vocabulary that Keras has learned, special tokens first: a term a line in ``vocabulary.txt``."""
        path = Path(dir_path, "vocabulary.txt")
        if path.exists() and not self._given:
            terms = [self._line(path, i, line) for i, line in enumerate(lines_of(path), 1)]
            self.set_vocabulary(terms, None if self._idf is None else self._idf[: len(terms)])

    # ------------------------------------------------------------ learning it

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Learn the vocabulary: the terms of ``data``, the most frequent first, of equal ones the last in the alphabet.

        Args:
            data: an array or list of terms, each of which (or each row) is a document; or an iterable of batches, such
                as a ``tf.data.Dataset``, a generator or a torch ``DataLoader``.
            steps: how many batches to take at most.
        """
        self.reset_state()
        if is_array(data) or isinstance(data, list | tuple | str):
            values = self._values(data)
            self.update_state(values[:, None] if values.ndim == 1 else values)
        else:
            for batch in batches(data, steps):
                self.update_state(batch)
        self.finalize_state()

    def _values(self, data: Any) -> np.ndarray:
        raise NotImplementedError

    def update_state(self, data: Any) -> None:
        """Let the terms of ``data`` count too; its rows are documents, one of one dimension is one document."""
        if self._given:
            raise ArgumentError(
                f"Cannot adapt layer '{self.name}' after setting a static vocabulary via `vocabulary` argument or "
                "`set_vocabulary()` method."
            )
        values = self._values(data)
        self.count_documents(values.reshape(1, -1) if values.ndim < 2 else values)

    def count_documents(self, documents: Any) -> None:
        """Count the terms of documents, sequences of terms of any lengths."""
        for document in documents:
            terms = document.reshape(-1).tolist() if isinstance(document, np.ndarray) else document
            self._counts.update(terms)
            if self.output_mode == "tf_idf":
                self._document_counts.update(set(terms))
            self._documents += 1

    def finalize_state(self) -> None:
        """Make the vocabulary of what was counted."""
        if self._given or not self._counts:
            return
        for token in (self.mask_token, self.oov_token):
            self._counts.pop(token, None)
        most = None if self.max_tokens is None else max(self.max_tokens - self._start(), 0)
        ordered = sorted(self._counts, key=lambda term: (self._counts[term], term), reverse=True)[:most]
        self._tokens, self._has_vocabulary = tuple(ordered), True
        self._changes += 1
        if self.output_mode == "tf_idf":
            seen = np.array([self._document_counts[term] for term in ordered], np.float64)
            self._idf = self._padded(np.log(1 + self._documents / (1 + seen)), self._start())
        self._reset_counts()

    def reset_state(self) -> None:
        """Forget what was counted."""
        if not self._given:
            self._reset_counts()

    def _reset_counts(self) -> None:
        self._counts: Counter[Any] = Counter()
        self._document_counts: Counter[Any] = Counter()
        self._documents = 0

    # ------------------------------------------------------------ looking up

    def _depth(self) -> int:
        if self.pad_to_max_tokens:
            return int(self.max_tokens)
        if (
            not self._has_vocabulary and self._size is not None
        ):  # of a vocabulary that Keras has in another file
            return int(self._size)
        if not self._has_vocabulary:
            raise NotBuiltError(
                f"When using `output_mode={self.output_mode}` and `pad_to_max_tokens=False`, you must set the "
                "layer's vocabulary before calling it. Either pass a `vocabulary` argument to the layer, or call "
                "`adapt` with some sample data."
            )
        return self.vocabulary_size()

    def _mask_index(self) -> int:
        """Of masked terms; -1 is encoded nowhere."""
        return 0 if self.output_mode == "int" else -1

    def encode(self, indices: Any) -> Any:
        """Indices as the output mode says."""
        if self.output_mode == "int":
            return indices
        if self.output_mode != "tf_idf":
            return encoded(indices, self.output_mode, self._depth(), "int64")
        counts = encoded(indices, "count", self._depth(), floatx())
        if self._idf is None:
            raise NotBuiltError("When `output_mode` is `'tf_idf'`, `idf_weights` must be provided.")
        return ops.multiply(counts, self._idf)

    def examples(self) -> tuple[Any, Any]:
        """Two entries that the layer takes, which its results are found out by."""
        known = self._tokens[0] if self._tokens else "a"
        return known, known

    def _refuse_unknown(self, unknown: Sequence[Any]) -> None:
        if len(unknown):
            raise ArgumentError(
                "When `num_oov_indices=0` all inputs should be in vocabulary, found OOV values "
                f"{shown(list(unknown)[:10])}, consider setting `num_oov_indices=1`."
            )
