"""Terms as their places in a vocabulary."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Unpack

import numpy as np

from unifront import ops
from unifront.arguments import Default, in_order, only, shown
from unifront.errors import ArgumentError, DTypeError, FileFormatError
from unifront.layers.preprocessing.data import array_of, numbers
from unifront.layers.preprocessing.encoding import Dense
from unifront.layers.preprocessing.hashes import buckets
from unifront.layers.preprocessing.strings import HostLayer, strings_of, text_of
from unifront.layers.preprocessing.vocabulary import Count, IndexLookup, Long, LookupOptions, Mode, Tokens
from unifront.opset.tensor import Tensor, type_of


class StringLookupOptions(LookupOptions, total=False):
    """Those of `StringLookup`."""

    salt: Any
    oov_method: Annotated[Literal["floormod", "farmhash"], Default("floormod")]


class StringLookup(HostLayer, IndexLookup):
    """Strings as their places in a vocabulary, or the other way.

    It runs on the host: call it on lists of str or arrays of strings, before the graph; see `HostLayer`.

    Args:
        max_tokens: how many indices `adapt` makes at most, those of mask and unknown strings included.
        num_oov_indices: indices for unknown strings, among which their hash (FarmHash64, SipHash-2-4 with a ``salt``)
            chooses; with 0 an unknown string is an error.
        mask_token: the string of index 0; in other modes than ``"int"`` it counts nowhere. None for none.
        oov_token: what an unknown index becomes with ``invert``.
        vocabulary: a list or array of strings, or the path of a UTF-8 file with one a line.
        idf_weights: in the mode ``"tf_idf"``, what each string weighs.
        invert: indices become strings.
        output_mode: ``"int"``, or vectors of the size of the vocabulary: ``"one_hot"`` of each string, ``"multi_hot"``,
            ``"count"`` or ``"tf_idf"`` of each row.
        pad_to_max_tokens: vectors of the size ``max_tokens``.
        sparse: taken at False only.
        encoding: of bytes.
        salt: an int, or two.

    Source: ``keras.layers.StringLookup``.

    Example::

        layer = layers.StringLookup(vocabulary=["a", "b"])
        layer(["b", "z", "a"])  # [2 0 1]
    """

    @in_order("name", "salt")
    def __init__(
        self,
        max_tokens: Tokens | None = None,
        num_oov_indices: Count = 1,
        mask_token: str | None = None,
        oov_token: str | None = "[UNK]",
        vocabulary: Any = None,
        idf_weights: Any = None,
        invert: bool = False,
        output_mode: Mode = "int",
        pad_to_max_tokens: bool = False,
        sparse: Dense = False,
        encoding: str = "utf-8",
        **options: Unpack[StringLookupOptions],
    ) -> None:
        own: Any = options
        own.pop("oov_method")  # Keras's StringLookup takes it, and hashes strings as ever
        salt = own.pop("salt")
        self.encoding = encoding
        try:
            "".encode(encoding)
        except LookupError:
            raise ArgumentError(f"StringLookup: encoding {encoding!r} is none that Python knows.") from None
        super().__init__(
            max_tokens, num_oov_indices, mask_token, oov_token, vocabulary, idf_weights, invert, output_mode,
            pad_to_max_tokens, sparse, salt, **own,
        )  # fmt: skip

    def get_config(self) -> dict[str, Any]:
        """The arguments to make it again with; the vocabulary too, also one that was learned."""
        return {**super().get_config(), "encoding": self.encoding}

    def _term(self, term: Any) -> str:
        return text_of(term, self.encoding)

    def _values(self, data: Any) -> np.ndarray:
        return strings_of(data, self.encoding)

    def call(self, inputs: Any) -> Any:
        if self.invert:
            return self._strings_at(array_of(inputs))
        return self.encode(self.indices(strings_of(inputs, self.encoding)))

    examples = IndexLookup.examples

    def _strings_at(self, indices: np.ndarray) -> np.ndarray:
        if indices.dtype.kind not in "iu":
            raise DTypeError(f"{self._class}: indices are integers, not {indices.dtype}.")
        unknown = "" if self.oov_token is None else self.oov_token
        table = np.array([*self.get_vocabulary(), unknown], str)
        known = (indices >= 0) & (indices < len(table) - 1)
        return np.asarray(table[np.where(known, indices, len(table) - 1)])

    def indices(self, strings: np.ndarray) -> np.ndarray:
        """The places of strings, in int64."""
        found = np.empty(strings.shape, np.int64)
        flat = strings.reshape(-1).tolist()
        table = {term: i for i, term in enumerate(self._tokens, self._start())}
        if self.mask_token is not None:
            table[self.mask_token] = self._mask_index()
        unknown = [term for term in dict.fromkeys(flat) if term not in table]
        if unknown:
            if self.num_oov_indices == 0:
                self._refuse_unknown(unknown)
            places = (
                buckets([term.encode() for term in unknown], self.num_oov_indices, self.salt).tolist()
                if self.num_oov_indices > 1
                else [0] * len(unknown)
            )
            table.update((term, self._oov_start() + i) for term, i in zip(unknown, places, strict=True))
        found.reshape(-1)[:] = [table[term] for term in flat]
        return found


class IntegerLookup(IndexLookup):
    """Integers as their places in a vocabulary, or the other way; on data and in graphs.

    Args:
        max_tokens, num_oov_indices, mask_token, oov_token, vocabulary, idf_weights, invert, output_mode, sparse,
            pad_to_max_tokens: as of `StringLookup`, of integers.
        vocabulary_dtype: taken at ``"int64"`` only.
        oov_method: how one of several ``num_oov_indices`` is chosen for an unknown integer: ``"floormod"`` by its
            remainder, ``"farmhash"`` by the hash of its decimal digits, which needs values (no graph).
        salt: an int or two, for SipHash-2-4 in the place of FarmHash64.

    In a graph an unknown integer is -1 if ``num_oov_indices`` is 0; with values it is an error. Source:
    ``keras.layers.IntegerLookup``.

    Example::

        layers.IntegerLookup(vocabulary=[12, 36])(np.array([36, 7, 12]))  # [2 0 1]
    """

    @in_order("name")
    def __init__(
        self,
        max_tokens: Tokens | None = None,
        num_oov_indices: Count = 1,
        mask_token: Long | None = None,
        oov_token: Long | None = -1,
        vocabulary: Any = None,
        vocabulary_dtype: Annotated[Any, only("int64")] = "int64",
        idf_weights: Any = None,
        invert: bool = False,
        output_mode: Mode = "int",
        sparse: Dense = False,
        pad_to_max_tokens: bool = False,
        oov_method: Literal["floormod", "farmhash"] = "floormod",
        salt: Any = None,
        **options: Unpack[LookupOptions],
    ) -> None:
        self.oov_method, self.vocabulary_dtype = oov_method, "int64"
        if salt is not None and oov_method != "farmhash":
            raise ArgumentError(
                f"`salt` can only be used when `oov_method='farmhash'`. Received: oov_method={oov_method}"
            )
        super().__init__(
            max_tokens, num_oov_indices, mask_token, oov_token, vocabulary, idf_weights, invert, output_mode,
            pad_to_max_tokens, sparse, salt, **options,
        )  # fmt: skip

    def get_config(self) -> dict[str, Any]:
        """The arguments to make it again with; the vocabulary too, also one that was learned."""
        return {
            **super().get_config(), "oov_method": self.oov_method, "vocabulary_dtype": self.vocabulary_dtype,
        }  # fmt: skip

    def _term(self, term: Any) -> int:
        value = term.item() if isinstance(term, np.generic) else term
        if not isinstance(value, int) or isinstance(value, bool) or not -(2**63) <= value < 2**63:
            raise DTypeError(
                f"IntegerLookup: the terms of a vocabulary are 64-bit integers, not {shown(term)}."
            )
        return value

    def _line(self, path: Any, number: int, line: str) -> int:
        try:
            return self._term(int(line))
        except (ValueError, DTypeError):
            raise FileFormatError(f"{path}, line {number}: {shown(line)} is no 64-bit integer.") from None

    def _values(self, data: Any) -> np.ndarray:
        values = array_of(data)
        if values.dtype.kind not in "iuf" or (values.dtype.kind == "f" and values.size):
            raise DTypeError(f"IntegerLookup takes integers, not {values.dtype}.")
        return values.astype(np.int64)

    def __call__(self, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        return super().__call__(*map(numbers, args), training=training, **kwargs)

    def call(self, inputs: Any) -> Any:
        kind = type_of(inputs).dtype
        if not kind.is_integer:
            raise DTypeError(f"IntegerLookup takes integers, not {kind}.")
        x = ops.cast(inputs, "int64")
        if self.invert:
            table = np.array(
                [*self.get_vocabulary(), -1 if self.oov_token is None else self.oov_token], np.int64
            )
            known = ops.logical_and(ops.greater_equal(x, 0), ops.less(x, len(table) - 1))
            return ops.take(table, ops.where(known, x, len(table) - 1))
        return self.encode(self._indices(x))

    def _indices(self, x: Any) -> Any:
        """Their places by searching the sorted vocabulary, in int64."""
        unknown = self._unknown_places(x)
        found, known = unknown, None
        if self._tokens:
            order = np.argsort(np.array(self._tokens, np.int64), kind="stable")
            keys = np.array(self._tokens, np.int64)[order]
            place = ops.minimum(
                ops.cast(ops.searchsorted(keys, ops.reshape(x, (-1,))), "int64"), len(keys) - 1
            )
            place = ops.reshape(place, type_of(x).shape)
            known = ops.equal(ops.take(keys, place), x)
            found = ops.where(known, ops.take((order + self._start()).astype(np.int64), place), unknown)
        if self.mask_token is not None:
            found = ops.where(ops.equal(x, self.mask_token), self._mask_index(), found)
        found = ops.cast(found, "int64")
        if self.num_oov_indices == 0 and not isinstance(x, Tensor):
            values = array_of(x)
            outside = ~np.isin(
                values, [*self._tokens, *([] if self.mask_token is None else [self.mask_token])]
            )
            self._refuse_unknown(values[outside].tolist())
        return found

    def _unknown_places(self, x: Any) -> Any:
        start = self._oov_start()
        if self.num_oov_indices < 2:
            return ops.full_like(x, start if self.num_oov_indices else -1)
        if self.oov_method == "floormod":
            return ops.add(ops.mod(x, self.num_oov_indices), start)
        if isinstance(x, Tensor):
            raise ArgumentError(
                "IntegerLookup: oov_method='farmhash' hashes decimal digits, which needs values; call the layer on "
                "the data before the model, or use 'floormod'."
            )
        values = array_of(x)
        distinct, back = np.unique(values, return_inverse=True)
        places = buckets([str(one).encode() for one in distinct.tolist()], self.num_oov_indices, self.salt)
        return places[back].reshape(values.shape) + start
