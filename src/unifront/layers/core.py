"""Dense, Embedding, and layers that only move numbers about."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unifront import ops
from unifront.errors import ArgumentError, ShapeError
from unifront.ir.dims import Dim, divide_exactly
from unifront.layers import activations
from unifront.layers.arguments import check_rank, data_format_of, positive
from unifront.layers.layer import Layer, feature_size
from unifront.opset.tensor import type_of


class Dense(Layer):
    """``activation(x @ kernel + bias)`` over the last axis: ``[..., in]`` → ``[..., units]``.

    Args:
        units: size of the output's last axis.
        activation: a name or callable; None for none.
        use_bias: whether there is a ``bias[units]`` beside the ``kernel[in, units]``.
        kernel_initializer, bias_initializer: see `unifront.layers.initializers`.
        kernel_regularizer, bias_regularizer, activity_regularizer: see `unifront.layers.regularizers`.

    Raises `NotBuiltError` if the size of the input's last axis is free.

    Example::

        hidden = layers.Dense(8, activation="relu")(uf.Input((4,)))  # float32[batch, 8]
    """

    supports_masking = True

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.units = positive("Dense", "units", units)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer, self.bias_initializer = kernel_initializer, bias_initializer
        self.kernel_regularizer, self.bias_regularizer = kernel_regularizer, bias_regularizer

    def build(self, shape: Any) -> None:
        size = feature_size(shape)
        self.kernel = self.add_weight(
            (size, self.units), self.kernel_initializer, name="kernel", regularizer=self.kernel_regularizer
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                (self.units,), self.bias_initializer, name="bias", regularizer=self.bias_regularizer
            )

    def call(self, x: Any) -> Any:
        return self.activation(ops.dense(x, self.kernel, self.bias))


class Flatten(Layer):
    """``[batch, ...]`` → ``[batch, product]``.

    Args:
        data_format: with ``"channels_first"`` the channels are moved last first, as Keras does.
    """

    def __init__(self, data_format: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.data_format = data_format_of(data_format)

    def call(self, x: Any) -> Any:
        rank = type_of(x).rank
        if rank == 1:
            return ops.expand_dims(x, -1)
        if self.data_format == "channels_first" and rank > 2:
            x = ops.transpose(x, (0, *range(2, rank), 1))
        return ops.flatten(x, 1)


class Reshape(Layer):
    """``[batch, ...]`` → ``[batch, *target_shape]``; one size may be -1.

    Raises `ShapeError` for an input of another number of elements.
    """

    def __init__(self, target_shape: Sequence[int], **options: Any) -> None:
        super().__init__(**options)
        if not isinstance(target_shape, Sequence) or isinstance(target_shape, str):
            raise ArgumentError(f"Reshape: target_shape is a tuple of sizes, not {target_shape!r}.")
        self.target_shape = tuple(target_shape)

    def call(self, x: Any) -> Any:
        batch, *rest = type_of(x).shape
        target: tuple[Dim, ...] = self.target_shape
        known = -math.prod(self.target_shape)
        if known > 0 and all(
            isinstance(size, int) for size in rest
        ):  # an empty batch would not say what -1 is
            size = divide_exactly(math.prod(rest), known)
            target = target if size is None else tuple(size if n == -1 else n for n in target)
        return ops.reshape(x, (batch, *target))


class Permute(Layer):
    """The axes after the batch reordered: ``dims`` counts from 1."""

    def __init__(self, dims: Sequence[int], **options: Any) -> None:
        super().__init__(**options)
        if not isinstance(dims, Sequence) or sorted(dims) != list(range(1, len(dims) + 1)):
            raise ArgumentError(f"Permute: dims is an order of 1, 2 …, such as (2, 1), not {dims!r}.")
        self.dims = tuple(dims)

    def call(self, x: Any) -> Any:
        check_rank(self, x, 1 + len(self.dims))
        return ops.transpose(x, (0, *self.dims))


class RepeatVector(Layer):
    """``[batch, features]`` → ``[batch, n, features]``."""

    def __init__(self, n: int, **options: Any) -> None:
        super().__init__(**options)
        self.n = positive("RepeatVector", "n", n)

    def call(self, x: Any) -> Any:
        check_rank(self, x, 2)
        batch, features = type_of(x).shape
        return ops.broadcast_to(ops.expand_dims(x, 1), (batch, self.n, features))


class Embedding(Layer):
    """Integers to vectors: ``[...]`` → ``[..., output_dim]``.

    Args:
        input_dim: the number of vectors; indices run from 0 to ``input_dim - 1``.
        output_dim: their size.
        embeddings_initializer, embeddings_regularizer: as for `Dense`; the weight is
            ``embeddings[input_dim, output_dim]``.
        mask_zero: whether index 0 is padding, which later layers leave out.
        weights: the vectors to begin with, ``[input_dim, output_dim]``, or a list of that one array.

    Float indices are cut to integers, as in Keras. Raises `ShapeError` for ``weights`` of another shape.
    """

    autocast = False

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        mask_zero: bool = False,
        weights: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.input_dim = positive("Embedding", "input_dim", input_dim)
        self.output_dim = positive("Embedding", "output_dim", output_dim)
        if weights is not None:
            embeddings_initializer = self._given(weights[0] if isinstance(weights, list) else weights)
        self.embeddings_initializer = embeddings_initializer
        self.embeddings_regularizer = embeddings_regularizer
        self.mask_zero = mask_zero

    def _given(self, vectors: Any) -> Callable[..., np.ndarray]:
        values, wanted = np.array(vectors), (self.input_dim, self.output_dim)
        if values.shape != wanted:
            raise ShapeError(f"Embedding: weights has the shape {values.shape}; {wanted} is needed.")
        return _Given(values)

    def build(self, shape: Any) -> None:
        self.embeddings = self.add_weight(
            (self.input_dim, self.output_dim), self.embeddings_initializer, name="embeddings",
            regularizer=self.embeddings_regularizer,
        )  # fmt: skip

    def call(self, indices: Any) -> Any:
        if type_of(indices).dtype.is_float:  # Keras takes float indices too, as its Input is float by default
            indices = ops.cast(indices, "int32")
        return ops.embedding(indices, self.embeddings)

    def compute_mask(self, inputs: Any, mask: Any) -> Any:
        return ops.not_equal(inputs, 0) if self.mask_zero else None


class Masking(Layer):
    """Steps whose features all equal ``mask_value`` are left out by later layers (and set to zero here)."""

    def __init__(self, mask_value: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.mask_value = mask_value

    def call(self, x: Any) -> Any:
        kept = ops.any(ops.not_equal(x, self.mask_value), axis=-1, keepdims=True)
        return ops.multiply(x, ops.cast(kept, type_of(x).dtype))

    def compute_mask(self, inputs: Any, mask: Any) -> Any:
        return ops.any(ops.not_equal(inputs, self.mask_value), axis=-1)


@dataclass(frozen=True)
class _Given:
    """An initializer that draws nothing."""

    values: np.ndarray

    def __call__(self, shape: Any, dtype: Any, rng: Any) -> np.ndarray:
        return self.values
