"""Categories as vectors."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Unpack

from unifront import ops
from unifront.arguments import checked, meant
from unifront.dtypes import DTypeLike
from unifront.errors import ArgumentError
from unifront.layers.arguments import LayerOptions
from unifront.layers.preprocessing.data import DataLayer, numbers
from unifront.opset.tensor import type_of


def _dense(value: Any) -> bool:
    if not isinstance(value, int) or value:
        raise ArgumentError(
            "sparse and ragged tensors are no tensors of unifront, whose graphs are dense; leave it at False."
        )
    return False


Dense = Annotated[bool, meant(_dense)]
"""An argument that asks for sparse or ragged output, which there is none of."""


def encoded(indices: Any, output_mode: str, depth: int, dtype: DTypeLike, count_weights: Any = None) -> Any:
    """``indices`` as they are (``"int"``), or as vectors of the size ``depth``.

    ``"one_hot"``: one for each index; ``"multi_hot"`` and ``"count"``: one for all indices of an example, which are
    those along axis 1 (of one dimension all). What is not in ``[0, depth)`` counts nowhere.
    """
    if output_mode == "int":
        return ops.cast(indices, dtype)
    known = type_of(indices)
    if known.dtype.is_float or known.dtype.kind == "b":
        indices = ops.cast(indices, "int32")
    if known.rank == 0:
        indices = ops.expand_dims(indices, -1)
        known = type_of(indices)
    if output_mode == "one_hot":
        if known.rank > 1 and known.shape[-1] == 1:
            indices = ops.squeeze(indices, -1)
        return ops.one_hot(indices, depth, dtype=dtype)
    vectors = ops.one_hot(indices, depth, dtype=dtype)
    axis = 1 if known.rank > 1 else 0
    if output_mode == "multi_hot":
        return ops.max(vectors, axis=axis) if known.shape[axis] != 0 else ops.sum(vectors, axis=axis)
    if count_weights is not None:
        vectors = ops.multiply(vectors, ops.expand_dims(ops.cast(count_weights, dtype), -1))
    return ops.cast(ops.sum(vectors, axis=axis), dtype)


def encoded_shape(shape: Any, output_mode: str, depth: int | None) -> tuple[Any, ...]:
    """The shape of what `encoded` gives for indices of ``shape``, free sizes being None."""
    shape = tuple(shape)
    if output_mode == "int":
        return shape
    if output_mode == "one_hot":
        return (*(shape[:-1] if len(shape) > 1 and shape[-1] == 1 else shape), depth)
    return (*shape[:1], *shape[2:], depth) if len(shape) > 1 else (depth,)


class CategoryEncoding(DataLayer):
    """Integers in ``[0, num_tokens)`` as vectors of the size ``num_tokens``.

    Args:
        num_tokens: how many categories there are.
        output_mode: ``"one_hot"``: a vector for each integer, with a 1 at its place. ``"multi_hot"``: a vector for each
            example (the integers along axis 1), with a 1 at the place of each that occurs. ``"count"``: how often
            each occurs.
        sparse: taken at False only.

    `call` takes ``count_weights``, as many as there are integers, in the mode ``"count"``. Integers outside count
    nowhere. Source: ``keras.layers.CategoryEncoding``.

    Example::

        layers.CategoryEncoding(4, "multi_hot")(np.array([[0, 1], [3, 3]]))  # [[1, 1, 0, 0], [0, 0, 0, 1]]
    """

    @checked
    def __init__(
        self,
        num_tokens: int | None = None,
        output_mode: Literal["multi_hot", "one_hot", "count", "binary"] = "multi_hot",
        sparse: Dense = False,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        if num_tokens is None:
            raise ArgumentError(
                "CategoryEncoding: num_tokens must be set to use this layer. If the number of tokens is not known "
                "beforehand, use the IntegerLookup layer instead."
            )
        if num_tokens < 1:
            raise ArgumentError(
                f"CategoryEncoding: `num_tokens` must be >= 1. Received: num_tokens={num_tokens}."
            )
        self.num_tokens = num_tokens
        self.output_mode = "multi_hot" if output_mode == "binary" else output_mode
        self.sparse = sparse

    def call(self, inputs: Any, count_weights: Any = None) -> Any:
        if count_weights is not None and self.output_mode != "count":
            raise ArgumentError(
                "`count_weights` is not used when `output_mode` is not `'count'`. "
                f"The output_mode of this layer is {self.output_mode!r}."
            )
        return encoded(inputs, self.output_mode, self.num_tokens, self.compute_dtype, numbers(count_weights))
