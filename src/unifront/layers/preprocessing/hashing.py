"""Categories as the buckets that their hashes say."""

from __future__ import annotations

from typing import Any, Literal, Unpack

import numpy as np

from unifront import tree
from unifront.arguments import checked, in_order
from unifront.dtypes import floatx
from unifront.errors import ArgumentError, DTypeError, ShapeError
from unifront.layers.arguments import LayerOptions
from unifront.layers.layer import Layer
from unifront.layers.preprocessing.data import array_of, is_array
from unifront.layers.preprocessing.encoding import Dense, encoded, encoded_shape
from unifront.layers.preprocessing.hashes import buckets, crossed, farmhash64, salt_of
from unifront.layers.preprocessing.strings import HostLayer, called_on_host, strings_of
from unifront.layers.preprocessing.vocabulary import Long
from unifront.opset.rules import is_whole
from unifront.opset.tensor import Tensor


class _Hashed(Layer):
    """What is hashed needs values: strings, or the decimal digits of integers."""

    autocast = False

    def __call__(self, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        if any(isinstance(leaf, Tensor) for leaf in tree.leaves([args, kwargs])):
            raise ArgumentError(
                f"{self.name}: {type(self).__name__} hashes strings and decimal digits, which are no tensors, so it "
                "cannot be part of a graph. Map it over the data first, and give the model what it returns."
            )
        self.built = True
        return called_on_host(self, args, kwargs)

    examples = HostLayer.examples


def values_of(data: Any) -> np.ndarray:
    """Integers, floats, or strings, as an array of int64 or of str objects."""
    if is_array(data) or type(data).__name__ in ("RaggedTensor", "SparseTensor"):
        array = array_of(data)
    else:
        leaves = tree.leaves(data)
        if any(isinstance(leaf, str | bytes) for leaf in leaves):
            return strings_of(data)
        array = array_of(data)
    if array.dtype.kind in "OSUT":
        return strings_of(array)
    if array.dtype.kind not in "iuf":
        raise DTypeError(f"Integers or strings are hashed, not {array.dtype}.")
    return array.astype(np.int64)


def texts(values: np.ndarray) -> tuple[list[bytes], np.ndarray]:
    """The distinct values as bytes (integers by their decimal digits), and which of them each is."""
    flat = values.reshape(-1).tolist()
    distinct = {one: i for i, one in enumerate(dict.fromkeys(flat))}
    back = np.fromiter((distinct[one] for one in flat), np.int64, len(flat))
    return [str(one).encode() for one in distinct], back.reshape(values.shape)


class Hashing(_Hashed):
    """Strings or integers as the bucket that their hash says, the same numbers as Keras's.

    It runs on the host, before the graph. Strings are hashed in UTF-8, integers by their decimal digits, floats are cut
    to integers: with FarmHash64, or under a ``salt`` with SipHash-2-4.

    Args:
        num_bins: how many buckets there are; with a ``mask_value`` bucket 0 is that one's.
        mask_value: what is put into bucket 0; None for none.
        salt: an int, or two.
        output_mode: ``"int"``, or as of `CategoryEncoding`.
        sparse: taken at False only.

    Source: ``keras.layers.Hashing``.

    Example::

        layers.Hashing(num_bins=3)([["A"], ["B"], ["C"], ["D"], ["E"]])  # [[1], [0], [1], [1], [2]]
    """

    @checked
    def __init__(
        self,
        num_bins: Any,
        mask_value: str | Long | None = None,
        salt: Any = None,
        output_mode: Literal["int", "one_hot", "multi_hot", "count"] = "int",
        sparse: Dense = False,
        **options: Unpack[LayerOptions],
    ) -> None:
        if options.get("dtype") is None:
            options["dtype"] = "int64" if output_mode == "int" else floatx()
        super().__init__(**options)
        if not is_whole(num_bins) or not 0 < num_bins < 2**63:
            raise ArgumentError(
                "The `num_bins` for `Hashing` cannot be `None` or non-positive values. "
                f"Received: num_bins={num_bins}."
            )
        if output_mode == "int" and self.compute_dtype not in ("int32", "int64"):
            raise ArgumentError(
                "When `output_mode=\"int\"`, `dtype` should be an integer type, 'int32' or 'int64'. "
                f"Received: dtype={self.compute_dtype}"
            )
        self.num_bins, self.mask_value, self.salt = int(num_bins), mask_value, salt_of("Hashing", salt)
        self.output_mode, self.sparse = output_mode, sparse

    def compute_output_shape(self, input_shape: Any, *more: Any) -> Any:
        """The shape of what `call` gives for values of such a shape, None for free sizes."""
        return encoded_shape(input_shape, self.output_mode, self.num_bins)

    def call(self, inputs: Any) -> Any:
        values = values_of(inputs)
        if self.output_mode == "one_hot" and values.ndim and values.shape[-1] == 1:
            values = values[..., 0]
        distinct, back = texts(values)
        masked = self.mask_value is not None and self.num_bins > 1
        found = buckets(distinct, self.num_bins - masked, self.salt)[back] + int(masked)
        if masked:
            found = np.where(values == self.mask_value, 0, found)
        return encoded(found, self.output_mode, self.num_bins, self.compute_dtype)


class HashedCrossing(_Hashed):
    """Several features as one: the bucket that the hash of their values together says, as in Keras.

    `call` takes a list of two features or more, strings or integers, each of the shape ``()``, ``[batch]`` or
    ``[batch, 1]``. It runs on the host, before the graph.

    Args:
        num_bins: how many buckets there are.
        output_mode: ``"int"`` or ``"one_hot"``.
        sparse: taken at False only.

    Source: ``keras.layers.HashedCrossing``.

    Example::

        layer = layers.HashedCrossing(num_bins=5)
        layer([np.array(["A", "B", "A"]), np.array([101, 101, 102])])  # [1 4 1]
    """

    @in_order("name", "dtype")
    def __init__(
        self,
        num_bins: Any,
        output_mode: Literal["int", "one_hot"] = "int",
        sparse: Dense = False,
        **options: Unpack[LayerOptions],
    ) -> None:
        if options.get("dtype") is None:
            options["dtype"] = "int64" if output_mode == "int" else floatx()
        super().__init__(**options)
        if not is_whole(num_bins) or not 0 < num_bins < 2**63:
            raise ArgumentError(f"HashedCrossing: num_bins is a positive int, not {num_bins!r}.")
        self.num_bins, self.output_mode, self.sparse = int(num_bins), output_mode, sparse

    def call(self, inputs: Any) -> Any:
        if not isinstance(inputs, list | tuple):
            raise ArgumentError(
                f"`HashedCrossing` should be called on a list or tuple of inputs. Received: inputs={inputs}"
            )
        if len(inputs) < 2:
            raise ArgumentError(
                f"`HashedCrossing` should be called on at least two inputs. Received: inputs={inputs}"
            )
        shapes = [np.shape(one) for one in inputs]
        shape = shapes[0]
        if len(shape) > 2 or (len(shape) == 2 and shape[-1] != 1):
            raise ShapeError(
                "All `HashedCrossing` inputs should have shape `()`, `(batch_size)` or `(batch_size, 1)`. "
                f"Received: {shape}"
            )
        if any(one != shape for one in shapes):
            raise ShapeError(f"All `HashedCrossing` inputs should have equal shape. Received: {shapes}")
        for one in inputs:
            if is_array(one) and array_of(one).dtype.kind == "f":
                raise DTypeError(
                    "All `HashedCrossing` inputs should have an integer or string dtype. "
                    f"Received: {array_of(one).dtype}"
                )
        features = [values_of(one) for one in inputs]
        hashes = crossed([_hashes(one.reshape(-1)) for one in features])
        found = (hashes % np.uint64(self.num_bins)).astype(np.int64).reshape(shape)
        return encoded(found, self.output_mode, self.num_bins, self.compute_dtype)


def _hashes(values: np.ndarray) -> np.ndarray:
    """Of each value: that of a string, and an integer itself."""
    if values.dtype != object:
        return values.astype(np.uint64)
    distinct, back = texts(values)
    return farmhash64(distinct)[back]
