"""Dense, Embedding, and layers that only move numbers about."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Unpack

import numpy as np

from unifront import ops
from unifront.arguments import LARGEST, Real, Size, checked, shown, whole
from unifront.errors import ArgumentError, DTypeError, ShapeError
from unifront.ir.dims import Dim, divide_exactly
from unifront.layers.activations import ActivationAttribute, ActivationLike
from unifront.layers.arguments import Constraint, DataFormat, LayerOptions, Options, check_rank
from unifront.layers.building import feature_size
from unifront.layers.initializers import Given, InitializerLike
from unifront.layers.layer import Layer
from unifront.layers.lora import LowRank
from unifront.layers.quantized import Quantized
from unifront.layers.regularizers import RegularizerLike
from unifront.opset.tensor import type_of
from unifront.quantizers import dequantize_with_sz_map, unpack_int4


class Dense(Quantized, LowRank, Layer):
    """``activation(x @ kernel + bias)`` over the last axis: ``[..., in]`` → ``[..., units]``.

    Args:
        units: size of the output's last axis.
        activation: a name or callable; None for none.
        use_bias: whether there is a ``bias[units]`` beside the ``kernel[in, units]``.
        kernel_initializer, bias_initializer: see `unifront.layers.initializers`.
        kernel_regularizer, bias_regularizer, activity_regularizer: see `unifront.layers.regularizers`.
        lora_rank, lora_alpha: as for `enable_lora`, which is then called when the layer is built.
        quantization_config: how the weight is quantized where the dtype policy says that it is; see `quantize`.

    Raises `NotBuiltError` if the size of the input's last axis is free.

    Example::

        hidden = layers.Dense(8, activation="relu")(uf.Input((4,)))  # float32[batch, 8]
    """

    supports_masking = True

    activation = ActivationAttribute()

    @checked
    def __init__(
        self,
        units: Size,
        activation: ActivationLike = None,
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None,
        activity_regularizer: RegularizerLike = None,
        kernel_constraint: Constraint = None,
        bias_constraint: Constraint = None,
        lora_rank: Size | None = None,
        lora_alpha: Real | None = None,
        quantization_config: Any = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **options)
        self.units, self.activation, self.use_bias = units, activation, use_bias
        self.declare("kernel", kernel_initializer, kernel_regularizer, kernel_constraint)
        self.declare("bias", bias_initializer, bias_regularizer, bias_constraint)
        self.ask_lora(lora_rank, lora_alpha)
        self.ask_quantized(quantization_config)

    def build(self, shape: Any) -> None:
        size = feature_size(shape)
        self.kernel = self.add_declared("kernel", (size, self.units))
        self.bias = self.add_declared("bias", (self.units,)) if self.use_bias else None
        self.begin_lora()
        self.begin_quantized()

    def call(self, x: Any) -> Any:
        if self.quantization_mode is None:
            return self.activation(ops.dense(x, self.adapted(self.kernel), self.bias))
        y = self.quantized_product(
            x, ops.matmul, lambda upstream, kernel: ops.matmul(upstream, ops.transpose(kernel))
        )
        if self.lora_enabled:
            y = ops.add(y, self.low_rank_change(ops.matmul(x, self._factors()[0]), type_of(y).dtype))
        return self.activation(y if self.bias is None else ops.add(y, self.bias))

    def quantized_axes(self) -> tuple[int, ...]:
        return (0,)


class Flatten(Layer):
    """``[batch, ...]`` → ``[batch, product]``.

    Args:
        data_format: with ``"channels_first"`` the channels are moved last first, as Keras does.
    """

    @checked
    def __init__(self, data_format: DataFormat = None, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.data_format = data_format

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

    @checked
    def __init__(
        self, target_shape: Sequence[Annotated[int, whole(-1, LARGEST)]], **options: Unpack[LayerOptions]
    ) -> None:
        super().__init__(**options)
        self.target_shape = tuple(target_shape)
        if self.target_shape.count(-1) > 1:
            raise ArgumentError(f"Reshape: one size of target_shape may be -1, not those of {target_shape}.")

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

    @checked
    def __init__(self, dims: Sequence[Size], **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        if sorted(dims) != list(range(1, len(dims) + 1)):
            raise ArgumentError(f"Permute: dims is an order of 1, 2 …, such as (2, 1), not {shown(dims)}.")
        self.dims = tuple(dims)

    def call(self, x: Any) -> Any:
        check_rank(self, x, 1 + len(self.dims))
        return ops.transpose(x, (0, *self.dims))


class RepeatVector(Layer):
    """``[batch, features]`` → ``[batch, n, features]``."""

    @checked
    def __init__(self, n: Size, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.n = n

    def call(self, x: Any) -> Any:
        check_rank(self, x, 2)
        batch, features = type_of(x).shape
        return ops.broadcast_to(ops.expand_dims(x, 1), (batch, self.n, features))


class Embedding(Quantized, LowRank, Layer):
    """Integers to vectors: ``[...]`` → ``[..., output_dim]``.

    Args:
        input_dim: the number of vectors; indices run from 0 to ``input_dim - 1``.
        output_dim: their size.
        embeddings_initializer, embeddings_regularizer: as for `Dense`; the weight is
            ``embeddings[input_dim, output_dim]``.
        mask_zero: whether index 0 is padding, which later layers leave out.
        weights: the vectors to begin with, ``[input_dim, output_dim]``, or a list of that one array.
        lora_rank, lora_alpha: as for `enable_lora`, which is then called when the layer is built.
        quantization_config: how the weight is quantized where the dtype policy says that it is; see `quantize`.

    Float indices are cut to integers, as in Keras. Raises `ShapeError` for ``weights`` of another shape.
    """

    autocast = False
    adapted_weight = "embeddings"
    embeddings_scale: Any
    embeddings_zero: Any
    g_idx: Any

    @checked
    def __init__(
        self,
        input_dim: Size,
        output_dim: Size,
        embeddings_initializer: InitializerLike = "uniform",
        embeddings_regularizer: RegularizerLike = None,
        embeddings_constraint: Constraint = None,
        mask_zero: bool = False,
        weights: Any = None,
        lora_rank: Size | None = None,
        lora_alpha: Real | None = None,
        quantization_config: Any = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.input_dim, self.output_dim, self.mask_zero = input_dim, output_dim, mask_zero
        self.supports_masking = mask_zero
        if weights is not None:
            embeddings_initializer = self._given(weights)
        self.declare("embeddings", embeddings_initializer, embeddings_regularizer, embeddings_constraint)
        self.ask_lora(lora_rank, lora_alpha)
        self.ask_quantized(quantization_config)

    def _given(self, weights: Any) -> Given:
        vectors = weights[0] if isinstance(weights, list) and len(weights) == 1 else weights
        wanted = (self.input_dim, self.output_dim)
        try:
            values = np.array(vectors)
        except ValueError:
            raise ShapeError(
                f"Embedding: weights is an array {wanted}, not lists of unequal lengths."
            ) from None
        if values.dtype.kind not in "biuf" and values.dtype.name != "bfloat16":
            raise DTypeError(f"Embedding: weights is an array of numbers, not of {values.dtype}.")
        if values.shape != wanted:
            raise ShapeError(f"Embedding: weights has the shape {values.shape}; {wanted} is needed.")
        return Given(values)

    def build(self, shape: Any = None) -> None:
        self.embeddings = self.add_declared("embeddings", (self.input_dim, self.output_dim))
        self.begin_lora()
        self.begin_quantized()

    def call(self, indices: Any) -> Any:
        if type_of(indices).dtype.is_float:  # Keras takes float indices too, as its Input is float by default
            indices = ops.cast(indices, "int32")
        rows = (
            ops.embedding(indices, self.embeddings) if self.quantization_mode is None else self._rows(indices)
        )
        return ops.cast(self.adapted_rows(rows, indices), self.compute_dtype)

    def _rows(self, indices: Any) -> Any:
        """The rows of a quantized embedding, as floats."""
        rows, scale = (ops.take(one, indices, axis=0) for one in (self.embeddings, self.embeddings_scale))
        if self.quantization_mode == "int4":
            rows = unpack_int4(rows, self.output_dim, axis=-1)
        rows = ops.cast(rows, self.compute_dtype)
        if self._block_size is None:
            return ops.divide(rows, ops.cast(ops.expand_dims(scale, -1), self.compute_dtype))
        zero = ops.take(self.embeddings_zero, indices, axis=0)
        return dequantize_with_sz_map(rows, ops.cast(scale, self.compute_dtype), zero, self.g_idx)

    def quantized_axes(self) -> tuple[int, ...]:
        return (-1,)

    def as_matrix(self, values: Any) -> Any:
        return values.T

    from_matrix = as_matrix

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return ops.not_equal(inputs, 0) if self.mask_zero else None


class Masking(Layer):
    """Steps whose features all equal ``mask_value`` are left out by later layers (and set to zero here)."""

    built_at_once = supports_masking = True

    @checked
    def __init__(self, mask_value: Real = 0.0, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.mask_value = mask_value

    def call(self, x: Any) -> Any:
        kept = ops.any(ops.not_equal(x, self.mask_value), axis=-1, keepdims=True)
        return ops.multiply(x, ops.cast(kept, type_of(x).dtype))

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return ops.any(ops.not_equal(inputs, self.mask_value), axis=-1)
